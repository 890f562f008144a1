"""Tiny synthetic batches and configurations for the method's tests: organs are rectangles, echoes follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scyclegan_train.config import Config
from scyclegan_train.config_file import from_mapping
from scyclegan_train.data.samples import PHYSICS, REAL, CtBatch, UsBatch
from us_sim.core.generator.card import Card

HU = np.zeros(14, np.float32)
HU[[0, 1, 2, 3]] = -100, 60, 180, -20
GREY = np.full(14, 20, np.float32)
GREY[[1, 2, 3]] = 110, 60, 180
CLASSES = ["background", "liver", "kidney", "spleen"]


def config(**sections: dict[str, Any]) -> Config:
    """A small run: polar grid of 32 × 32, four classes, few filters; sections change single values."""
    base: dict[str, dict[str, Any]] = {
        "generator": {"grid": "polar", "scan_lines": 32, "samples": 32, "width": 0.07, "classes": CLASSES},
        "method": {"critic_width": 0.0625, "segmenter_width": 0.125, "critics": [{"field": 34}], "pool": 4},
        "schedule": {"epoch": 4, "batch": 2, "pretrain": 1, "constant": 1, "decay": 1},
        "loop": {"log_every": 1, "panel_every": 1000, "checkpoint_every": 4, "prefetch": 0},
    }
    return from_mapping(Config, {name: base.get(name, {}) | sections.get(name, {}) for name in base}, "test")


class TinyCt:
    """CT of random rectangles; sample i of epoch e depends on (seed, e, i) alone."""

    def __init__(self, card: Card, length: int = 6, seed: int = 0) -> None:
        self.card, self._length, self._seed = card, length, seed

    def __len__(self) -> int:
        return self._length

    def batch(self, indices: Sequence[int], epoch: int = 0) -> CtBatch:
        drawn = [_organs([self._seed, epoch, index], self.card.size) for index in indices]
        tissue, noise = (np.stack(part) for part in zip(*drawn, strict=True))
        hu = torch.from_numpy(HU[tissue] + 10 * noise)
        valid = torch.ones(hu.shape, dtype=torch.bool)
        valid[:, :, :2] = False
        visible = valid.clone()
        visible[:, -6:] = False
        grey = torch.from_numpy((GREY[tissue] + 8 * noise).clip(0, 255))
        return CtBatch(hu, torch.from_numpy(tissue), valid, visible, torch.from_numpy(noise), grey)


class TinyUs(TinyCt):
    """Ultrasound of random rectangles; of every third sample, real, nobody knows the mask."""

    def batch(self, indices: Sequence[int], epoch: int = 0) -> UsBatch:  # type: ignore[override]
        ct = super().batch(indices, epoch)
        assert ct.physics is not None
        real = torch.tensor([index % 3 == 2 for index in indices])
        tissue = torch.where(real[:, None, None], 0, ct.tissue)
        return UsBatch(ct.physics, tissue, ~real, ct.valid, torch.where(real, REAL, PHYSICS))


def batches(made: Config, count: int = 2, seed: int = 0) -> tuple[CtBatch, UsBatch]:
    """One batch of each domain."""
    card = made.generator.card()
    return TinyCt(card, seed=seed).batch(range(count)), TinyUs(card, seed=seed + 1).batch(range(count))


def all_known(us: UsBatch) -> UsBatch:
    """The same batch, every mask known."""
    return replace(us, has_mask=torch.ones_like(us.has_mask))


def _organs(seed: list[int], size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    tissue = np.zeros(size, np.uint8)
    for organ in (1, 2, 3):
        top, left = rng.integers(0, np.array(size) - 8)
        height, width = rng.integers(6, 16, 2)
        tissue[top : top + height, left : left + width] = organ
    return tissue, rng.standard_normal(size, dtype=np.float32)

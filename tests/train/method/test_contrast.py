"""The contrastive loss of patches."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from scyclegan_train.method.contrast import PATCHES, PatchContrast

HEIGHT, WIDTH = 96, 64


def frame(seed: int) -> Tensor:
    """(2, 3, H, W) structures of about 8 pixels."""
    noise = np.random.default_rng(seed).standard_normal((2, 1, HEIGHT, WIDTH))
    smooth = gaussian_filter(noise, (0, 0, 4, 4))
    return torch.from_numpy(0.3 * smooth / smooth.std()).float().expand(-1, 3, -1, -1)


def loss(fake: Tensor, twin: Tensor, where: Tensor | None = None) -> Tensor:
    counts = torch.ones(2, HEIGHT, WIDTH, dtype=torch.bool) if where is None else where
    found: Tensor = PatchContrast()(fake, twin, counts, torch.Generator().manual_seed(0))
    return found


def test_the_right_place_beats_chance_and_another_frame_does_not() -> None:
    """ln 64 is the loss of one who guesses."""
    chance = math.log(PATCHES)
    assert loss(frame(0), frame(0)) < 0.5 * chance < chance < loss(frame(0), frame(1))


def test_speckle_costs_little_and_a_shift_much() -> None:
    speckled = frame(0) + 0.1 * torch.randn(2, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    assert loss(speckled, frame(0)) < 0.6 * loss(frame(0).roll(8, dims=-2), frame(0))


def test_nothing_counts_and_nothing_is_lost() -> None:
    nowhere = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.bool)
    assert float(loss(frame(0), frame(1), nowhere)) == 0


def test_descending_it_brings_the_structures_to_their_places() -> None:
    fake = frame(1).clone().requires_grad_()
    optimizer = torch.optim.Adam([fake], 0.1)
    contrast, random = PatchContrast(), torch.Generator().manual_seed(0)
    where = torch.ones(2, HEIGHT, WIDTH, dtype=torch.bool)
    before = float(loss(fake, frame(0)).detach())
    for _ in range(12):
        optimizer.zero_grad()
        contrast(fake, frame(0), where, random).backward()
        optimizer.step()
    assert float(loss(fake, frame(0)).detach()) < 0.6 * before

"""Damaged artifacts by the hundred, from fixed seeds: each is loaded, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.accidents import VARIANTS, outcome, spoiled

from us_sim.core.generator.artifact import build, load_generator, save_generator
from us_sim.core.generator.card import Card
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind

PROBE = ProbeGeometry(ProbeKind.CONVEX, 120.0, 50.0, 1.0, width=32, height=32, scan_lines=16, samples=32)


@pytest.mark.parametrize("head", [8, 3000], ids=["length of the header", "header"])
def test_damaged_artifacts(tmp_path: Path, head: int) -> None:
    torch.manual_seed(0)
    path, card = tmp_path / "liver.safetensors", Card(PROBE, width=0.0625)
    save_generator(path, build(card), card)
    whole = path.read_bytes()
    rng, found = np.random.default_rng(head), []
    for _ in range(VARIANTS // 2):
        path.write_bytes(spoiled(whole, rng, head))
        found.append(outcome(lambda: load_generator(path)))
    assert set(found) == {"read", "refused"}

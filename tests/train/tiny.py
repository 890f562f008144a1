"""Small cards and patients for the training's tests."""

from __future__ import annotations

from dataclasses import replace

from us_sim.core.generator.card import Card
from us_sim.core.geometry.probe import preset


def tiny_card(grid: str = "polar", lines: int = 32, samples: int = 64, pixels: int = 48) -> Card:
    """The default probe's fan on a few scan lines and samples, or few pixels."""
    probe = replace(preset("c5_2"), scan_lines=lines, samples=samples, width=pixels, height=pixels)
    return Card(probe, grid=grid)

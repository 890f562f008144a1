"""Scan conversion: from scan lines × depth to the frame's pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from us_sim.core.probe import ProbeGeometry


def conversion_grid(probe: ProbeGeometry, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what `scan_convert` needs for a probe: (1, H, W, 2) normalised (sample, line), (H, W) fan mask."""
    polar = torch.from_numpy(probe.polar_of_pixel).to(device)
    size = torch.tensor([probe.scan_lines, probe.samples], device=device)
    grid = (2 * polar + 1) / size - 1  # centre of cell i of n lies at (2 i + 1) / n − 1
    mask = torch.from_numpy(probe.fan_mask).to(device)
    return grid.flip(-1)[None].contiguous(), mask


def scan_convert(polar: Tensor, grid: Tensor, mask: Tensor) -> Tensor:
    """Interpolate (B, L, S) bilinearly at the frame's pixels; (B, H, W), exactly 0 outside the fan."""
    frame = torch.nn.functional.grid_sample(
        polar[:, None], grid.expand(len(polar), -1, -1, -1), padding_mode="border", align_corners=False
    )[:, 0]
    return frame * mask

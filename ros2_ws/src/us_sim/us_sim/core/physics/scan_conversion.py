# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Scan conversion: from scan lines × depth to the frame's pixels."""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from us_sim.core.compute.kernels import kernel, serve
from us_sim.core.geometry.probe import ProbeGeometry


def conversion_grid(probe: ProbeGeometry, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what `scan_convert` needs for a probe: (1, H, W, 2) normalised (sample, line), (H, W) fan mask."""
    polar = torch.tensor(probe.polar_of_pixel).to(device)
    size = torch.tensor([probe.scan_lines, probe.samples], device=device)
    grid = (2 * polar + 1) / size - 1  # centre of cell i of n lies at (2 i + 1) / n − 1
    mask = torch.tensor(probe.fan_mask).to(device)
    return grid.flip(-1)[None].contiguous(), mask


def scan_convert(polar: Tensor, grid: Tensor, mask: Tensor) -> Tensor:
    """Interpolate (B, L, S) bilinearly at the frame's pixels; (B, H, W), exactly 0 outside the fan."""
    if not serve(polar):
        return scan_convert_by_tensors(polar, grid, mask)
    assert grid.shape[1:3] == mask.shape, f"grid of {tuple(grid.shape)} for a frame of {tuple(mask.shape)}"
    frame = torch.empty(len(polar), *mask.shape)
    _convert(polar.numpy(), grid.numpy(), mask.numpy(), frame.numpy())
    return frame


def scan_convert_by_tensors(polar: Tensor, grid: Tensor, mask: Tensor) -> Tensor:
    """`scan_convert` on any torch device."""
    frame = torch.nn.functional.grid_sample(
        polar[:, None], grid.expand(len(polar), -1, -1, -1), padding_mode="border", align_corners=False
    )[:, 0]
    return frame * mask


@numba.njit(inline="always")
def cell(place, size):  # type: ignore[no-untyped-def]
    """Cell at or before a normalised place, the next one, and how far between them, inside a compiled loop."""
    at = np.float32(0.5) * ((place + np.float32(1)) * size - np.float32(1))
    at = min(at, size - 1) if at > 0 else np.float32(0)  # 0 for NaN, whose index would lie anywhere
    first = int(at)
    return first, min(first + 1, size - 1), np.float32(at - first)


@numba.njit(inline="always")
def bilinear(picture, b, column, row):  # type: ignore[no-untyped-def]
    """(B, H, W) pictures at a normalised (column, row), clamped at the border, inside a compiled loop."""
    i0, i1, v = cell(row, picture.shape[1])
    j0, j1, u = cell(column, picture.shape[2])
    above = picture[b, i0, j0] + u * (picture[b, i0, j1] - picture[b, i0, j0])
    below = picture[b, i1, j0] + u * (picture[b, i1, j1] - picture[b, i1, j0])
    return above + v * (below - above)


@kernel
def _convert(polar, grid, mask, frame):  # type: ignore[no-untyped-def]
    height, width = mask.shape
    for r in numba.prange(len(polar) * height):
        b, y = r // height, r % height
        for x in range(width):
            frame[b, y, x] = bilinear(polar, b, grid[0, y, x, 0], grid[0, y, x, 1]) if mask[y, x] else np.float32(0)

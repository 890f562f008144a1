# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Interpolation in grids of samples by tensors: few and large operations, whose constants lie on the device."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

FAR = 1e6  # samples from any grid: what lies beyond is outside as well, and would overflow as an index


class Lattice:
    """Where the neighbours of fractional indices lie in a flattened grid of samples in C order.

    Args:
        shape: samples along the three axes; for a periodic grid, powers of two.
        device: where indices are computed.
        periodic: the grid repeats; otherwise `hold` tells which positions lie outside and `kept` brings them to the
            border, by the rule of `grids`.
    """

    def __init__(self, shape: tuple[int, ...], device: torch.device, *, periodic: bool = False) -> None:
        corner = torch.tensor(list(product((0, 1), repeat=3)))
        stride = torch.tensor([shape[1] * shape[2], shape[2], 1])
        self._corner, self._stride = corner.to(device), stride.to(device)
        self._offset = (corner * stride).sum(dim=-1).to(device)
        self._upper = corner.bool().to(device)
        self._period = torch.tensor(shape, device=device) - 1 if periodic else None  # as a mask of bits
        self._last = torch.tensor(shape, dtype=torch.float32).to(device) - 1
        self._before_last = self._last - 1

    def hold(self, position: Tensor) -> Tensor:
        """Whether (..., 3) positions lie in the box of sample centres."""
        return ((position >= 0) & (position <= self._last)).all(dim=-1)

    def kept(self, position: Tensor) -> Tensor:
        """The nearest positions inside the box."""
        return torch.minimum(position.clamp(min=0), self._last)

    def nearest(self, position: Tensor) -> Tensor:
        """(...) index of the nearest sample."""
        place = torch.minimum((position + 0.5).clamp(min=0), self._last).long()
        return (place * self._stride).sum(dim=-1)

    def corners(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """(..., 8) indices and trilinear weights of the samples around (..., 3) positions."""
        base = position.floor()
        if self._period is None:
            base = torch.minimum(base.clamp(min=0), self._before_last)
        upper = (position - base)[..., None, :]
        weights = torch.where(self._upper, upper, 1 - upper).prod(dim=-1)
        if self._period is not None:
            place = (base.long()[..., None, :] + self._corner) & self._period
            return (place * self._stride).sum(dim=-1), weights
        return (base.long() * self._stride).sum(dim=-1, keepdim=True) + self._offset, weights


def mapped_by(matrices: Tensor, points: Tensor) -> Tensor:
    """Return (B or 1, N, 3) points through (B, 4, 4) float64 matrices, (B, N, 3) of the points' type; FAR at most."""
    shift = matrices[:, None, :3, 3].nan_to_num(nan=FAR).clamp(-FAR, FAR).to(points.dtype)
    turn = matrices[:, :3, :3].mT.to(points.dtype)
    return torch.baddbmm(shift, points.expand(len(matrices), -1, -1), turn)


def blended(samples: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum over the last axis of (...) flat samples at (..., 8) indices."""
    return (weights * samples[index]).sum(dim=-1)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Where the border of a class runs between voxel centres, so that it shows without the steps of the voxels.

Each voxel tells how far its centre lies inside its class, in tenths of a voxel. Between two classes the border then
divides the way from one centre to the other by these distances, where labels alone can only halve it. What is drawn by
a formula knows its distance; of labels it is that to the plane that cuts off as much of a Gaussian around the voxel
as the other classes have there.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from us_sim.core.compute.kernels import kernel, serial
from us_sim.core.tissue import TissueClass

UNKNOWN, DEEP = 0, 15  # tenths of a voxel
TENTHS = np.float32(10)  # of a voxel
BELL = np.array([1, 3, 4, 3, 1], np.uint16)  # weights of the neighbours along each axis: a Gaussian
WHOLE, REACH = int(BELL.sum()) ** 3, len(BELL) // 2
LEAST = 0.25  # voxels that what is thin keeps to each side, though it has less than half of the Gaussian
AIR = int(TissueClass.BACKGROUND)


def tenths(distance: NDArray[np.float32], voxel: float) -> NDArray[np.uint8]:
    """Return distances in mm, of any sign, as tenths of a voxel of so many mm, 1 to DEEP."""
    return np.clip(np.rint(np.abs(distance) * (TENTHS / np.float32(voxel))), 1, DEEP).astype(np.uint8)


def fill_borders(tissue: NDArray[np.uint8], border: NDArray[np.uint8]) -> None:
    """Set what is UNKNOWN of (I, J, K) borders to what the classes tell, in place."""
    sigma = np.sqrt(BELL @ np.arange(-REACH, REACH + 1) ** 2 / BELL.sum())
    share = np.clip(np.arange(WHOLE + 1) / WHOLE, 0.5, 1 - 0.5 / WHOLE)
    of_share = tenths(np.maximum(sigma * ndtri(share), LEAST), 1.0)
    _fill(tissue, border, of_share)


@kernel
def _fill(tissue, border, of_share):  # type: ignore[no-untyped-def]
    """Fill borders row by row; the last REACH voxels along k have no neighbours to ask."""
    ni, nj, nk = border.shape
    for i in numba.prange(ni):
        other, share = np.zeros(nk, np.uint8), np.empty(nk, np.uint16)
        for j in range(nj):
            if np.min(border[i, j]) != UNKNOWN:
                continue
            _others(tissue, i, j, other)
            first, stop = _extent(other)
            if first < stop:
                _shares(tissue, i, j, first, share[first:stop])
            for k in range(nk):
                if border[i, j, k] == UNKNOWN:
                    border[i, j, k] = of_share[share[k]] if other[k] else DEEP


@numba.njit
def _extent(row):  # type: ignore[no-untyped-def]
    """First and last but one place of what is not 0."""
    first, stop = 0, len(row)
    while first < stop and row[first] == 0:
        first += 1
    while first < stop and row[stop - 1] == 0:
        stop -= 1
    return first, stop


@numba.njit(inline="always")
def _beside(i, step, size):  # type: ignore[no-untyped-def]
    return min(max(i + step, 0), size - 1)


@numba.njit
def _others(tissue, i, j, other):  # type: ignore[no-untyped-def]
    """Where a row has neighbours of another class; air does not ask."""
    ni, nj, nk = tissue.shape
    own, inner = tissue[i, j], other[REACH : nk - REACH]
    inner[:] = 0
    for a in range(-1, 2):
        for b in range(-1, 2):
            row = tissue[_beside(i, a, ni), _beside(j, b, nj)]
            for c in range(REACH - 1, REACH + 2):
                for k in range(len(inner)):
                    inner[k] |= row[k + c] ^ own[k + REACH]
    for k in range(len(inner)):
        inner[k] = inner[k] if own[k + REACH] != AIR else 0


@numba.njit
def _shares(tissue, i, j, first, share):  # type: ignore[no-untyped-def]
    """Share, in parts of WHOLE, of the Gaussian around voxels of a row from the first on that is of their class."""
    ni, nj, _ = tissue.shape
    own, along = tissue[i, j, first:], np.empty(len(share), np.uint8)
    share[:] = 0
    w0, w1, w2, none = np.uint8(BELL[0]), np.uint8(BELL[1]), np.uint8(BELL[2]), np.uint8(0)
    for a in range(len(BELL)):
        for b in range(len(BELL)):
            row = tissue[_beside(i, a - REACH, ni), _beside(j, b - REACH, nj), first - REACH :]
            weight = np.uint16(BELL[a] * BELL[b])
            for k in range(len(share)):  # in bytes, so that a vector holds many
                kind = own[k]
                outer = (w0 if row[k] == kind else none) + (w0 if row[k + 4] == kind else none)
                inner = (w1 if row[k + 1] == kind else none) + (w1 if row[k + 3] == kind else none)
                along[k] = np.uint8(outer + inner + (w2 if row[k + 2] == kind else none))
            for k in range(len(share)):
                share[k] += np.uint16(along[k] * weight)


@serial
def forget(border, changed):  # type: ignore[no-untyped-def]
    """Set to UNKNOWN what lies in or beside changed voxels, both (I, J, K)."""
    ni, nj, nk = border.shape
    for i in range(ni):
        for j in range(nj):
            for k in range(nk):
                if changed[i, j, k]:
                    border[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, max(k - 1, 0) : k + 2] = UNKNOWN

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Interpolation in grids of samples on the CPU: one rule for the border, compiled into the loops that ask.

A grid is the box between its outermost sample centres. A position on a face of the box is inside. What lies beyond has
no sample (air, class 0), or takes that of the nearest position in the box, as `clamped` gives it. NaN is outside, and
`clamped` to 0. `lattice` keeps the same rule on tensors.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from us_sim.core.compute.kernels import serial

_NEXT = np.uintp(1)


@numba.njit(inline="always")
def mapped(m, n, x, y, z):  # type: ignore[no-untyped-def]
    """A point through matrix n of (N, 4, 4)."""
    return (
        m[n, 0, 0] * x + m[n, 0, 1] * y + m[n, 0, 2] * z + m[n, 0, 3],
        m[n, 1, 0] * x + m[n, 1, 1] * y + m[n, 1, 2] * z + m[n, 1, 3],
        m[n, 2, 0] * x + m[n, 2, 1] * y + m[n, 2, 2] * z + m[n, 2, 3],
    )


@numba.njit(inline="always")
def inside(grid, a, b, c):  # type: ignore[no-untyped-def]
    """Whether a fractional index lies in the box of sample centres."""
    # Written so that NaN counts as outside.
    low = a >= 0 and b >= 0 and c >= 0
    return low and a <= grid.shape[0] - 1 and b <= grid.shape[1] - 1 and c <= grid.shape[2] - 1


@numba.njit(inline="always")
def clamped(grid, a, b, c):  # type: ignore[no-untyped-def]
    """The position in the box that is nearest to a fractional index."""
    return (
        min(a, grid.shape[0] - 1.0) if a > 0 else 0.0,
        min(b, grid.shape[1] - 1.0) if b > 0 else 0.0,
        min(c, grid.shape[2] - 1.0) if c > 0 else 0.0,
    )


@numba.njit(inline="always")
def trilinear(grid, a, b, c, real):  # type: ignore[no-untyped-def]
    """The value at a fractional index inside the box, computed in `real`: np.float32 or np.float64."""
    # Unsigned, or each access would ask whether an index counts from the end: a fifth of the time.
    i = np.uintp(min(int(a), grid.shape[0] - 2))
    j = np.uintp(min(int(b), grid.shape[1] - 2))
    k = np.uintp(min(int(c), grid.shape[2] - 2))
    i1, j1, k1 = i + _NEXT, j + _NEXT, k + _NEXT
    u, v, w = real(a - np.float64(i)), real(b - np.float64(j)), real(c - np.float64(k))
    g00 = grid[i, j, k] + w * (real(grid[i, j, k1]) - grid[i, j, k])
    g01 = grid[i, j1, k] + w * (real(grid[i, j1, k1]) - grid[i, j1, k])
    g10 = grid[i1, j, k] + w * (real(grid[i1, j, k1]) - grid[i1, j, k])
    g11 = grid[i1, j1, k] + w * (real(grid[i1, j1, k1]) - grid[i1, j1, k])
    g0, g1 = g00 + v * (g01 - g00), g10 + v * (g11 - g10)
    return g0 + u * (g1 - g0)


@numba.njit(inline="always")
def nearest(classes, a, b, c):  # type: ignore[no-untyped-def]
    """Class of the nearest sample, 0 outside the box."""
    if inside(classes, a, b, c):
        return classes[np.uintp(int(a + 0.5)), np.uintp(int(b + 0.5)), np.uintp(int(c + 0.5))]
    return np.uint8(0)


@numba.njit(inline="always")
def nearest_place(classes, a, b, c):  # type: ignore[no-untyped-def]
    """Where `nearest` reads in the grid as one run of memory, −1 for outside; without branches, for vectors."""
    # 32 bits hold any place: `check_grid` refuses a CT of that many voxels.
    ni, nj, nk = classes.shape
    low = (a >= 0) & (b >= 0) & (c >= 0)
    within = low & (a <= ni - 1) & (b <= nj - 1) & (c <= nk - 1)
    i, j, k = np.int32(a + 0.5), np.int32(b + 0.5), np.int32(c + 0.5)
    return (i * np.int32(nj) + j) * np.int32(nk) + k if within else np.int32(-1)


def by_axis(points: NDArray[np.float32], *, of_each: bool = False) -> NDArray[np.float32]:
    """Return (..., 3) points, or (B, ..., 3) those of each pose, as contiguous (1 or B, 3, N).

    Loops over one coordinate then run on vectors. Nothing is copied where they lie so in memory, as `placed_by_axis`
    lays them.
    """
    apart = np.moveaxis(points, -1, 1 if of_each else 0)
    return np.ascontiguousarray(apart, dtype=np.float32).reshape(len(points) if of_each else 1, 3, -1)


def placed_by_axis(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the same (..., 3) points, each coordinate in one piece of memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(points, -1, 0)), 0, -1)


def classes_at(classes: NDArray[np.uint8], index: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the (...) class of the sample of an (I, J, K) grid nearest to (..., 3) fractional indices, 0 outside."""
    flat = np.ascontiguousarray(index, dtype=np.float64).reshape(-1, 3)
    return np.asarray(_classes_at(classes, flat)).reshape(index.shape[:-1])


@serial
def _classes_at(classes, index):  # type: ignore[no-untyped-def]
    out = np.empty(len(index), np.uint8)
    for n in range(len(index)):
        out[n] = nearest(classes, index[n, 0], index[n, 1], index[n, 2])
    return out

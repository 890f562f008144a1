# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""HU, class, border and echo of each voxel in 4 bytes, in bricks of 2×2×4 voxels: what the loops on the CPU read.

A brick is a cache line. The eight neighbours of a place lie in 2.8 lines on average, whichever way a plane runs; in an
array for each quantity they lie in 12. Vectors gather 4 bytes at a time, and nothing shorter.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from us_sim.core.compute import prefetch
from us_sim.core.compute.kernels import kernel

BRICK = 16  # voxels, 2 along i, 2 along j, 4 along k
LINE = 64  # bytes of a cache line


def bricked(
    hu: NDArray[np.int16], tissue: NDArray[np.uint8], echo: NDArray[np.int8] | None, border: NDArray[np.uint8] | None
) -> NDArray[np.int32]:
    """Return (N,) words from (I, J, K) arrays: 16 bits of HU, then 4 of class, 4 of border, 8 of echo, lowest first."""
    i, j, k = hu.shape
    size = (i + 1) // 2 * ((j + 1) // 2) * ((k + 3) // 4) * BRICK
    room = np.zeros(size + BRICK, np.int32)
    first = -room.ctypes.data % LINE // room.itemsize
    bricks = room[first : first + size]
    none = np.zeros((0, 0, 0), np.uint8)
    _lay(hu, tissue, none.view(np.int8) if echo is None else echo, none if border is None else border, bricks)
    return bricks


@numba.njit(inline="always")
def steps(grid):  # type: ignore[no-untyped-def]
    """Words from one brick to the next along i and along j."""
    along_j = np.int32((grid.shape[2] + 3) // 4 * BRICK)
    return np.int32((grid.shape[1] + 1) // 2) * along_j, along_j


@numba.njit(inline="always")
def places(i, j, k, along_i, along_j):  # type: ignore[no-untyped-def]
    """What each index adds to the place of a voxel; the place is the sum."""
    return (i >> 1) * along_i + ((i & 1) << 3), (j >> 1) * along_j + ((j & 1) << 2), ((k >> 2) << 4) + (k & 3)


@numba.njit(inline="always")
def word(bricks, place):  # type: ignore[no-untyped-def]
    """The word at a place."""
    return bricks[np.uintp(np.uint32(place))]  # unsigned, as in `grids`; 32 bits hold any place


@numba.njit(inline="always")
def ask(bricks, place, di, dj, dk):  # type: ignore[no-untyped-def]
    """Ask for the lines of a voxel and of the seven that lie di, dj and dk words further, before they are read."""
    prefetch.line_of(bricks, place)
    prefetch.line_of(bricks, place + dk)
    prefetch.line_of(bricks, place + dj)
    prefetch.line_of(bricks, place + dj + dk)
    prefetch.line_of(bricks, place + di)
    prefetch.line_of(bricks, place + di + dk)
    prefetch.line_of(bricks, place + di + dj)
    prefetch.line_of(bricks, place + di + dj + dk)


@numba.njit(inline="always")
def hu_of(value):  # type: ignore[no-untyped-def]
    """HU of a word, float32."""
    return np.float32(np.int16(value))


@numba.njit(inline="always")
def class_of(value):  # type: ignore[no-untyped-def]
    """Class of a word."""
    return np.uint8(value >> 16 & 15)


@numba.njit(inline="always")
def border_of(value):  # type: ignore[no-untyped-def]
    """Border of a word, float32."""
    return np.float32(value >> 20 & 15)


@numba.njit(inline="always")
def echo_of(value):  # type: ignore[no-untyped-def]
    """Echo of a word, float32."""
    return np.float32(np.int8(value >> 24))


@kernel
def _lay(hu, tissue, echo, border, bricks):  # type: ignore[no-untyped-def]
    along_i, along_j = steps(hu)
    for i in numba.prange(hu.shape[0]):
        for j in range(hu.shape[1]):
            for k in range(hu.shape[2]):
                a, b, c = places(i, j, k, along_i, along_j)
                loud = np.int32(echo[i, j, k]) if len(echo) else np.int32(0)
                within = np.int32(border[i, j, k]) if len(border) else np.int32(1)
                low = np.int32(np.uint16(hu[i, j, k])) | (np.int32(tissue[i, j, k]) << 16) | (within << 20)
                bricks[np.uintp(a + b + c)] = np.int32(low | (loud << 24))

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Distance of voxels to tapered tubes, and soft noise fixed in the patient: the compiled loops of the detail."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from us_sim.core.compute.kernels import serial
from us_sim.core.geometry.transforms import Matrix, inverse

TILE = 64  # lattice points along each axis of the noise, a power of two

Points = NDArray[np.float64]


def tube_distance(
    shape: tuple[int, ...], ct_from_voxel: Matrix, segments: tuple[Points, Points, Points, Points], margin: float
) -> NDArray[np.float32]:
    """Return (I, J, K) signed distance in mm to the nearest tube, below 0 inside, `margin` where it is farther.

    Args:
        shape: of the voxels.
        ct_from_voxel: (4, 4).
        segments: start (M, 3) and end (M, 3) in `ct`, mm, and radii there (M,), mm.
        margin: mm.
    """
    out = np.full(shape, margin, dtype=np.float32)
    matrix = np.ascontiguousarray(inverse(ct_from_voxel))
    reach = np.linalg.norm(matrix[:3, :3], axis=1)
    start, end, first, last = (np.ascontiguousarray(part, dtype=np.float64) for part in segments)
    _tubes(out, np.ascontiguousarray(ct_from_voxel), matrix, reach, start, end, first, last, margin)
    return out


@serial
def _tubes(out, ct_from_voxel, matrix, reach, start, end, first, last, margin):  # type: ignore[no-untyped-def]
    for s in range(len(start)):
        size = max(first[s], last[s]) + margin
        low, high = np.zeros(3, np.int64), np.zeros(3, np.int64)
        for axis in range(3):
            a = matrix[axis, 3] + matrix[axis, 0] * start[s, 0] + matrix[axis, 1] * start[s, 1]
            a += matrix[axis, 2] * start[s, 2]
            b = matrix[axis, 3] + matrix[axis, 0] * end[s, 0] + matrix[axis, 1] * end[s, 1]
            b += matrix[axis, 2] * end[s, 2]
            low[axis] = max(0, int(np.floor(min(a, b) - size * reach[axis])))
            high[axis] = min(out.shape[axis] - 1, int(np.ceil(max(a, b) + size * reach[axis])))
        d = end[s] - start[s]
        square = max(d[0] * d[0] + d[1] * d[1] + d[2] * d[2], 1e-12)
        for i in range(low[0], high[0] + 1):
            for j in range(low[1], high[1] + 1):
                for k in range(low[2], high[2] + 1):
                    x = row(ct_from_voxel, 0, i, j, k) - start[s, 0]
                    y = row(ct_from_voxel, 1, i, j, k) - start[s, 1]
                    z = row(ct_from_voxel, 2, i, j, k) - start[s, 2]
                    share = min(max((x * d[0] + y * d[1] + z * d[2]) / square, 0.0), 1.0)
                    x, y, z = x - share * d[0], y - share * d[1], z - share * d[2]
                    distance = np.sqrt(x * x + y * y + z * z) - (first[s] + share * (last[s] - first[s]))
                    if distance < out[i, j, k]:
                        out[i, j, k] = distance


@njit(inline="always")
def row(m, axis, i, j, k):  # type: ignore[no-untyped-def]
    return m[axis, 0] * i + m[axis, 1] * j + m[axis, 2] * k + m[axis, 3]


@lru_cache(maxsize=4)
def noise_tile(seed: int) -> NDArray[np.float32]:
    """Return the (TILE, TILE, TILE) lattice of standard normal values that `noise` reads."""
    return np.random.default_rng(seed).standard_normal((TILE, TILE, TILE), dtype=np.float32)


def noise(where: NDArray[np.bool_], ct_from_voxel: Matrix, wavelength: float, seed: int) -> NDArray[np.float32]:
    """Return smooth noise of mean 0 and SD about 1, fixed in `ct`, that varies over `wavelength` mm.

    It is (I, J, K), 0 but at the chosen voxels of (I, J, K) `where`.
    """
    tile_from_voxel = _oblique() @ ct_from_voxel / (wavelength / 2)
    out = np.zeros(where.shape, dtype=np.float32)
    _fill_noise(noise_tile(seed), np.ascontiguousarray(tile_from_voxel), where, out)
    return out


def _oblique() -> Matrix:
    """Return a rotation (4, 4) that keeps the lattice off the anatomical planes."""
    turn = np.eye(4)
    turn[:3, :3] = np.linalg.qr(np.array([[0.8, 0.3, -0.5], [-0.2, 0.9, 0.4], [0.6, -0.2, 0.7]]))[0]
    return turn


@serial
def _fill_noise(tile, m, where, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                if where[i, j, k]:
                    out[i, j, k] = noise_at(tile, row(m, 0, i, j, k), row(m, 1, i, j, k), row(m, 2, i, j, k))


@njit(inline="always")
def noise_at(tile, x, y, z):  # type: ignore[no-untyped-def]
    """Trilinear value of the periodic tile over smooth steps, SD about 1."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    u, v, w = x - i, y - j, z - k
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    last = TILE - 1
    i0, j0, k0, i1, j1, k1 = i & last, j & last, k & last, (i + 1) & last, (j + 1) & last, (k + 1) & last
    near = (tile[i0, j0, k0] * (1 - w) + tile[i0, j0, k1] * w) * (1 - v)
    near += (tile[i0, j1, k0] * (1 - w) + tile[i0, j1, k1] * w) * v
    far = (tile[i1, j0, k0] * (1 - w) + tile[i1, j0, k1] * w) * (1 - v)
    far += (tile[i1, j1, k0] * (1 - w) + tile[i1, j1, k1] * w) * v
    return 1.6 * (near * (1 - u) + far * u)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Scatterers fixed in the patient: a tile of complex Gaussian noise that repeats through `ct`.

Each voxel of the tile holds the complex amplitudes of `LOOKS` independent looks. Sampled at points of the
patient it moves with the tissue: the probe that leaves and comes back finds the same scatterers. The tile lies
obliquely in `ct`, so that no slice along an anatomical plane meets its period of 64 mm.
"""

from __future__ import annotations

from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray

from us_sim.core.compute.grids import mapped
from us_sim.core.compute.kernels import kernel
from us_sim.core.geometry.transforms import Matrix, rotation_from_quaternion
from us_sim.core.sampling.reslice import block_of, blocks

LOOKS = 6  # independent looks in the compounded real frames, from the grey SD of their liver
TILE = 128  # voxels along each axis, a power of two
SPACING = 0.5  # mm; with the trilinear kernel and the pulse the axial grain of the real frames
SCALE = np.float32(32)  # int8 steps to a standard deviation
ONE = np.float32(1)  # a Python float would turn the kernel's arithmetic into float64


@lru_cache(maxsize=2)
def scatterer_tile(seed: int) -> NDArray[np.int8]:
    """Return (TILE, TILE, TILE, 2 LOOKS) int8: real parts of all looks, then imaginary parts, SD `SCALE`."""
    noise = np.random.default_rng(seed).standard_normal((TILE, TILE, TILE, 2 * LOOKS), dtype=np.float32)
    return np.clip(np.rint(noise * SCALE), -127, 127).astype(np.int8)


def tile_from_ct() -> Matrix:
    """Return the 4×4 from mm in `ct` to voxels of the tile."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_from_quaternion(0.31, 0.22, 0.47, 0.80) / SPACING
    return matrix


@kernel
def sample_scatterers(tile, tile_from_probe, points, offsets, amplitudes, scatter):  # type: ignore[no-untyped-def]
    """Sum the tile over the elevational planes at each point of each pose, for amplitudes (planes, samples).

    Apart from the loop over the anatomy, which would be too long to be vectorised.
    """
    size = points.shape[2]
    for r in numba.prange(len(tile_from_probe) * blocks(size)):
        n, start, stop = block_of(r, size)
        own = n if len(points) > 1 else 0
        for p in range(start, stop):
            at, x, y, z = n * size + p, points[own, 0, p], points[own, 1, p], points[own, 2, p]
            for q in range(2 * LOOKS):
                scatter[at, q] = 0
            for plane in range(len(offsets)):
                a, b, c = mapped(tile_from_probe, n, x, y + offsets[plane], z)
                if amplitudes[plane, at] > 0:
                    _add_scatter(tile, a, b, c, amplitudes[plane, at], scatter, at)


@numba.njit(inline="always")
def _add_scatter(tile, a, b, c, amplitude, scatter, p):  # type: ignore[no-untyped-def]
    """Add all channels of the tile at (a, b, c): the corners' weights are shared by the channels."""
    i, j, k = int(np.floor(a)), int(np.floor(b)), int(np.floor(c))
    u, v, w = np.float32(a - i), np.float32(b - j), np.float32(c - k)
    i0, j0, k0 = i & (TILE - 1), j & (TILE - 1), k & (TILE - 1)
    i1, j1, k1 = (i + 1) & (TILE - 1), (j + 1) & (TILE - 1), (k + 1) & (TILE - 1)
    variance = (u * u + (ONE - u) * (ONE - u)) * (v * v + (ONE - v) * (ONE - v)) * (w * w + (ONE - w) * (ONE - w))
    gain = amplitude / (np.sqrt(variance) * SCALE)
    w00, w01 = (ONE - u) * (ONE - v) * gain, (ONE - u) * v * gain
    w10, w11 = u * (ONE - v) * gain, u * v * gain
    for q in range(2 * LOOKS):
        near = w00 * tile[i0, j0, k0, q] + w01 * tile[i0, j1, k0, q]
        near += w10 * tile[i1, j0, k0, q] + w11 * tile[i1, j1, k0, q]
        far = w00 * tile[i0, j0, k1, q] + w01 * tile[i0, j1, k1, q]
        far += w10 * tile[i1, j0, k1, q] + w11 * tile[i1, j1, k1, q]
        scatter[p, q] += (ONE - w) * near + w * far

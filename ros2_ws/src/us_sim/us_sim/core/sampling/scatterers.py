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
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from us_sim.core.compute import prefetch
from us_sim.core.compute.grids import mapped
from us_sim.core.compute.kernels import kernel
from us_sim.core.geometry.transforms import Matrix, rotation_from_quaternion
from us_sim.core.sampling.reslice import BLOCK, block_of, blocks

NOISES = 4  # channels of the tile that coarser noises are read from
LOOKS = 6  # independent looks in the compounded real frames, from the grey SD of their liver
WIDE = 16  # bytes of a voxel in memory, a vector: of 12 every eighth voxel would lie in two cache lines
TILE = 128  # voxels along each axis, a power of two
SPACING = 0.5  # mm; with the trilinear kernel and the pulse the axial grain of the real frames
SCALE = np.float32(32)  # int8 steps to a standard deviation
AHEAD, ONE_MORE = np.uintp(24), np.uintp(1)  # points between asking for the tile's lines and reading them
ONE = np.float32(1)  # a Python float would turn the kernel's arithmetic into float64


def scatterer_tile(seed: int) -> NDArray[np.int8]:
    """Return (TILE, TILE, TILE, 2 LOOKS) int8: real parts of all looks, then imaginary parts, SD `SCALE`."""
    return _wide_tile(seed)[..., : 2 * LOOKS]


@lru_cache(maxsize=2)
def _wide_tile(seed: int) -> NDArray[np.int8]:
    """The same, and zeros up to WIDE channels."""
    noise = np.random.default_rng(seed).standard_normal((TILE, TILE, TILE, 2 * LOOKS), dtype=np.float32)
    tile = np.zeros((TILE, TILE, TILE, WIDE), np.int8)
    tile[..., : 2 * LOOKS] = np.clip(np.rint(noise * SCALE), -127, 127)
    return tile


class Scatterers(NamedTuple):
    """What the loops read of the tile: 34 MB, and 34 MB of noises.

    Attributes:
        tile: (TILE, TILE, TILE, WIDE) int8, that of `scatterer_tile` and zeros.
        noises: (NOISES · TILE³,) int32, its first channels one after the other: each voxel, the next one along k, and
            both of the next row along j, from the lowest byte up.
    """

    tile: NDArray[np.int8]
    noises: NDArray[np.int32]


@lru_cache(maxsize=2)
def scatterers(seed: int) -> Scatterers:
    """Return the same arrays for all patients; nobody writes into them."""
    tile = _wide_tile(seed)
    noises = np.empty((NOISES, TILE, TILE, TILE), np.int32)
    for channel, four in enumerate(noises):
        own = tile[..., channel].view(np.uint8)
        along = np.roll(own, -1, axis=2)
        bytes_of = four.view(np.uint8).reshape(*four.shape, 4)  # of a processor that stores the lowest byte first
        for byte, neighbour in enumerate((own, along, np.roll(own, -1, axis=1), np.roll(along, -1, axis=1))):
            bytes_of[..., byte] = neighbour
    return Scatterers(tile, noises.reshape(-1))


def tile_from_ct() -> Matrix:
    """Return the 4×4 from mm in `ct` to voxels of the tile."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_from_quaternion(0.31, 0.22, 0.47, 0.80) / SPACING
    return matrix


@kernel
def sample_scatterers(tile, tile_from_probe, points, offsets, amplitudes, scatter):  # type: ignore[no-untyped-def]
    """Sum the tile over the elevational planes at each point of each pose, for amplitudes (planes, samples).

    Apart from the loop over the anatomy, which would be too long to be vectorised. The tile, (N,), is far larger than
    the caches, and each point asks for other lines of it.
    """
    size = points.shape[2]
    for r in numba.prange(len(tile_from_probe) * blocks(size)):
        n, start, stop = block_of(r, size)
        own, first, count = n if len(points) > 1 else 0, np.uintp(start), np.uintp(stop - start)
        at = np.uintp(n * size + start)
        place, weight = np.empty((8, BLOCK), np.int32), np.empty((5, BLOCK), np.float32)
        sums = np.empty(WIDE, np.float32)
        for p in range(count):
            for q in range(2 * LOOKS):
                scatter[at + p, q] = 0
        for plane in range(len(offsets)):
            for p in range(count):  # places and weights first, by vectors
                x, y, z = (
                    points[own, 0, first + p],
                    points[own, 1, first + p] + offsets[plane],
                    points[own, 2, first + p],
                )
                a, b, c = mapped(tile_from_probe, n, x, y, z)
                (i0, i1, u), (j0, j1, v), (k0, k1, w) = wrapped(a), wrapped(b), wrapped(c)
                variance = spread_of(u) * spread_of(v) * spread_of(w)
                gain = amplitudes[plane, at + p] / (np.sqrt(variance) * SCALE)
                weight[0, p], weight[1, p] = (ONE - u) * (ONE - v) * gain, (ONE - u) * v * gain
                weight[2, p], weight[3, p], weight[4, p] = u * (ONE - v) * gain, u * v * gain, w
                near, far = (i0 * TILE + j0) * TILE, (i1 * TILE + j0) * TILE
                near1, far1 = (i0 * TILE + j1) * TILE, (i1 * TILE + j1) * TILE
                place[0, p], place[1, p] = (near + k0) * WIDE, (near1 + k0) * WIDE
                place[2, p], place[3, p] = (far + k0) * WIDE, (far1 + k0) * WIDE
                place[4, p], place[5, p] = (near + k1) * WIDE, (near1 + k1) * WIDE
                place[6, p], place[7, p] = (far + k1) * WIDE, (far1 + k1) * WIDE
            for p in range(count):
                soon = min(p + AHEAD, count - ONE_MORE)
                if amplitudes[plane, at + soon] > 0:
                    for corner in range(8):
                        prefetch.line_of(tile, place[corner, soon])
                if amplitudes[plane, at + p] > 0:
                    _add_scatter(tile, place, weight, p, sums, scatter, at + p)


@numba.njit(inline="always")
def wrapped(at):  # type: ignore[no-untyped-def]
    """Cell of the tile, the next one, and how far between them, along one axis."""
    cell = np.floor(at)
    i = np.int32(cell)
    return i & (TILE - 1), (i + 1) & (TILE - 1), np.float32(at - cell)


@numba.njit(inline="always")
def spread_of(u):  # type: ignore[no-untyped-def]
    """Variance that interpolation leaves of noise along one axis."""
    return u * u + (ONE - u) * (ONE - u)


@numba.njit(inline="always")
def _add_scatter(tile, place, weight, p, sums, scatter, at):  # type: ignore[no-untyped-def]
    """Add all channels of the tile at point p of the block: the corners' weights are shared by the channels."""
    a, b, c, d = np.uintp(place[0, p]), np.uintp(place[1, p]), np.uintp(place[2, p]), np.uintp(place[3, p])
    e, f, g, h = np.uintp(place[4, p]), np.uintp(place[5, p]), np.uintp(place[6, p]), np.uintp(place[7, p])
    w00, w01, w10, w11, w = weight[0, p], weight[1, p], weight[2, p], weight[3, p], weight[4, p]
    for q in range(np.uintp(WIDE)):
        near = w00 * tile[a + q] + w01 * tile[b + q]
        near += w10 * tile[c + q] + w11 * tile[d + q]
        far = w00 * tile[e + q] + w01 * tile[f + q]
        far += w10 * tile[g + q] + w11 * tile[h + q]
        sums[q] = (ONE - w) * near + w * far
    for q in range(np.uintp(2 * LOOKS)):
        scatter[at, q] += sums[q]

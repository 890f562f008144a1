# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Reslice: HU by trilinear interpolation and tissue classes by nearest neighbour, at any pose.

The volume stays in its own voxel grid, of which `compute.bricks` holds a copy that is quick to read. Points in `probe`
go to voxels by one 4×4 product,

    voxel_from_probe = voxel_from_ct @ ct_from_probe,

computed in float64. Outside the box of voxel centres there is air. A thick slice is the weighted mean of
planes shifted along the elevation (y of `probe`); its classes are those of the central plane.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from us_sim.core.compute import prefetch
from us_sim.core.compute.bricks import ask, class_of, hu_of, places, steps, word
from us_sim.core.compute.grids import by_axis, mapped, nearest_place
from us_sim.core.compute.kernels import kernel
from us_sim.core.geometry.transforms import Matrix, check_pose, inverse
from us_sim.core.patient.volume import AIR_HU, CtVolume

Beam = tuple[NDArray[np.float64], NDArray[np.float32]]
Poses = Matrix | Tensor  # (B, 4, 4) ct_from_probe, mm, as an array or as a float64 tensor on the sampler's device

BLOCK = 512  # points of one pose that a thread samples before it looks for more
THIN: Beam = (np.zeros(1), np.ones(1, np.float32))


def elevation_beam(thickness: float, planes: int) -> Beam:
    """Return offsets along the elevation, (N,) mm, and weights, (N,) of sum 1, of a raised-cosine beam.

    Args:
        thickness: full width of the beam at half its maximum, mm; it reaches zero `thickness` from the centre.
        planes: N, odd; 1 gives the thin central plane.
    """
    if planes == 1:
        return THIN
    offsets = thickness * (2 * (np.arange(planes) + 0.5) / planes - 1)
    weights = np.cos(0.5 * np.pi * offsets / thickness) ** 2 if thickness > 0 else np.ones(planes)
    return offsets, (weights / weights.sum()).astype(np.float32)


def reslice(
    volume: CtVolume,
    points: NDArray[np.float32],
    ct_from_probe: ArrayLike,
    beam: Beam = THIN,
    *,
    of_each: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Sample the CT at points that are fixed to the probe.

    Args:
        volume: the patient.
        points: (..., 3) mm in `probe`.
        ct_from_probe: (4, 4) pose, or (B, 4, 4) for a batch.
        beam: elevational offsets and weights from `elevation_beam`; an odd number, whose central one is 0.
        of_each: the points are (B, ..., 3), those of each pose of a batch.

    Returns:
        HU, (...) float32, and classes, (...) uint8, of the points' shape, with a leading B for a batch.

    Raises:
        PoseError: a pose is not finite and rigid.
    """
    voxel_from_probe, flat, shape = _prepared(volume, points, ct_from_probe, of_each)
    hu, tissue = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    out = hu.reshape(-1), tissue.reshape(-1)
    _planes(volume.hu, volume.bricks, voxel_from_probe, flat, *beam, *out)
    return hu, tissue


def nearest_classes(
    volume: CtVolume, points: NDArray[np.float32], ct_from_probe: ArrayLike, *, of_each: bool = False
) -> NDArray[np.uint8]:
    """Return the classes of `reslice` alone; arguments, shapes and errors are the same."""
    voxel_from_probe, flat, shape = _prepared(volume, points, ct_from_probe, of_each)
    tissue = np.empty(shape, np.uint8)
    _nearest(volume.tissue, voxel_from_probe, flat, tissue.reshape(-1))
    return tissue


def _prepared(
    volume: CtVolume, points: NDArray[np.float32], ct_from_probe: ArrayLike, of_each: bool
) -> tuple[Matrix, NDArray[np.float32], tuple[int, ...]]:
    """Return (B, 4, 4) matrices from mm in `probe` to voxels, (B or 1, 3, N) points, and the shape of the samples."""
    poses = check_pose(ct_from_probe)
    assert not of_each or len(points) == len(poses), f"points of {len(points)} poses for {len(poses)}"
    shape = points.shape[:-1] if of_each else poses.shape[:-2] + points.shape[:-1]
    return inverse(volume.ct_from_voxel) @ poses.reshape(-1, 4, 4), by_axis(points, of_each=of_each), shape


# One parallel loop goes over blocks of all poses: to start the threads for each pose would take longer than a small
# frame. In it no array is sliced: numba then tells the compiler that the arrays do not overlap, without which the loops
# over channels and corners are not vectorised and take twice as long.


@numba.njit(inline="always")
def blocks(size):  # type: ignore[no-untyped-def]
    """Number of blocks of so many points."""
    return (size + BLOCK - 1) // BLOCK


@numba.njit(inline="always")
def block_of(r, size):  # type: ignore[no-untyped-def]
    """Pose, first and last point of block r of poses with `size` points each; there are `blocks(size)` to a pose."""
    count = blocks(size)
    start = r % count * BLOCK
    return r // count, start, min(start + BLOCK, size)


@kernel
def _nearest(tissue, voxel_from_probe, points, out):  # type: ignore[no-untyped-def]
    size, flat = points.shape[2], tissue.reshape(-1)
    for r in numba.prange(len(voxel_from_probe) * blocks(size)):
        n, start, stop = block_of(r, size)
        own, first, place = n if len(points) > 1 else 0, np.uintp(start), np.empty(BLOCK, np.int32)
        for p in range(np.uintp(stop) - first):  # places first, by vectors, as reading cannot be one
            x, y, z = points[own, 0, first + p], points[own, 1, first + p], points[own, 2, first + p]
            a, b, c = mapped(voxel_from_probe, n, x, y, z)
            place[p] = nearest_place(tissue, a, b, c)
        for p in range(stop - start):
            prefetch.line_of(flat, np.uintp(max(place[p], np.int32(0))))
        for p in range(stop - start):
            out[n * size + start + p] = flat[np.uintp(place[p])] if place[p] >= 0 else np.uint8(0)


@kernel
def _planes(  # type: ignore[no-untyped-def]
    grid, bricks, voxel_from_probe, points, offsets, weights, values, classes
):
    """HU averaged over elevational planes, and the classes of the central one; of `grid` only the shape is read."""
    size, (along_i, along_j) = points.shape[2], steps(grid)
    for r in numba.prange(len(voxel_from_probe) * blocks(size)):
        n, start, stop = block_of(r, size)
        own, first, count = n if len(points) > 1 else 0, np.uintp(start), np.uintp(stop - start)
        at = np.uintp(n * size + start)
        place, nearest = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32)  # -1 outside; the nearest voxel's
        di, dj, dk = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32)
        u, v, w = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        for p in range(count):
            values[at + p] = 0
        for plane in range(len(offsets)):
            for p in range(count):  # places first: one loop for both would not become vector instructions
                x, y, z = points[own, 0, first + p], points[own, 1, first + p], points[own, 2, first + p]
                a, b, c = mapped(voxel_from_probe, n, x, y + offsets[plane], z)
                within, a, b, c = _or_first(grid, a, b, c)
                i = min(np.int32(a), np.int32(grid.shape[0] - 2))
                j = min(np.int32(b), np.int32(grid.shape[1] - 2))
                k = min(np.int32(c), np.int32(grid.shape[2] - 2))
                u[p], v[p], w[p] = a - np.float64(i), b - np.float64(j), c - np.float64(k)
                here_i, here_j, here_k = places(i, j, k, along_i, along_j)
                next_i, next_j, next_k = places(i + 1, j + 1, k + 1, along_i, along_j)
                place[p] = here_i + here_j + here_k if within else np.int32(-1)
                di[p], dj[p], dk[p] = next_i - here_i, next_j - here_j, next_k - here_k
                nearest[p] = (
                    (next_i if np.int32(a + 0.5) > i else here_i) + (next_j if np.int32(b + 0.5) > j else here_j)
                    + (next_k if np.int32(c + 0.5) > k else here_k)
                )  # fmt: skip
            for p in range(count):
                ask(bricks, max(place[p], np.int32(0)), di[p], dj[p], dk[p])
            for p in range(count):
                here = max(place[p], np.int32(0))
                g00 = _along_k(bricks, here, dk[p], w[p])
                g01 = _along_k(bricks, here + dj[p], dk[p], w[p])
                g10 = _along_k(bricks, here + di[p], dk[p], w[p])
                g11 = _along_k(bricks, here + di[p] + dj[p], dk[p], w[p])
                g0, g1 = g00 + v[p] * (g01 - g00), g10 + v[p] * (g11 - g10)
                values[at + p] += weights[plane] * (g0 + u[p] * (g1 - g0) if place[p] >= 0 else np.float32(AIR_HU))
            for p in range(count if 2 * plane + 1 == len(offsets) else 0):
                classes[at + p] = class_of(word(bricks, nearest[p])) if place[p] >= 0 else np.uint8(0)


@numba.njit(inline="always")
def _or_first(grid, a, b, c):  # type: ignore[no-untyped-def]
    """Whether a fractional index lies in the box of sample centres, and the index; 0 instead where it does not."""
    low = (a >= 0) & (b >= 0) & (c >= 0)  # False for NaN
    within = low & (a <= grid.shape[0] - 1) & (b <= grid.shape[1] - 1) & (c <= grid.shape[2] - 1)
    return within, a if within else 0.0, b if within else 0.0, c if within else 0.0


@numba.njit(inline="always")
def _along_k(bricks, here, step, share):  # type: ignore[no-untyped-def]
    """HU between a voxel and the next one along k."""
    low, high = hu_of(word(bricks, here)), hu_of(word(bricks, here + step))
    return low + share * (high - low)

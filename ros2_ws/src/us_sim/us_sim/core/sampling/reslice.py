# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Reslice: HU by trilinear interpolation and tissue classes by nearest neighbour, at any pose.

The volume stays in its own voxel grid. Points in `probe` go to voxels by one 4×4 product,

    voxel_from_probe = voxel_from_ct @ ct_from_probe,

computed in float64. Outside the box of voxel centres there is air. A thick slice is the weighted mean of
planes shifted along the elevation (y of `probe`); its classes are those of the central plane.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from us_sim.core.compute.grids import by_axis, inside, mapped, nearest, nearest_place, trilinear
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
        planes: N; 1 gives the thin central plane.
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
        beam: elevational offsets and weights from `elevation_beam`.
        of_each: the points are (B, ..., 3), those of each pose of a batch.

    Returns:
        HU, (...) float32, and classes, (...) uint8, of the points' shape, with a leading B for a batch.

    Raises:
        PoseError: a pose is not finite and rigid.
    """
    voxel_from_probe, flat, shape = _prepared(volume, points, ct_from_probe, of_each)
    hu, tissue = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    out = hu.reshape(-1), tissue.reshape(-1)
    if beam is THIN:
        _thin(volume.hu, volume.tissue, voxel_from_probe, flat, *out)
    else:
        _thick(volume.hu, volume.tissue, voxel_from_probe, flat, *beam, *out)
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
            out[n * size + start + p] = flat[np.uintp(place[p])] if place[p] >= 0 else np.uint8(0)


@kernel
def _thin(hu, tissue, voxel_from_probe, points, values, classes):  # type: ignore[no-untyped-def]
    size = points.shape[2]
    for r in numba.prange(len(voxel_from_probe) * blocks(size)):
        n, start, stop = block_of(r, size)
        own = n if len(points) > 1 else 0
        for p in range(start, stop):
            at = n * size + p
            a, b, c = mapped(voxel_from_probe, n, points[own, 0, p], points[own, 1, p], points[own, 2, p])
            values[at] = trilinear(hu, a, b, c, np.float32) if inside(hu, a, b, c) else np.float32(AIR_HU)
            classes[at] = nearest(tissue, a, b, c)


@kernel
def _thick(  # type: ignore[no-untyped-def]
    hu, tissue, voxel_from_probe, points, offsets, weights, values, classes
):
    size = points.shape[2]
    for r in numba.prange(len(voxel_from_probe) * blocks(size)):
        n, start, stop = block_of(r, size)
        own = n if len(points) > 1 else 0
        for p in range(start, stop):
            at, value = n * size + p, np.float32(0)
            x, y, z = points[own, 0, p], points[own, 1, p], points[own, 2, p]
            for plane in range(len(offsets)):
                a, b, c = mapped(voxel_from_probe, n, x, y + offsets[plane], z)
                value += weights[plane] * (
                    trilinear(hu, a, b, c, np.float32) if inside(hu, a, b, c) else np.float32(AIR_HU)
                )
            values[at] = value
            a, b, c = mapped(voxel_from_probe, n, x, y, z)
            classes[at] = nearest(tissue, a, b, c)

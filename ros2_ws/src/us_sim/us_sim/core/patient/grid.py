# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Voxel grids: what makes one usable, and coarser copies for what needs no full resolution."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from us_sim.core.errors import PatientError
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.loops import block_sums, of_blocks, spread

MAX_VOXELS = 2**29  # 512 × 512 × 2048; HU and tissue of it take 1.5 GiB
_REACH = 6.0  # blocks that a radius takes at the least before they are merged to larger ones
SPACING_RANGE = (0.02, 50.0)  # mm; a CT outside it has its affine in other units
FARTHEST = 1e5  # mm from the origin of the scanner's frame to the first voxel


def check_grid(shape: tuple[int, ...], ct_from_voxel: ArrayLike, source: object) -> Matrix:
    """Return the affine as float64 (4, 4) after checking that shape and affine make a volume.

    Args:
        shape: voxels along each axis.
        ct_from_voxel: (4, 4), voxel index to mm in `ct`.
        source: file or folder that a message names.

    Raises:
        PatientError: not 3-D, empty, a single slice, too large; an affine that is not finite, is singular,
            or gives voxels of an impossible size or at an impossible place.
    """
    if len(shape) != 3:
        raise PatientError(f"{source}: has {len(shape)} dimensions {shape}; expected 3: extract one volume")
    if min(shape) < 1:
        raise PatientError(f"{source}: is empty, shape {shape}; expected at least 2 voxels along each axis")
    if min(shape) < 2:
        raise PatientError(f"{source}: is a single slice, shape {shape}; expected a volume: give all slices")
    if np.prod(shape, dtype=np.float64) > MAX_VOXELS:
        raise PatientError(f"{source}: shape {shape} is over {MAX_VOXELS:,} voxels; crop or resample it")
    affine = np.asarray(ct_from_voxel, dtype=np.float64)
    if not np.isfinite(affine).all():
        raise PatientError(f"{source}: the affine holds NaN or Inf; rewrite the file with a valid affine")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if abs(np.linalg.det(affine[:3, :3])) <= 1e-3 * spacing.prod():
        raise PatientError(f"{source}: the affine is singular (its voxel axes span no volume); rewrite the file")
    if spacing.min() < SPACING_RANGE[0] or spacing.max() > SPACING_RANGE[1]:
        raise PatientError(
            f"{source}: voxels of {np.round(spacing, 5).tolist()} mm; expected {SPACING_RANGE[0]} to "
            f"{SPACING_RANGE[1]} mm: is the affine in millimetres?"
        )
    if np.abs(affine[:3, 3]).max() > FARTHEST:
        raise PatientError(
            f"{source}: its first voxel lies at {[float(f'{v:.3g}') for v in affine[:3, 3]]} mm; expected within "
            f"{FARTHEST:g} mm of the origin: rewrite the file with a valid affine"
        )
    return affine


def coarse_steps(ct_from_voxel: Matrix, size: float) -> tuple[int, int, int]:
    """Return how many voxels along each axis make a block of about `size` mm, at least 1."""
    i, j, k = np.maximum(1, np.rint(size / np.linalg.norm(ct_from_voxel[:3, :3], axis=0))).astype(int)
    return int(i), int(j), int(k)


def coarsen(
    values: NDArray[Any], steps: tuple[int, int, int], low: int = -(2**15), high: int = 2**15 - 1
) -> NDArray[np.float32]:
    """Return the float32 means over blocks of (i, j, k) voxels; the last blocks of an axis may be smaller.

    Args:
        values: (I, J, K) int16 or bool.
        steps: voxels of a block along each axis.
        low, high: what values are cut to before.
    """
    sizes = [np.diff(np.append(np.arange(0, n, step), n)) for n, step in zip(values.shape, steps, strict=True)]
    total = np.zeros([len(size) for size in sizes], dtype=np.int32)
    values = np.ascontiguousarray(values)
    block_sums(values.view(np.uint8) if values.dtype == bool else values, np.array(steps), low, high, total)
    counts = np.multiply.outer(np.multiply.outer(sizes[0], sizes[1]), sizes[2])
    return (total / counts).astype(np.float32)


def refine(blocks: NDArray[Any], steps: tuple[int, int, int], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the (I, J, K) array in which every voxel takes its block's value: undoes `coarsen`."""
    out = np.empty(shape, dtype=blocks.dtype)
    of_blocks(np.ascontiguousarray(blocks), np.array(steps), out)
    return out


def ball(ct_from_voxel: Matrix, radius: float) -> NDArray[np.intp]:
    """Return the (N, 3) voxel offsets whose length in `ct` is at most `radius` mm, 0 included."""
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(ct_from_voxel[:3, :3]), axis=1)).astype(int)
    box = np.array(list(itertools.product(*(range(-r, r + 1) for r in reach))), dtype=np.intp)
    return box[np.linalg.norm(box @ ct_from_voxel[:3, :3].T, axis=1) <= radius]


def ball_element(ct_from_voxel: Matrix, radius: float) -> NDArray[np.bool_]:
    """Return `ball` as a structuring element, (odd, odd, odd) bool."""
    offsets = ball(ct_from_voxel, radius)
    reach = offsets.max(axis=0)
    element = np.zeros(2 * reach + 1, dtype=bool)
    element[tuple((offsets + reach).T)] = True
    return element


def axial_axis(ct_from_voxel: Matrix) -> int:
    """Return the voxel axis that runs closest to head–foot (z of `ct`): its slices are the axial ones."""
    directions = ct_from_voxel[:3, :3] / np.linalg.norm(ct_from_voxel[:3, :3], axis=0)
    return int(np.abs(directions[2]).argmax())


def fill_slices(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Return the (I, J, K) mask with the holes filled in each slice across `axis`."""
    slices = [ndimage.binary_fill_holes(one) for one in np.moveaxis(mask, axis, 0)]
    return np.moveaxis(np.stack(slices), 0, axis)


def grow(mask: NDArray[np.bool_], ct_from_voxel: Matrix, radius: float) -> NDArray[np.bool_]:
    """Return the (I, J, K) mask with all voxels whose centre lies within `radius` mm of a centre in it.

    The same as a dilation with `ball_element`, at the cost of the mask's surface instead of the volume. Where the
    radius is many voxels, it is done on blocks of up to a sixth of the radius.
    """
    grown = np.array(mask, order="C")
    reach(mask, ct_from_voxel, radius, 1, grown.view(np.uint8))
    return grown


def reach(mask: NDArray[np.bool_], ct_from_voxel: Matrix, radius: float, flag: int, out: NDArray[np.uint8]) -> None:
    """Set a flag in (I, J, K) `out` where `grow` adds to the mask; within the mask itself here and there."""
    sizes = np.linalg.norm(ct_from_voxel[:3, :3], axis=0)
    i, j, k = np.maximum(1, np.floor(radius / _REACH / sizes)).astype(int)
    steps = int(i), int(j), int(k)
    if max(steps) > 1:
        blocks = coarsen(mask, steps) > 0.5
        ct_from_block = ct_from_voxel @ np.diag([*steps, 1.0])
        out |= np.uint8(flag) * refine(grow(blocks, ct_from_block, radius), steps, mask.shape)
    else:
        runs = ball_runs(ct_from_voxel, radius)
        spread(np.ascontiguousarray(mask).view(np.uint8), runs, np.uint8(flag), out)


def ball_runs(ct_from_voxel: Matrix, radius: float) -> NDArray[np.intp]:
    """Return `ball` as (N, 4) runs along k: offset along i and j, first and last one along k."""
    rows: dict[tuple[int, int], list[int]] = {}
    for i, j, k in ball(ct_from_voxel, radius).tolist():
        rows.setdefault((i, j), []).append(k)
    return np.array([(i, j, min(along), max(along)) for (i, j), along in rows.items()], dtype=np.intp)

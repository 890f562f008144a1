# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Tissue classes from Hounsfield units, for a CT without labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.body import outer_layer
from us_sim.core.patient.contrast import blood_with_contrast
from us_sim.core.patient.grid import axial_axis, ball_element, coarse_steps, coarsen, fill_slices, grow, refine
from us_sim.core.patient.loops import mean_below
from us_sim.core.tissue import TissueClass

# Hounsfield units: Hounsfield 1980; ranges as in radiology textbooks, between the tissues' means.
GAS_BELOW = -400
FAT = (-200, -30)
BONE_ABOVE = 250  # above most vessels with contrast agent
BONE_RIM_ABOVE = 130  # cortex under partial volume, beside bone
METAL_ABOVE = 2500
LUNG = (-950, -400)  # mean over blocks of 3 mm; bowel gas lies below

SKIN_DEPTH = 2.0  # mm
_BLUR = 2.0  # mm, scale at which fat is separated from soft tissue, so that CT noise does not speckle the map
_RIM = 2.0  # mm, at least a voxel, of partial volume: around gas it looks like fat and is a wall
_LUNG_CORE = 4.5  # mm, radius of a ball that fits into lung but not into the rim of a gas bubble
_LUNG_LEAST = 10e3  # mm³
_STREAKS = 40.0  # mm around metal in which dark streaks look like gas


def tissue_from_hu(hu: NDArray[np.int16], body: NDArray[np.bool_], ct_from_voxel: Matrix) -> NDArray[np.uint8]:
    """Return (I, J, K) uint8 ids of what HU alone can tell: background, skin, gas, lung, fat, soft, bone, and blood
    with contrast agent.

    Args:
        hu: (I, J, K) Hounsfield units.
        body: (I, J, K) as from `body_mask`.
        ct_from_voxel: (4, 4), voxel index to mm in `ct`.
    """
    tissue = np.full(hu.shape, TissueClass.SOFT, dtype=np.uint8)
    low = hu < GAS_BELOW
    low &= body
    rim = max(_RIM, 1.01 * float(np.linalg.norm(ct_from_voxel[:3, :3], axis=0).min()))
    # Masks take as much memory as classes: each goes before the next comes, and what joins them goes plane by plane.
    _put_denser(tissue, TissueClass.FAT, hu, FAT[0], _fatty(hu, ct_from_voxel), grow(low, ct_from_voxel, rim))
    _put_denser(tissue, TissueClass.BONE, hu, BONE_RIM_ABOVE, grow(hu > BONE_ABOVE, ct_from_voxel, rim))
    blood = blood_with_contrast(hu, ct_from_voxel)
    if blood is not None:
        blood &= body
        _put(tissue, TissueClass.VESSEL, blood)
        del blood
    lung = _lung_region(hu, body, ct_from_voxel)
    lung &= low
    low ^= lung
    if hu.max() > METAL_ABOVE:
        low &= ~_near((hu > METAL_ABOVE) & body, ct_from_voxel, _STREAKS)
    _put(tissue, TissueClass.GAS, low)
    _put(tissue, TissueClass.LUNG, lung)
    del low, lung
    _put(tissue, TissueClass.SKIN, outer_layer(body, ct_from_voxel, SKIN_DEPTH))
    tissue *= body
    return tissue


def _put(tissue: NDArray[np.uint8], value: TissueClass, mask: NDArray[np.bool_]) -> None:
    np.copyto(tissue, np.uint8(value), where=mask)


def _put_denser(
    tissue: NDArray[np.uint8], value: TissueClass, hu: NDArray[np.int16], above: int, mask: NDArray[np.bool_],
    other: NDArray[np.bool_] | None = None,
) -> None:  # fmt: skip
    """Set a class in a mask where HU lie above a limit, but for what another mask holds."""
    for i, out in enumerate(tissue):
        where = mask[i] & (hu[i] > above)
        np.copyto(out, np.uint8(value), where=where if other is None else where & ~other[i])


def _fatty(hu: NDArray[np.int16], ct_from_voxel: Matrix) -> NDArray[np.bool_]:
    """Return where HU are those of fat or below it in the mean over _BLUR."""
    size = np.array([step | 1 for step in coarse_steps(ct_from_voxel, _BLUR)])
    out = np.empty(hu.shape, dtype=bool)
    mean_below(hu, size, FAT[0] - 50, 100, FAT[1], out)
    return out


def _lung_region(hu: NDArray[np.int16], body: NDArray[np.bool_], ct_from_voxel: Matrix) -> NDArray[np.bool_]:
    """Large regions of lung density with what they enclose, one block wider than they are."""
    steps = coarse_steps(ct_from_voxel, 3.0)
    ct_from_block = ct_from_voxel @ np.diag([*steps, 1.0])
    blocks = coarsen(hu, steps)
    inside = body[:: steps[0], :: steps[1], :: steps[2]]
    airy = (blocks > LUNG[0]) & (blocks < LUNG[1]) & inside
    block = float(np.linalg.norm(ct_from_block[:3, :3], axis=0).max())
    element = ball_element(ct_from_block, max(_LUNG_CORE, 1.01 * block))  # reaches a block in each direction
    core = ndimage.binary_erosion(airy, element, border_value=1)
    region = ndimage.binary_dilation(core, element) & airy
    components, _ = ndimage.label(region)
    large = np.bincount(components.ravel()) * abs(np.linalg.det(ct_from_block[:3, :3])) > _LUNG_LEAST
    large[0] = False
    filled = fill_slices(large[components], axial_axis(ct_from_block))
    return refine(ndimage.binary_dilation(filled), steps, hu.shape)


def _near(mask: NDArray[np.bool_], ct_from_voxel: Matrix, distance: float) -> NDArray[np.bool_]:
    """Return what lies within about `distance` mm of the mask, to blocks of 6 mm."""
    steps = coarse_steps(ct_from_voxel, 6.0)
    ct_from_block = ct_from_voxel @ np.diag([*steps, 1.0])
    touched = coarsen(mask, steps) > 0
    return refine(grow(touched, ct_from_block, distance), steps, mask.shape)

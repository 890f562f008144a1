# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Tissue classes from Hounsfield units, for a CT without labels."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from us_sim.core.compute.kernels import kernel
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.contrast import blood_with_contrast
from us_sim.core.patient.grid import axial_axis, ball_element, coarse_steps, coarsen, fill_slices, grow, reach, refine
from us_sim.core.patient.loops import holds_any, mean_below
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
_BACKGROUND, _SOFT, _FAT, _BONE, _GAS, _LUNG, _SKIN = (
    np.uint8(TissueClass[name]) for name in ("BACKGROUND", "SOFT", "FAT", "BONE", "GAS", "LUNG", "SKIN")
)
_FATTY, _BESIDE_GAS, _BESIDE_BONE, _BESIDE_AIR = (np.uint8(1 << bit) for bit in range(4))  # flags of a voxel


def tissue_from_hu(hu: NDArray[np.int16], body: NDArray[np.bool_], ct_from_voxel: Matrix) -> NDArray[np.uint8]:
    """Return (I, J, K) uint8 ids of what HU alone can tell: background, skin, gas, lung, fat, soft, bone, and blood
    with contrast agent.

    Args:
        hu: (I, J, K) Hounsfield units.
        body: (I, J, K) as from `body_mask`.
        ct_from_voxel: (4, 4), voxel index to mm in `ct`.
    """
    tissue = np.zeros(hu.shape, dtype=np.uint8)
    _flag(hu, body, ct_from_voxel, tissue)
    lung, steps = _lung_blocks(hu, body, ct_from_voxel)
    _classify(hu, body, lung, np.array(steps), tissue)
    if hu.max() > METAL_ABOVE:
        gas = tissue == TissueClass.GAS
        tissue[gas & _near((hu > METAL_ABOVE) & body, ct_from_voxel, _STREAKS)] = TissueClass.SOFT
    if (blood := blood_with_contrast(hu, ct_from_voxel)) is not None:
        blood &= (tissue != TissueClass.SKIN) & body
        tissue[blood] = TissueClass.VESSEL
    return tissue


def _flag(hu: NDArray[np.int16], body: NDArray[np.bool_], ct_from_voxel: Matrix, flags: NDArray[np.uint8]) -> None:
    """Tell what lies around each voxel; in one array and by one mask, for each takes as much memory as the classes."""
    size = np.array([step | 1 for step in coarse_steps(ct_from_voxel, _BLUR)])
    mean_below(hu, size, FAT[0] - 50, 100, FAT[1], body, flags.view(bool))
    voxel = float(np.linalg.norm(ct_from_voxel[:3, :3], axis=0).min())
    rim = max(_RIM, 1.01 * voxel)
    mask = hu < GAS_BELOW
    mask &= body
    reach(mask, ct_from_voxel, rim, _BESIDE_GAS, flags)
    reach(np.greater(hu, BONE_ABOVE, out=mask), ct_from_voxel, rim, _BESIDE_BONE, flags)
    # From an air voxel's centre half a voxel to the body; where the border of the volume cuts it there is no air.
    reach(np.logical_not(body, out=mask), ct_from_voxel, SKIN_DEPTH + voxel / 2, _BESIDE_AIR, flags)


@kernel
def _classify(hu, body, lung, steps, tissue):  # type: ignore[no-untyped-def]
    """Turn (I, J, K) flags into classes, 0 outside the body; `lung` is of blocks of `steps` voxels."""
    for i in numba.prange(hu.shape[0]):
        airy = np.empty(hu.shape[2], np.bool_)
        for j in range(hu.shape[1]):
            if j % steps[1] == 0:
                for c in range(lung.shape[2]):
                    airy[c * steps[2] : (c + 1) * steps[2]] = lung[i // steps[0], j // steps[1], c]
            if holds_any(body[i, j]):
                _classify_row(hu[i, j], body[i, j], airy, tissue[i, j])
            else:
                tissue[i, j] = 0


@numba.njit
def _classify_row(hu, body, airy, tissue):  # type: ignore[no-untyped-def]
    for k in range(len(hu)):
        flags, value = tissue[k], hu[k]
        kind = _FAT if ((flags & (_FATTY | _BESIDE_GAS)) == _FATTY) & (value > FAT[0]) else _SOFT
        kind = _BONE if ((flags & _BESIDE_BONE != 0) | (value > BONE_ABOVE)) & (value > BONE_RIM_ABOVE) else kind
        kind = (_LUNG if airy[k] else _GAS) if value < GAS_BELOW else kind
        tissue[k] = (_SKIN if flags & _BESIDE_AIR else kind) if body[k] else _BACKGROUND


def _lung_blocks(
    hu: NDArray[np.int16], body: NDArray[np.bool_], ct_from_voxel: Matrix
) -> tuple[NDArray[np.bool_], tuple[int, int, int]]:
    """Return blocks of voxels, and their steps: large regions of lung density with what they enclose, a block wider."""
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
    return np.ascontiguousarray(ndimage.binary_dilation(filled)), steps


def _near(mask: NDArray[np.bool_], ct_from_voxel: Matrix, distance: float) -> NDArray[np.bool_]:
    """Return what lies within about `distance` mm of the mask, to blocks of 6 mm."""
    steps = coarse_steps(ct_from_voxel, 6.0)
    ct_from_block = ct_from_voxel @ np.diag([*steps, 1.0])
    touched = coarsen(mask, steps) > 0
    return refine(grow(touched, ct_from_block, distance), steps, mask.shape)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Where the patient's body is, limbs beside the trunk included, without table and clothes, gas and lungs filled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.grid import axial_axis, ball_element, coarse_steps, coarsen, fill_slices, refine

_BLOCK = 3.0  # mm, resolution of everything but the surface
_SURFACE = -500  # HU half-way between air and skin: where the surface lies under partial volume
_DENSE = -350  # HU of a block that is surely not clothes or foam
_THIN = 6.0  # mm, radius of the opening: table shells, straps and blankets are thinner than twice this
_LIMB = 14.0  # mm, radius of a ball that fits into an arm or a leg and not into a table
_LIMB_SHARE = 0.02  # of the largest part; an arm beside the trunk has 3 to 6 %
_AIR = -950  # HU, mean of a block: below it air around a patient, above it lung
_GAP = 4.5  # mm, radius of a ball that fits into air around a patient, and not between the vessels of a lung


def body_mask(hu: NDArray[np.int16], ct_from_voxel: Matrix) -> NDArray[np.bool_]:
    """Return the (I, J, K) mask of the body; all False where nothing is denser than air.

    The body is found on blocks of about 3 mm; its surface is then set by the voxels themselves.

    Args:
        hu: (I, J, K) Hounsfield units.
        ct_from_voxel: (4, 4), voxel index to mm in `ct`.
    """
    steps = coarse_steps(ct_from_voxel, _BLOCK)
    ct_from_block = ct_from_voxel @ np.diag([*steps, 1.0])
    means = coarsen(hu, steps)
    blocks = _coarse_body(means > _DENSE, ct_from_block)
    if _is_cropped(means, axial_axis(ct_from_block)):
        blocks |= _beside_air(means, ct_from_block)
    core = ndimage.binary_erosion(blocks, border_value=1)
    reach = ndimage.binary_dilation(blocks)
    zone = refine(reach.astype(np.uint8) + core, steps, hu.shape)  # 2 in the core, 1 where the voxels decide
    for plane, out in zip(hu, zone, strict=True):  # in place: a mask takes as much memory as the classes
        np.greater(out, plane <= _SURFACE, out=out.view(bool))
    return zone.view(bool)


def _coarse_body(dense: NDArray[np.bool_], ct_from_block: Matrix) -> NDArray[np.bool_]:
    """Largest dense component after opening, its own thin parts given back, filled in axial slices."""
    element = ball_element(ct_from_block, _THIN)
    opened = _parts(ndimage.binary_erosion(dense, element, border_value=1), ct_from_block)
    body = ndimage.binary_dilation(opened, element) & dense if opened.any() else _largest(dense)
    return fill_slices(body, axial_axis(ct_from_block))


def _parts(eroded: NDArray[np.bool_], ct_from_block: Matrix) -> NDArray[np.bool_]:
    """Return the largest component and those that can be limbs: of some size, and thick."""
    components, count = ndimage.label(eroded)
    if count < 2:
        return eroded
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    kept = sizes >= _LIMB_SHARE * sizes.max()
    thick = ndimage.binary_erosion(eroded, ball_element(ct_from_block, _LIMB - _THIN), border_value=1)
    kept &= np.isin(np.arange(count + 1), components[thick])
    kept[sizes.argmax()] = True
    kept[0] = False
    return kept[components]


def _is_cropped(means: NDArray[np.float32], axis: int) -> bool:
    """Whether the scan ends inside the body at its sides, where others show air."""
    sides = [np.moveaxis(means, other, 0)[[0, -1]].ravel() for other in range(3) if other != axis]
    return bool((np.concatenate(sides) < _AIR).mean() < 0.5)


def _beside_air(means: NDArray[np.float32], ct_from_block: Matrix) -> NDArray[np.bool_]:
    """Return what is no air around the patient: of a cropped scan that is body, open lungs included."""
    element = ball_element(ct_from_block, _GAP)
    core = ndimage.binary_erosion(means < _AIR, element, border_value=1)
    return ~ndimage.binary_dilation(core, element)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    components, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return components == sizes.argmax()

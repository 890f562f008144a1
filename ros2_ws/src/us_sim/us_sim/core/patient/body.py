"""Where the patient's body is: the largest one, without table and clothes, gas and lungs inside filled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.grid import axial_axis, ball_element, coarse_steps, coarsen, fill_slices, grow, refine

_BLOCK = 3.0  # mm, resolution of everything but the surface
_SURFACE = -500  # HU half-way between air and skin: where the surface lies under partial volume
_DENSE = -350  # HU of a block that is surely not clothes or foam
_THIN = 6.0  # mm, radius of the opening: table shells, straps and blankets are thinner than twice this


def body_mask(hu: NDArray[np.int16], ct_from_voxel: Matrix) -> NDArray[np.bool_]:
    """Return the (I, J, K) mask of the body; all False where nothing is denser than air.

    The body is found on blocks of about 3 mm; its surface is then set by the voxels themselves.

    Args:
        hu: (I, J, K) Hounsfield units.
        ct_from_voxel: (4, 4), voxel index to mm in `ct`.
    """
    steps = coarse_steps(ct_from_voxel, _BLOCK)
    ct_from_block = ct_from_voxel @ np.diag([*steps, 1.0])
    blocks = _coarse_body(coarsen(hu, steps) > _DENSE, ct_from_block)
    core = ndimage.binary_erosion(blocks, border_value=1)
    reach = ndimage.binary_dilation(blocks)
    return refine(core, steps, hu.shape) | (refine(reach, steps, hu.shape) & (hu > _SURFACE))


def _coarse_body(dense: NDArray[np.bool_], ct_from_block: Matrix) -> NDArray[np.bool_]:
    """Largest dense component after opening, its own thin parts given back, filled in axial slices."""
    element = ball_element(ct_from_block, _THIN)
    opened = _largest(ndimage.binary_erosion(dense, element, border_value=1))
    body = ndimage.binary_dilation(opened, element) & dense if opened.any() else _largest(dense)
    return fill_slices(body, axial_axis(ct_from_block))


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    components, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return components == sizes.argmax()


def outer_layer(body: NDArray[np.bool_], ct_from_voxel: Matrix, depth: float) -> NDArray[np.bool_]:
    """Return the (I, J, K) mask of the body's voxels within `depth` mm of the air around it.

    Where the border of the volume cuts the body there is no air, hence no layer.
    """
    half_voxel = np.linalg.norm(ct_from_voxel[:3, :3], axis=0).min() / 2  # from an air voxel's centre to the body
    return body & grow(~body, ct_from_voxel, depth + half_voxel)

"""Label maps of others brought onto the CT as tissue classes, and tissue from HU where nobody labelled."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from us_sim.core.errors import PatientError
from us_sim.core.geometry.transforms import Matrix, inverse
from us_sim.core.patient.body import outer_layer
from us_sim.core.patient.grid import axial_axis, ball_element, coarse_steps, coarsen, fill_slices, grow, refine
from us_sim.core.patient.nifti import read_nifti
from us_sim.core.patient.schemes import SCHEMES, check_scheme, check_values, class_of_name, find_scheme
from us_sim.core.tissue import TissueClass

# Hounsfield units: Hounsfield 1980; ranges as in radiology textbooks, between the tissues' means.
GAS_BELOW = -400
FAT = (-200, -30)
BONE_ABOVE = 250  # above most vessels with contrast agent
BONE_RIM_ABOVE = 130  # cortex under partial volume, beside bone
METAL_ABOVE = 2500
LUNG = (-950, -400)  # mean over blocks of 3 mm; bowel gas lies below

SKIN_DEPTH = 2.0  # mm
_BLUR = 2.0  # mm, patches over which fat is told from soft tissue, so that CT noise does not speckle the map
_RIM = 2.0  # mm, at least a voxel, of partial volume: around gas it looks like fat and is a wall
_LUNG_CORE = 4.5  # mm, radius of a ball that fits into lung but not into the rim of a gas bubble
_LUNG_LEAST = 10e3  # mm³
_STREAKS = 40.0  # mm around metal in which dark streaks look like gas


def tissue_from_hu(hu: NDArray[np.int16], body: NDArray[np.bool_], ct_from_voxel: Matrix) -> NDArray[np.uint8]:
    """Return (I, J, K) uint8 ids of what HU alone can tell: background, skin, gas, lung, fat, soft, bone.

    Args:
        hu: (I, J, K) Hounsfield units.
        body: (I, J, K) as from `body_mask`.
        ct_from_voxel: (4, 4), voxel index to mm in `ct`.
    """
    low = (hu < GAS_BELOW) & body
    lung = low & _lung_region(hu, body, ct_from_voxel)
    gas = low & ~lung
    patch = coarse_steps(ct_from_voxel, _BLUR)
    smooth = ndimage.uniform_filter(np.clip(hu, FAT[0] - 50, 100), size=[p | 1 for p in patch])
    rim = max(_RIM, 1.01 * float(np.linalg.norm(ct_from_voxel[:3, :3], axis=0).min()))
    fat = (smooth < FAT[1]) & (hu > FAT[0]) & ~grow(low, ct_from_voxel, rim)
    bone = (hu > BONE_RIM_ABOVE) & grow(hu > BONE_ABOVE, ct_from_voxel, rim)
    metal = hu > METAL_ABOVE
    if metal.any():
        gas &= ~_near(metal & body, ct_from_voxel, _STREAKS)
    tissue = np.full(hu.shape, TissueClass.SOFT, dtype=np.uint8)
    tissue[fat] = TissueClass.FAT
    tissue[bone] = TissueClass.BONE
    tissue[gas] = TissueClass.GAS
    tissue[lung] = TissueClass.LUNG
    tissue[outer_layer(body, ct_from_voxel, SKIN_DEPTH)] = TissueClass.SKIN
    tissue[~body] = TissueClass.BACKGROUND
    return tissue


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
    touched = coarsen(mask.astype(np.int16), steps) > 0
    return refine(grow(touched, ct_from_block, distance), steps, mask.shape)


def read_labels(
    path: Path, scheme: str | None, shape: tuple[int, ...], ct_from_voxel: Matrix
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Read a label map, or a folder with one mask per structure, and bring it onto a CT.

    Args:
        path: NIfTI file, or folder of masks named as TotalSegmentator names them (`liver.nii.gz`).
        scheme: a name in `SCHEMES`; None to find it from values, file name and header.
        shape: of the CT.
        ct_from_voxel: (4, 4) of the CT.

    Returns:
        classes (I, J, K) uint8 ids, 0 where unlabelled (nearest neighbour on another grid); warnings.

    Raises:
        PatientError: unreadable, values outside the scheme, unknown scheme, or no overlap with the CT.
    """
    if path.is_dir():
        classes, ct_from_label, warnings = _read_masks(path)
    else:
        classes, ct_from_label = _read_map(path, scheme)
        warnings = ()
    on_ct = onto_grid(classes, ct_from_label, shape, ct_from_voxel)
    labelled = np.count_nonzero(classes) * abs(np.linalg.det(ct_from_label[:3, :3]))
    landed = np.count_nonzero(on_ct) * abs(np.linalg.det(ct_from_voxel[:3, :3]))
    if not labelled:
        raise PatientError(f"{path}: all labels are 0; give the label map of this CT, or none")
    if not landed:
        raise PatientError(
            f"{path}: the labels do not overlap the CT, they seem to be of another patient; "
            "give the label map of this CT, or none"
        )
    if landed < 0.9 * labelled:
        warnings += (f"{path.name}: {100 * (1 - landed / labelled):.0f} % of the labels lie outside the CT",)
    return on_ct, warnings


def _read_map(path: Path, scheme: str | None) -> tuple[NDArray[np.uint8], Matrix]:
    voxels, ct_from_label, header_text = read_nifti(path)
    labels = _integers(voxels, path)
    present = np.zeros(int(labels.max()) + 1, dtype=bool)
    present[labels] = True
    values = set(np.flatnonzero(present).tolist()) - {0}
    scheme = check_scheme(scheme) if scheme else find_scheme(values, f"{path.name} {header_text}", path)
    check_values(values, scheme, path)
    class_of_value = np.zeros(max(SCHEMES[scheme]) + 1, dtype=np.uint8)
    for value, tissue in SCHEMES[scheme].items():
        class_of_value[value] = tissue
    return class_of_value[labels], ct_from_label


def _integers(voxels: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return label values as integers, 0 to 65535."""
    low, high = voxels.min(), voxels.max()
    if low < 0 or high > 65535:
        raise PatientError(f"{path}: label values from {low} to {high}; expected 0 and above: is it the CT itself?")
    if voxels.dtype.kind in "iu":
        return voxels
    labels = voxels.astype(np.uint16)
    if not np.array_equal(labels, voxels):
        raise PatientError(f"{path}: labels that are no whole numbers; resample label maps by nearest neighbour")
    return labels


def _read_masks(folder: Path) -> tuple[NDArray[np.uint8], Matrix, tuple[str, ...]]:
    """Merge masks, in order of their names; where two overlap the later one counts."""
    named = [(path, class_of_name(path.name.split(".")[0])) for path in sorted(folder.glob("*.nii*"))]
    known = [(path, tissue) for path, tissue in named if tissue is not None]
    ignored = [path.name for path, tissue in named if tissue is None]
    if not known:
        raise PatientError(
            f"{folder}: no masks named as TotalSegmentator or we name them (liver.nii.gz); "
            f"found {', '.join(ignored) or 'no NIfTI file'}"
        )
    merged, ct_from_label, first = None, np.eye(4), known[0][0]
    for path, tissue in known:
        mask, affine, _ = read_nifti(path)
        if merged is None:
            merged, ct_from_label = np.zeros(mask.shape, dtype=np.uint8), affine
        if mask.shape != merged.shape or not np.allclose(affine, ct_from_label, atol=1e-3):
            raise PatientError(f"{path}: has another grid than {first.name}; give masks of one run")
        merged[mask > 0] = tissue
    assert merged is not None
    warnings = (f"{folder.name}: ignored, names unknown: {', '.join(ignored)}",) if ignored else ()
    return merged, ct_from_label, warnings


def onto_grid(
    labels: NDArray[np.uint8], ct_from_label: Matrix, shape: tuple[int, ...], ct_from_voxel: Matrix
) -> NDArray[np.uint8]:
    """Return labels on another grid of the given shape: the nearest voxel's, 0 outside."""
    label_from_voxel = inverse(ct_from_label) @ ct_from_voxel
    if labels.shape == shape and np.allclose(label_from_voxel, np.eye(4), atol=1e-3):
        return np.ascontiguousarray(labels)
    return ndimage.affine_transform(
        labels,
        label_from_voxel[:3, :3],
        label_from_voxel[:3, 3],
        output_shape=shape,
        order=0,
        mode="grid-constant",
    )


def lay_over(
    tissue: NDArray[np.uint8], classes: NDArray[np.uint8], hu: NDArray[np.int16], body: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Return tissue with the labels' classes where there are any; all (I, J, K).

    Labels count inside the body. In hollow organs (labelled soft) gas is told by HU. A map with skin, which
    only our own scheme has, is taken as complete: its zeros are outside.
    """
    if (classes == TissueClass.SKIN).any():
        return classes
    merged = np.where((classes > 0) & body, classes, tissue)
    merged[(classes == TissueClass.SOFT) & (hu < GAS_BELOW) & body] = TissueClass.GAS
    return merged


def content_hash(
    hu: NDArray[np.int16], tissue: NDArray[np.uint8], ct_from_voxel: NDArray[np.float64],
    echo: NDArray[np.int8] | None = None,
) -> str:  # fmt: skip
    """Return the SHA-256, hex, of HU, tissue, affine and, if there is one, echo, with their shape."""
    digest = hashlib.sha256(repr(hu.shape).encode())
    arrays = (hu.astype("<i2", copy=False), tissue, ct_from_voxel.astype("<f8", copy=False))
    for array in arrays if echo is None else (*arrays, echo):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()

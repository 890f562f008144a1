"""NIfTI files: voxels as stored, in their own grid, with the affine in RAS+ millimetres.

Format: https://nifti.nimh.nih.gov/nifti-1 ; the sform counts before the qform, as in the standard's method 3.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from us_sim.core.errors import PatientError
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.grid import check_grid

_DEFLATE_LIMIT = 1032  # deflate packs at most this many bytes into one
_MM_PER_UNIT = {"meter": 1e3, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}


def read_nifti(path: Path) -> tuple[NDArray[Any], Matrix, str]:
    """Read a `.nii` or `.nii.gz` file.

    Returns:
        voxels (I, J, K), integer as stored or float with slope and intercept applied; `ct_from_voxel` (4, 4);
        the text of the header's extensions (TotalSegmentator lists its labels there), often empty.

    Raises:
        PatientError: missing, truncated, not NIfTI, not 3-D, empty, larger than the file can hold, without a
            usable affine, or with voxels that are NaN or Inf.
    """
    image = _open(path)
    shape = _volume_shape(image.shape)
    _check_size(path, image)
    ct_from_voxel = check_grid(shape, _affine(path, image.header), path)
    try:
        scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
        voxels = np.asarray(image.dataobj, dtype=np.float32 if scaled else None)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise PatientError(f"{path}: is truncated or damaged ({error}); copy or export it again") from error
    if voxels.dtype.kind not in "iuf":
        raise PatientError(f"{path}: voxels of type {voxels.dtype}; expected integer or float values")
    if voxels.dtype.kind == "f":
        bad = voxels.size - int(np.isfinite(voxels).sum())
        if bad:
            raise PatientError(f"{path}: {bad} voxels are NaN or Inf; replace them, outside the scan by -1024")
    text = " ".join(str(extension.get_content()) for extension in image.header.extensions)
    return voxels.reshape(shape), ct_from_voxel, text


def _open(path: Path) -> nibabel.Nifti1Image:
    if not path.is_file():
        raise PatientError(f"{path}: no such file or folder; give a NIfTI file (.nii, .nii.gz) or a folder")
    if path.stat().st_size == 0:
        raise PatientError(f"{path}: is empty, 0 bytes; copy or export it again")
    try:
        image = nibabel.load(path, mmap=False)
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error) as error:
        raise PatientError(
            f"{path}: is not a NIfTI file or its header is damaged ({error}); "
            "give a .nii or .nii.gz file, or the folder of a DICOM series"
        ) from error
    if not isinstance(image, nibabel.Nifti1Image):
        raise PatientError(f"{path}: is a {type(image).__name__}, not a NIfTI file; convert it to .nii.gz")
    return image


def _volume_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Drop trailing axes of length 1: many tools write (I, J, K, 1)."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _check_size(path: Path, image: nibabel.Nifti1Image) -> None:
    """Compare what the header promises with the file's size before anything is read or allocated."""
    stored = path.stat().st_size
    promised = float(np.prod(image.shape, dtype=np.float64)) * image.get_data_dtype().itemsize
    packed = path.name.endswith(".gz")
    if promised > stored * (_DEFLATE_LIMIT if packed else 1):
        raise PatientError(
            f"{path}: is truncated or its header wrong: shape {image.shape} takes {promised:.0f} "
            f"bytes, more than a file of {stored} bytes can hold; copy or export it again"
        )


def _affine(path: Path, header: nibabel.Nifti1Header) -> Matrix:
    try:
        affine = header.get_sform(coded=True)[0]
        if affine is None:
            affine = header.get_qform(coded=True)[0]
        unit = header.get_xyzt_units()[0]
    except (HeaderDataError, ValueError, KeyError) as error:
        raise PatientError(f"{path}: its header gives no valid affine ({error}); rewrite the file") from error
    if affine is None:
        raise PatientError(
            f"{path}: has neither sform nor qform, so that left and right are unknown; "
            "convert it from its source again, keeping the orientation"
        )
    return np.diag([*[_MM_PER_UNIT[unit]] * 3, 1.0]) @ affine

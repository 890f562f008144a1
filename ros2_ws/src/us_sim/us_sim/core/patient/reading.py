"""Opens a volume whatever its format: by the file's beginning and the ending of its name."""

from __future__ import annotations

import re
from pathlib import Path

from us_sim.core.errors import PatientError
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient import itk, neuro
from us_sim.core.patient.nifti import check_file, read_nifti
from us_sim.core.patient.scan import Scan

Grid = tuple[tuple[int, ...], Matrix]  # shape and ct_from_voxel
VOLUME = re.compile(r"(?i)\.(nii|nii\.gz|nii\.bz2|nrrd|nhdr|mha|mhd|hdr|mgh|mgz)$")
_STRANGE = {
    ".png": "a picture", ".jpg": "a picture", ".jpeg": "a picture", ".tif": "a picture", ".tiff": "a picture",
    ".npy": "an array without a place", ".npz": "an array without a place", ".pt": "an array without a place",
    ".mat": "an array without a place", ".h5": "an array without a place", ".stl": "a surface", ".obj": "a surface",
    ".mnc": "MINC", ".rar": "an archive", ".7z": "an archive", ".tar": "an archive", ".tgz": "an archive",
}  # fmt: skip


def read_scan(path: Path, grid: Grid | None = None) -> Scan:
    """Read a volume from a file.

    Args:
        path: NIfTI, NRRD, MetaImage, Analyze, MGH.
        grid: of the CT, for labels that have no grid of their own.

    Raises:
        PatientError: naming file, finding and remedy.
    """
    check_file(path)
    name = path.name.lower()
    if name.endswith(itk.ENDINGS):
        return itk.read_itk(path)
    if name.endswith(neuro.ENDINGS):
        return neuro.read_neuro(path)
    if path.suffix.lower() in _STRANGE:
        raise PatientError(
            f"{path}: is {_STRANGE[path.suffix.lower()]}; expected a volume with its place in the patient: "
            ".nii.gz, .nrrd, .mha or a folder with a DICOM series"
        )
    return read_nifti(path)

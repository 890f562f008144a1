# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Opens a volume whatever its format: by the file's beginning and the ending of its name."""

from __future__ import annotations

import itertools
import re
import tempfile
import zipfile
from pathlib import Path

from us_sim.core.errors import PatientError
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient import itk, neuro
from us_sim.core.patient.dicom import read_dicom
from us_sim.core.patient.dicom_files import MOST_FILES, is_dicom, read_header
from us_sim.core.patient.dicom_labels import read_dicom_labels
from us_sim.core.patient.nifti import check_file, read_nifti
from us_sim.core.patient.scan import Scan
from us_sim.core.user_files import home

Grid = tuple[tuple[int, ...], Matrix]  # shape and ct_from_voxel
VOLUME = re.compile(r"(?i)\.(nii|nii\.gz|nii\.bz2|nrrd|nhdr|mha|mhd|hdr|mgh|mgz)$")
_MOST_UNPACKED = 2**32  # bytes of an archive
_STRANGE = {
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"): "a picture",
    (".npy", ".npz", ".pt", ".mat", ".h5", ".hdf5", ".raw"): "an array without a place",
    (".stl", ".obj", ".ply", ".vtp"): "a surface",
    (".mnc", ".vtk", ".vti", ".gipl", ".mif", ".brik", ".head", ".par", ".rec"): "of a program that writes NIfTI too",
    (".rar", ".7z", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".xz", ".zst"): "an archive to be unpacked",
    (".txt", ".csv", ".json", ".xml", ".yaml", ".yml", ".pdf", ".docx", ".md"): "a text",
}


def read_scan(path: Path, grid: Grid | None = None, labels: bool = False) -> Scan:
    """Read a volume from a file, or a DICOM series from a folder.

    Args:
        path: NIfTI, NRRD, MetaImage, Analyze, MGH; a DICOM file, its series, a DICOMDIR or folder; or a zip of one.
        grid: of the CT, for labels that have no grid of their own (RTSTRUCT).
        labels: whether it is a label map, which packs more closely than a CT.

    Raises:
        PatientError: naming file, finding and remedy.
    """
    if path.is_dir():
        return read_dicom(path)
    check_file(path)
    name = path.name.lower()
    if zipfile.is_zipfile(path):
        return _read_zip(path, grid, labels)
    if name.endswith(itk.ENDINGS):
        return itk.read_itk(path)
    if name.endswith(neuro.ENDINGS):
        return neuro.read_neuro(path)
    if is_dicom(path):
        header = read_header(path)
        drawn = header is not None and header.get("Modality") in ("SEG", "RTSTRUCT")
        return read_dicom_labels(path, grid) if drawn else read_dicom(path)
    strange = next((what for endings, what in _STRANGE.items() if name.endswith(endings)), None)
    if strange is not None:
        raise PatientError(
            f"{path}: is {strange}; expected a volume with its place in the patient: "
            ".nii.gz, .nrrd, .mha or a folder with a DICOM series"
        )
    return read_nifti(path, labels)


def _read_zip(path: Path, grid: Grid | None, labels: bool) -> Scan:
    """Unpack an archive beside nothing of the user's, and read the one volume or series in it."""
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            members = [
                member for member in archive.infolist() if not member.is_dir() and not _of_a_mac(member.filename)
            ]
            size = sum(member.file_size for member in members)
            if size > _MOST_UNPACKED or len(members) > MOST_FILES:
                raise PatientError(f"{path}: holds {len(members)} files of {size} bytes; give one scan")
            for member in members:
                archive.extract(member, folder)
            volumes = [file for file in sorted(Path(folder).rglob("*")) if file.is_file() and VOLUME.search(file.name)]
            if len(volumes) > 1:
                shown = ", ".join(volume.name for volume in volumes[:5])
                raise PatientError(f"{path}: holds {len(volumes)} volumes ({shown}); unpack it and give one")
            try:
                return read_scan(volumes[0] if volumes else Path(folder), grid, labels)
            except PatientError as error:  # names the archive, not the folder that it was unpacked into
                raise PatientError(str(error).replace(folder, str(path))) from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise PatientError(f"{path}: cannot be unpacked ({error}); unpack it and give the folder") from error


def _of_a_mac(member: str) -> bool:
    parts = Path(member).parts
    return "__MACOSX" in parts or parts[-1].startswith("._")


def dicom_labels_in(folder: Path) -> list[Path]:
    """Return the SEG and RTSTRUCT files in a folder, without its subfolders."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.stat().st_size and is_dicom(path) and _modality(path) in ("SEG", "RTSTRUCT")
    ]


def _modality(path: Path) -> str:
    try:
        header = read_header(path)
    except Exception:  # each kind of damage raises its own, and none is a label
        return ""
    return str(header.get("Modality") or "") if header is not None else ""


def links_below(path: str) -> list[str]:
    """Return where the links below a folder lead, for those who may read only some folders; empty for a file.

    A folder of more than `MOST_FILES` is looked at in part: no series is read from it.
    """
    folder = home(path) if path else Path()
    if not path or not folder.is_dir():
        return []
    return [str(item.resolve()) for item in itertools.islice(folder.rglob("*"), MOST_FILES + 1) if item.is_symlink()]

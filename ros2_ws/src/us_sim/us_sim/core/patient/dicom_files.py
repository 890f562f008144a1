# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""DICOM files: which of a folder hold a slice of an image, where it lies, and what else lies there."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ImplicitVRLittleEndian

from us_sim.core.errors import PatientError

_SERIES = ("SeriesInstanceUID", "SeriesDescription", "Modality")
_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_TAGS = [*_SERIES, *_PLACE, "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "ImageType", "RescaleSlope",
         "RescaleIntercept", "RescaleType", "PhotometricInterpretation", "SOPClassUID", "BitsAllocated",
         "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "PixelData"]  # fmt: skip
_BESIDE_PIXELS = 2**26  # bytes of a file beside its pixels
MOST_FILES = 50_000  # below a folder
_STARTS = (b"\2\0", b"\x08\0", b"\0\2", b"\0\x08")  # groups of the first element of a file without preamble
_NO_IMAGE = ("SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "SR", "PR", "KO", "DOC", "REG", "PLAN")


@dataclass(frozen=True, eq=False)
class Slice:
    """A plane of an image; `frame` is its number in a file of many, None in a file of its own."""

    path: Path
    frame: int | None
    series: str
    description: str
    modality: str
    is_localizer: bool
    size: tuple[int, int]  # rows, columns
    position: NDArray[np.float64]  # (3,) centre of the first pixel, LPS, mm
    axes: NDArray[np.float64]  # (2, 3) unit directions of growing column and row index, LPS
    spacing: NDArray[np.float64]  # (2,) mm between rows, between columns
    slope: float
    intercept: float
    damage: str = ""  # what is wrong with slope or intercept
    unit: str = ""  # RescaleType, empty where it is not said

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector across the plane, LPS."""
        return np.cross(self.axes[0], self.axes[1])

    def shown(self, source: Path) -> Path:
        """Return the file as it lies below the source."""
        return self.path.relative_to(source) if source in self.path.parents else self.path


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM, by what it begins with or by its name."""
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or start[:2] in _STARTS or path.suffix.lower() in (".dcm", ".ima")


def read_header(path: Path) -> pydicom.Dataset | None:
    """Return the header of a DICOM file, also of one without preamble; None for another file."""
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    except (InvalidDicomError, EOFError):
        pass
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
    except Exception:  # bytes of anything
        return None
    return header if header.get("SOPClassUID") and header.get("SeriesInstanceUID") else None


def with_syntax(dataset: pydicom.Dataset) -> pydicom.Dataset:
    """Return the data set, one without preamble with the transfer syntax that such files have."""
    if not getattr(dataset, "file_meta", None) or "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return dataset


def slices_of(source: Path) -> list[Slice]:
    """Read the headers of all files below a folder, or of the series that a file belongs to.

    Raises:
        PatientError: no slices; some that are empty, damaged, or have no place.
    """
    wanted = None
    folder = source
    if source.is_file():
        folder = source.parent
        if source.name.upper() != "DICOMDIR":
            with _damage_told(source):
                header = read_header(source)
                wanted = str(header.get("SeriesInstanceUID") or "") if header is not None else None
            if wanted is None:
                raise PatientError(f"{source}: is no DICOM file; copy it again, or give the folder of the series")
    found: list[Slice] = []
    unplaced, empty, strange = [], [], []
    for path in sorted(files_below(folder)):
        if path.stat().st_size == 0:
            empty.append(path)
            continue
        with _damage_told(path):
            header = read_header(path) if is_dicom(path) else None
            if header is None or _is_cut(header):
                strange.append(path)
            elif wanted is None or str(header.get("SeriesInstanceUID") or "") == wanted:
                _check_size(path, header)
                slices = list(_slices_in(path, header))
                found += slices
                if not slices and _is_image(header):
                    unplaced.append((path, str(header.get("SeriesInstanceUID") or "")))
    if not found:
        raise PatientError(
            f"{source}: no DICOM slices in this folder; give the folder of one CT series or a NIfTI file"
        )
    _check_whole(source, found, unplaced, empty, strange)
    return found


def files_below(folder: Path) -> list[Path]:
    """Return the files below a folder; pipes and devices are none, nor what a Mac lays beside its copies.

    Raises:
        PatientError: too many, as in a home folder; told before any of them is read.
    """
    found = list(itertools.islice(folder.rglob("*"), MOST_FILES + 1))
    if len(found) > MOST_FILES:
        raise PatientError(f"{folder}: holds over {MOST_FILES} files and folders; give the folder of one series")
    return [path for path in found if path.is_file() and not path.name.startswith("._")]


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Turn whatever a damaged header raises into a PatientError; pydicom reads values when they are first asked for."""
    try:
        yield
    except PatientError:
        raise
    except Exception as error:  # each kind of damage raises its own
        raise PatientError(
            f"{path}: its DICOM header is damaged ({error}); export the series again, or convert it to NIfTI, "
            "with dcm2niix for example"
        ) from error


def _check_size(path: Path, header: pydicom.Dataset) -> None:
    if not _is_image(header):
        return
    pixels = int(header.get("Rows") or 0) * int(header.get("Columns") or 0) * int(header.get("NumberOfFrames") or 1)
    size = path.stat().st_size
    if size > 8 * pixels + _BESIDE_PIXELS:
        raise PatientError(f"{path}: {size} bytes are too many for its {pixels} pixels; export the series again")


def _is_cut(header: pydicom.Dataset) -> bool:
    """Whether a header ends before the size of its image."""
    return str(header.get("Modality") or "") in ("", "CT") and header.get("Rows") is None


def _is_image(header: pydicom.Dataset) -> bool:
    return str(header.get("Modality") or "") not in _NO_IMAGE and header.get("Rows") is not None


def _check_whole(
    source: Path, found: list[Slice], unplaced: list[tuple[Path, str]], empty: list[Path], strange: list[Path]
) -> None:
    """Refuse a series that would lose slices without a word."""
    folders, series = {item.path.parent for item in found}, {item.series for item in found}
    lost = [path for path, uid in unplaced if uid in series]
    if lost:
        raise PatientError(
            f"{source}: {len(lost)} of {len(lost) + len(found)} slices have no position, orientation or pixel spacing, "
            f"e.g. {lost[0].name}; export the series again"
        )
    endings = {item.path.suffix.lower() for item in found}
    bare = [path for path in empty if path.parent in folders and path.suffix.lower() in endings]
    if bare:
        raise PatientError(
            f"{source}: {len(bare)} files among the slices are empty, e.g. {bare[0].name}; copy them again"
        )
    alike = {_form(item.path) for item in found}
    broken = [path for path in strange if path.parent in folders and _form(path) in alike]
    if broken:
        raise PatientError(
            f"{source}: {len(broken)} files among the slices are no DICOM, e.g. {broken[0].name}; copy them again"
        )


def _form(path: Path) -> str:
    """Return what the names of a series have in common: the ending, or the name without its numbers."""
    ending = path.suffix.lower()
    return ending if ending in (".dcm", ".ima") else re.sub(r"[0-9a-fA-F]*\d[0-9a-fA-F]*", "#", path.name)


def _slices_in(path: Path, header: pydicom.Dataset) -> Iterator[Slice]:
    """Yield the planes that a file holds; none without a place in the patient."""
    if not _is_image(header):
        return
    frames = int(header.get("NumberOfFrames") or 1)
    if "PerFrameFunctionalGroupsSequence" in header:
        yield from _frames_in(path, header)
    elif frames > 1:
        raise ValueError(f"holds {frames} frames without functional groups")
    elif all(header.get(tag) for tag in _PLACE):
        yield _slice(path, header, None, [header[tag].value for tag in _PLACE], header)


def _frames_in(path: Path, header: pydicom.Dataset) -> Iterator[Slice]:
    """Yield the frames of an enhanced CT."""
    shared = header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()]
    for number, groups in enumerate(header.PerFrameFunctionalGroupsSequence):
        at, turned, measures = (
            group_of(groups, shared[0], name)
            for name in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
        )
        place = [at.ImagePositionPatient, turned.ImageOrientationPatient, measures.PixelSpacing]
        values = group_of(groups, shared[0], "PixelValueTransformationSequence", pydicom.Dataset())
        yield _slice(path, header, number, place, values)


def group_of(groups: Any, shared: Any, name: str, default: Any = None) -> Any:
    """Return the item of a functional group: the frame's own, or the one that all frames share."""
    for holder in (groups, shared):
        if name in holder and len(holder[name].value):
            return holder[name].value[0]
    if default is None:
        raise ValueError(f"{name} is missing")
    return default


def _slice(path: Path, header: pydicom.Dataset, frame: int | None, place: list[Any], values: Any) -> Slice:
    position, axes, spacing = (np.array(value, dtype=np.float64) for value in place)
    axes = axes.reshape(2, 3)
    if not all(np.isfinite(numbers).all() for numbers in (position, axes, spacing)):
        raise ValueError("position, orientation or pixel spacing is not finite")
    if position.shape != (3,) or spacing.shape != (2,) or spacing.min() <= 0:
        raise ValueError(f"position {position.tolist()} or pixel spacing {spacing.tolist()} is impossible")
    if np.abs(axes @ axes.T - np.eye(2)).max() > 1e-3:
        raise ValueError(f"ImageOrientationPatient {axes.ravel().tolist()} is not two square unit vectors")
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise PatientError(f"{path}: is a colour image instead of a CT slice; export the original CT series")
    photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
    if photometric != "MONOCHROME2":
        raise PatientError(
            f"{path}: PhotometricInterpretation {photometric}, so that its values are no Hounsfield units; CT has "
            "MONOCHROME2: export the original CT series"
        )
    slope, intercept, damage = _rescale(values)
    kinds = [str(kind).upper() for kind in header.get("ImageType") or []]
    series, description, modality = (str(header.get(tag) or "") for tag in _SERIES)
    return Slice(
        path, frame, series, description, modality, "LOCALIZER" in kinds, (int(header.Rows), int(header.Columns)),
        position, axes, spacing, slope, intercept, damage, str(values.get("RescaleType") or "").upper(),
    )  # fmt: skip


def _rescale(values: Any) -> tuple[float, float, str]:
    """Return slope and intercept, and what is wrong with them: only the slices that are used are refused for it."""
    try:
        slope, intercept = values.get("RescaleSlope"), values.get("RescaleIntercept")
        numbers = float(1 if slope is None else slope), float(intercept or 0)
    except (ValueError, TypeError) as error:
        return 1.0, 0.0, str(error)
    if not np.isfinite(numbers).all() or numbers[0] == 0:
        return 1.0, 0.0, f"RescaleSlope {slope}, RescaleIntercept {intercept}"
    return *numbers, ""

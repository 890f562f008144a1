"""A folder with one CT series in DICOM: slices sorted along their normal, LPS turned into RAS.

Geometry: DICOM PS3.3, C.7.6.2 (Image Plane Module); values: C.11.1 (Modality LUT Module).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from us_sim.core.errors import PatientError
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.grid import check_grid

_SERIES = ("SeriesInstanceUID", "SeriesDescription", "Modality")
_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_TAGS = [*_SERIES, *_PLACE, "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"]
_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UNEVEN = 0.05  # a step between slices may differ by this part of the usual one


@dataclass(frozen=True, eq=False)
class _Slice:
    path: Path
    series: str
    description: str
    modality: str
    size: tuple[int, int]  # rows, columns
    position: NDArray[np.float64]  # (3,) centre of the first pixel, LPS, mm
    axes: NDArray[np.float64]  # (2, 3) unit directions of growing column and row index, LPS
    spacing: NDArray[np.float64]  # (2,) mm between rows, between columns

    @property
    def normal(self) -> NDArray[np.float64]:
        return np.cross(self.axes[0], self.axes[1])


def read_dicom(folder: Path) -> tuple[NDArray[np.float32], Matrix]:
    """Read the one CT series in a folder and its subfolders; files that are no DICOM slices are ignored.

    Returns:
        hu (I, J, K) float32 with columns along I, rows along J, slices along K; `ct_from_voxel` (4, 4). A
        gantry tilt stays in the affine as shear.

    Raises:
        PatientError: no slice, several series, slices missing, unevenly spaced, of differing size or
            orientation, not CT, or with pixels that cannot be decoded.
    """
    slices = _one_series(folder, _slices(folder))
    _check_alike(folder, slices)
    normal = slices[0].normal
    slices.sort(key=lambda item: float(item.position @ normal))
    step = _check_even(folder, slices)
    first, (rows, columns) = slices[0], slices[0].size
    lps_from_voxel = np.eye(4)
    lps_from_voxel[:3, 0] = first.axes[0] * first.spacing[1]
    lps_from_voxel[:3, 1] = first.axes[1] * first.spacing[0]
    lps_from_voxel[:3, 2] = step
    lps_from_voxel[:3, 3] = first.position
    ct_from_voxel = check_grid((columns, rows, len(slices)), _RAS_FROM_LPS @ lps_from_voxel, folder)
    hu = np.empty((columns, rows, len(slices)), dtype=np.float32)
    for k, item in enumerate(slices):
        hu[:, :, k] = _pixels(item).T
    return hu, ct_from_voxel


def _slices(folder: Path) -> list[_Slice]:
    """Read the headers of all files below the folder that hold an image with a place in the patient."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
            placed = all(header.get(tag) for tag in _PLACE)
            frames = int(header.get("NumberOfFrames") or 1)
            if placed and frames == 1:
                found.append(_slice(path, header))
        except (InvalidDicomError, EOFError):
            continue
        except Exception as error:  # each kind of damage raises its own
            raise PatientError(f"{path}: its DICOM header is damaged ({error}); export the series again") from error
        if frames > 1:
            raise PatientError(
                f"{path}: holds {frames} frames (enhanced DICOM); convert it to NIfTI, with dcm2niix for example"
            )
    if not found:
        raise PatientError(
            f"{folder}: no DICOM slices in this folder; give the folder of one CT series or a NIfTI file"
        )
    return found


def _slice(path: Path, header: pydicom.Dataset) -> _Slice:
    position, axes, spacing = (np.array(header[tag].value, dtype=np.float64) for tag in _PLACE)
    axes = axes.reshape(2, 3)
    if not all(np.isfinite(values).all() for values in (position, axes, spacing)):
        raise ValueError("position, orientation or pixel spacing is not finite")
    if position.shape != (3,) or spacing.shape != (2,) or spacing.min() <= 0:
        raise ValueError(f"position {position.tolist()} or pixel spacing {spacing.tolist()} is impossible")
    if np.abs(axes @ axes.T - np.eye(2)).max() > 1e-3:
        raise ValueError(f"ImageOrientationPatient {axes.ravel().tolist()} is not two square unit vectors")
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise ValueError("colour image instead of a CT slice")
    series, description, modality = (str(header.get(tag) or "") for tag in _SERIES)
    size = (int(header.Rows), int(header.Columns))
    return _Slice(path, series, description, modality, size, position, axes, spacing)


def _one_series(folder: Path, slices: list[_Slice]) -> list[_Slice]:
    series: dict[str, list[_Slice]] = defaultdict(list)
    for item in slices:
        series[item.series].append(item)
    if len(series) > 1:
        lines = [
            f"  {uid or '(no UID)'}  {items[0].description or '(no description)'}  {len(items)} slices, "
            f"e.g. {items[0].path.relative_to(folder)}"
            for uid, items in sorted(series.items())
        ]
        raise PatientError(
            "\n".join(
                [
                    f"{folder}: holds {len(series)} series; move the wanted one into a folder of its own:",
                    *lines,
                ]
            )
        )
    if slices[0].modality not in ("CT", ""):
        raise PatientError(f"{folder}: the series is {slices[0].modality}; expected CT")
    if len(slices) < 2:
        raise PatientError(f"{folder}: holds a single slice; expected a volume: give all slices of the series")
    return slices


def _check_alike(folder: Path, slices: list[_Slice]) -> None:
    """Compare every slice with the first: one size, one pixel spacing, one orientation."""
    first = slices[0]
    for item in slices[1:]:
        if item.size != first.size or not np.allclose(item.spacing, first.spacing, rtol=1e-3):
            raise PatientError(
                f"{folder}: slices differ in size: {first.path.name} has {first.size} pixels of "
                f"{first.spacing.tolist()} mm, {item.path.name} {item.size} of {item.spacing.tolist()} mm; "
                "keep those of one reconstruction"
            )
        if np.abs(item.axes - first.axes).max() > 1e-3:
            raise PatientError(
                f"{folder}: slices differ in orientation: {first.path.name} and {item.path.name}; "
                "remove the localizer or the other plane"
            )


def _check_even(folder: Path, slices: list[_Slice]) -> NDArray[np.float64]:
    """Return the (3,) step from slice to slice, LPS mm, of slices sorted along their normal."""
    steps = np.diff([item.position for item in slices], axis=0)
    usual = np.median(steps, axis=0)
    length = float(np.linalg.norm(usual))
    for before, after, step in zip(slices, slices[1:], steps, strict=False):
        along = float(step @ slices[0].normal)
        if along < 1e-3:
            raise PatientError(
                f"{folder}: {before.path.name} and {after.path.name} lie at the same position; "
                "keep one phase or acquisition of the series"
            )
        if np.linalg.norm(step - usual) > _UNEVEN * length:
            missing = round(along / length) - 1
            finding = f"{missing} slice{'s' * (missing > 1)} missing" if missing > 0 else "uneven spacing"
            raise PatientError(
                f"{folder}: {finding} between {before.path.name} and {after.path.name}: {along:.3f} mm apart "
                f"instead of {length:.3f} mm, the step is off by {np.linalg.norm(step - usual):.3f} mm; "
                "export the whole series again"
            )
    return (slices[-1].position - slices[0].position) / (len(slices) - 1)


def _pixels(item: _Slice) -> NDArray[np.float64]:
    """Return one slice's (rows, columns) Hounsfield units."""
    try:
        dataset = pydicom.dcmread(item.path)
        stored: NDArray[Any] = dataset.pixel_array
        slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
        hu = stored * float(1 if slope is None else slope) + float(intercept or 0)
        if not np.isfinite(hu).all():
            raise ValueError(f"RescaleSlope {slope}, RescaleIntercept {intercept}")
    except Exception as error:  # each decoder raises its own kinds
        raise PatientError(
            f"{item.path}: its pixels cannot be decoded ({error}); the file is truncated, damaged or "
            "compressed in an unusual way: export the series again, uncompressed"
        ) from error
    if stored.shape != item.size:
        raise PatientError(f"{item.path}: pixels of shape {stored.shape}; the header says {item.size}")
    return hu

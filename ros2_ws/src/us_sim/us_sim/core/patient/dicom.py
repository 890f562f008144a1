# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A CT series in DICOM: slices sorted along their normal, LPS turned into RAS.

Geometry: DICOM PS3.3, C.7.6.2 (Image Plane Module), C.7.6.16 (functional groups of enhanced images); values: C.11.1
(Modality LUT Module).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from us_sim.core.errors import PatientError
from us_sim.core.patient.dicom_files import Slice, slices_of, with_syntax
from us_sim.core.patient.grid import check_grid
from us_sim.core.patient.scan import Scan

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UNEVEN = 0.05  # a step between slices may differ by this part of the usual one
_HOUNSFIELD = ("", "HU", "HU_MOD", "US")  # RescaleType, C.11.1.1.2; US: unspecified, as scanners write for CT
_FEW = 3  # slices of a series that is a localizer beside a CT


def read_dicom(source: Path) -> Scan:
    """Read the one CT series in a folder and its subfolders, or the series that a file belongs to.

    Localizers, segmentations, structure sets, reports and other modalities beside the CT are skipped, with a warning.

    Returns:
        voxels (I, J, K) float32 HU with columns along I, rows along J, slices along K; a gantry tilt stays in the
        affine as shear.

    Raises:
        PatientError: no slice, several series, slices missing, empty, without a place, unevenly spaced, of differing
            size or orientation, not CT, or with pixels that cannot be decoded.
    """
    slices, left_out = _one_series(source, slices_of(source))
    _check_alike(source, slices)
    normal = slices[0].normal
    slices.sort(key=lambda item: float(item.position @ normal))
    step = _check_even(source, slices)
    first, (rows, columns) = slices[0], slices[0].size
    lps_from_voxel = np.eye(4)
    lps_from_voxel[:3, 0] = first.axes[0] * first.spacing[1]
    lps_from_voxel[:3, 1] = first.axes[1] * first.spacing[0]
    lps_from_voxel[:3, 2] = step
    lps_from_voxel[:3, 3] = first.position
    ct_from_voxel = check_grid((columns, rows, len(slices)), RAS_FROM_LPS @ lps_from_voxel, source)
    hu = np.empty((columns, rows, len(slices)), dtype=np.float32)
    for k, values in _pixels(slices):
        hu[:, :, k] = values.T
    return Scan(hu, ct_from_voxel, warnings=left_out)


def _one_series(source: Path, slices: list[Slice]) -> tuple[list[Slice], tuple[str, ...]]:
    """Return the slices of the only CT series, and what lies beside it."""
    series: dict[tuple[str, str], list[Slice]] = defaultdict(list)
    for item in slices:
        series[item.series, item.modality].append(item)
    most = max(map(len, series.values()))
    images = {
        key: items
        for key, items in series.items()
        if len(items) == most or not (items[0].is_localizer or len(items) < _FEW)
    }
    if any(modality in ("CT", "") for _, modality in images):
        images = {key: items for key, items in images.items() if key[1] in ("CT", "")}
    if len(images) > 1:
        lines = [
            f"  {uid or '(no UID)'}  {items[0].description or '(no description)'}  {len(items)} slices, "
            f"e.g. {items[0].shown(source)}"
            for (uid, _), items in sorted(images.items())
        ]
        head = f"{source}: holds {len(images)} series; move the wanted one into a folder of its own, or give a file:"
        raise PatientError("\n".join([head, *lines]))
    ((_, modality), chosen), *_ = images.items()
    if modality not in ("CT", ""):
        raise PatientError(f"{source}: the series is {modality}; expected CT")
    if len(chosen) < 2:
        raise PatientError(f"{source}: holds a single slice; expected a volume: give all slices of the series")
    beside = [f"{len(items)} {key[1] or 'unnamed'} image(s) '{items[0].description}'"
              for key, items in series.items() if key not in images]  # fmt: skip
    return chosen, (f"{source.name}: left out beside the CT: {', '.join(beside)}",) if beside else ()


def _check_alike(source: Path, slices: list[Slice]) -> None:
    """Compare every slice with the first: one size, one pixel spacing, one orientation; all in Hounsfield units."""
    first = slices[0]
    for item in slices[1:]:
        if item.size != first.size or not np.allclose(item.spacing, first.spacing, rtol=1e-3):
            raise PatientError(
                f"{source}: slices differ in size: {first.path.name} has {first.size} pixels of "
                f"{first.spacing.tolist()} mm, {item.path.name} {item.size} of {item.spacing.tolist()} mm; "
                "keep those of one reconstruction"
            )
        if np.abs(item.axes - first.axes).max() > 1e-3:
            raise PatientError(
                f"{source}: slices differ in orientation: {first.path.name} and {item.path.name}; "
                "remove the localizer or the other plane"
            )
    other = next((item for item in slices if item.unit not in _HOUNSFIELD), None)
    if other is not None:  # of spectral CT: iodine, effective atomic number, electron density
        raise PatientError(
            f"{source}: RescaleType {other.unit} of {other.path.name}, so that its values are no Hounsfield units; "
            "export the series in HU"
        )


def _check_even(source: Path, slices: list[Slice]) -> NDArray[np.float64]:
    """Return the (3,) step from slice to slice, LPS mm, of slices sorted along their normal."""
    steps = np.diff([item.position for item in slices], axis=0)
    usual = np.median(steps, axis=0)
    length = float(np.linalg.norm(usual))
    heights = steps @ slices[0].normal
    if heights.min() < 1e-3:
        before, after = slices[int(heights.argmin())], slices[int(heights.argmin()) + 1]
        raise PatientError(
            f"{source}: {before.path.name} and {after.path.name} lie at the same position; "
            "keep one phase or acquisition of the series"
        )
    for before, after, step, along in zip(slices, slices[1:], steps, heights, strict=False):
        if np.linalg.norm(step - usual) > _UNEVEN * length:
            missing = round(along / length) - 1
            finding = f"{missing} slice{'s' * (missing > 1)} missing" if missing > 0 else "uneven spacing"
            raise PatientError(
                f"{source}: {finding} between {before.path.name} and {after.path.name}: {along:.3f} mm apart "
                f"instead of {length:.3f} mm, the step is off by {np.linalg.norm(step - usual):.3f} mm; "
                "export the whole series again"
            )
    return (slices[-1].position - slices[0].position) / (len(slices) - 1)


def _pixels(slices: list[Slice]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield index and (rows, columns) Hounsfield units of each slice; a file of many frames is decoded once."""
    order = sorted(range(len(slices)), key=lambda k: (str(slices[k].path), slices[k].frame or 0))
    path, stored = None, np.zeros(0)
    for k in order:
        item = slices[k]
        if item.path != path:
            path, stored = item.path, _decoded(item)
        values = stored if item.frame is None else stored[item.frame]
        if values.shape != item.size:
            raise PatientError(f"{item.path}: pixels of shape {values.shape}; the header says {item.size}")
        yield k, values * item.slope + item.intercept


def _decoded(item: Slice) -> NDArray[Any]:
    """Return the stored values of a file, (rows, columns) or (frames, rows, columns)."""
    try:
        if item.damage:
            raise ValueError(item.damage)
        dataset = with_syntax(pydicom.dcmread(item.path, force=True))
        try:
            stored: NDArray[Any] = dataset.pixel_array
        except Exception:
            if not dataset.file_meta.TransferSyntaxUID.is_compressed:
                raise
            stored = _decoded_by_itk(item)
    except Exception as error:  # each decoder raises its own kinds
        said = " ".join(str(error).split())[-200:]
        raise PatientError(
            f"{item.path}: its pixels cannot be decoded ({said}); the file is truncated, damaged or "
            "compressed in an unusual way: export the series again, uncompressed"
        ) from error
    return stored


def _decoded_by_itk(item: Slice) -> NDArray[Any]:
    """Decode JPEG lossless and JPEG-LS, for which pydicom has no decoder with a licence that goes with ours."""
    import SimpleITK as sitk

    image = sitk.ReadImage(str(item.path))
    values = sitk.GetArrayFromImage(image)  # slope and intercept of the file are applied
    if item.frame is None:
        values = (values[0].astype(np.float64) - item.intercept) / item.slope
    return np.asarray(values)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Labels in DICOM: segmentation objects (SEG) and the structure sets of radiotherapy (RTSTRUCT).

DICOM PS3.3, A.51 and C.8.20 (Segmentation), A.19 and C.8.8.6 (ROI Contour Module).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from skimage.draw import polygon

from us_sim.core.errors import PatientError
from us_sim.core.geometry.transforms import Matrix, apply, inverse
from us_sim.core.patient.dicom_files import group_of, with_syntax
from us_sim.core.patient.grid import check_grid
from us_sim.core.patient.naming.structures import class_of_name
from us_sim.core.patient.scan import Scan

_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MOST = 2**31  # bytes
_OFF = 0.6  # voxels between a contour's plane and the CT slice that it is drawn on


def read_dicom_labels(path: Path, grid: tuple[tuple[int, ...], Matrix] | None) -> Scan:
    """Read a SEG on its own grid, or an RTSTRUCT onto the grid of its CT; where two overlap, the smaller one counts.

    Raises:
        PatientError: damaged, empty, or an RTSTRUCT without the CT that it is drawn on.
    """
    if path.stat().st_size > _MOST:
        raise PatientError(f"{path}: takes {path.stat().st_size} bytes; expected a SEG or RTSTRUCT")
    try:
        dataset = with_syntax(pydicom.dcmread(path, force=True))
        if dataset.Modality == "SEG":
            return _segmentation(path, dataset)
        if grid is None:
            raise PatientError(f"{path}: is a structure set; give it as labels of the CT that it is drawn on")
        return _structures(path, dataset, *grid)
    except PatientError:
        raise
    except Exception as error:  # each kind of damage raises its own
        raise PatientError(f"{path}: its labels cannot be read ({error}); export them again, or as NIfTI") from error


def _segmentation(path: Path, dataset: pydicom.Dataset) -> Scan:
    shared = dataset.SharedFunctionalGroupsSequence[0]
    frames = list(dataset.PerFrameFunctionalGroupsSequence)
    size = len(frames), int(dataset.Rows), int(dataset.Columns)
    check_grid((size[2], size[1], max(2, size[0])), np.eye(4), path)
    stored = np.reshape(dataset.pixel_array, size)
    measures = group_of(frames[0], shared, "PixelMeasuresSequence")
    axes = np.array(group_of(frames[0], shared, "PlaneOrientationSequence").ImageOrientationPatient, float).reshape(
        2, 3
    )
    normal = np.cross(axes[0], axes[1])
    places = [group_of(groups, shared, "PlanePositionSequence").ImagePositionPatient for groups in frames]
    positions = np.array(places, dtype=np.float64)
    along = positions @ normal
    gaps = np.diff(np.unique(np.round(along, 3)))
    given = float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 0)
    step = float(gaps.min()) if gaps.size else given
    layers = np.rint((along - along.min()) / step).astype(int)
    shape = (size[2], size[1], max(2, int(layers.max()) + 1))
    lps = np.eye(4)
    lps[:3, :3] = np.stack([axes[0] * measures.PixelSpacing[1], axes[1] * measures.PixelSpacing[0], normal * step], 1)
    lps[:3, 3] = positions[int(along.argmin())]
    ct_from_voxel = check_grid(shape, _RAS_FROM_LPS @ lps, path)
    names = {int(item.SegmentNumber): _segment_name(item) for item in dataset.SegmentSequence}
    if dataset.get("SegmentationType") == "LABELMAP":
        labels = np.zeros(shape, dtype=np.uint16)
        for frame, k in zip(stored, layers, strict=True):
            labels[:, :, k] = frame.T
        return Scan(labels, ct_from_voxel, names, "the segment names of the DICOM-SEG")
    half = 0.5 * float(dataset.get("MaximumFractionalValue") or 1)
    masks: dict[int, list[tuple[Any, NDArray[np.bool_]]]] = defaultdict(list)
    for groups, frame, k in zip(frames, stored, layers, strict=True):
        number = int(group_of(groups, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        masks[number].append(((slice(None), slice(None), k), (frame >= half).T))
    return Scan(_merged(masks, shape), ct_from_voxel, names, "the segment names of the DICOM-SEG")


def _segment_name(item: pydicom.Dataset) -> str:
    """Return the label of a segment, or what its code means where the label names no structure."""
    label = str(item.get("SegmentLabel") or "")
    codes = item.get("SegmentedPropertyTypeCodeSequence") or []
    meaning = str(codes[0].get("CodeMeaning") or "") if codes else ""
    return label if class_of_name(label) is not None or not meaning else meaning


def _structures(path: Path, dataset: pydicom.Dataset, shape: tuple[int, ...], ct_from_voxel: Matrix) -> Scan:
    names = {int(roi.ROINumber): str(roi.get("ROIName") or "") for roi in dataset.StructureSetROISequence}
    voxel_from_lps = inverse(ct_from_voxel) @ _RAS_FROM_LPS
    masks, off = {}, 0
    for roi in dataset.ROIContourSequence:
        number = int(roi.ReferencedROINumber)
        planes: dict[int, NDArray[np.bool_]] = {}
        for contour in roi.get("ContourSequence") or []:
            if contour.get("ContourGeometricType", "CLOSED_PLANAR") not in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR"):
                continue
            corners = apply(voxel_from_lps, np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3))
            height = float(corners[:, 2].mean())
            off += bool(np.ptp(corners[:, 2]) > 2 * _OFF)
            k = round(height)
            if 0 <= k < shape[2]:
                inside = np.zeros(shape[:2], dtype=bool)
                inside[polygon(corners[:, 0], corners[:, 1], shape[:2])] = True
                planes[k] = planes.get(k, np.zeros(shape[:2], dtype=bool)) ^ inside
        masks[number] = [((slice(None), slice(None), k), plane) for k, plane in _filled(planes)]
    if off:
        raise PatientError(
            f"{path}: {off} contours lie across the slices of the CT; give the CT that they are drawn on, or "
            "export the structures as NIfTI"
        )
    present = {number: names.get(number, "") for number, planes in masks.items() if planes}
    if not present:
        raise PatientError(f"{path}: no contour lies on a slice of the CT; give the CT that they are drawn on")
    return Scan(_merged(masks, shape), ct_from_voxel, present, "the structure names of the RTSTRUCT")


def _filled(planes: Mapping[int, NDArray[np.bool_]]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield the planes, and the nearest one for the slices between contours that are drawn on every other slice."""
    heights = np.array(sorted(planes))
    if not heights.size:
        return
    gap = int(np.median(np.diff(heights))) if heights.size > 1 else 1
    for k in range(heights[0], heights[-1] + 1):
        nearest = int(heights[np.abs(heights - k).argmin()])
        if abs(nearest - k) <= gap / 2:
            yield k, planes[nearest]


def _merged(masks: Mapping[int, list[tuple[Any, NDArray[np.bool_]]]], shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Number the structures; where two overlap, the smaller one counts."""
    labels = np.zeros(shape, dtype=np.uint16)
    sizes = {number: sum(int(np.count_nonzero(plane)) for _, plane in planes) for number, planes in masks.items()}
    for number in sorted(masks, key=lambda number: -sizes[number]):
        for place, plane in masks[number]:
            labels[place][plane] = number
    return labels

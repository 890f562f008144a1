# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Label maps of others brought onto the CT as tissue classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from us_sim.core.errors import PatientError
from us_sim.core.geometry.transforms import Matrix, inverse
from us_sim.core.patient.loops import count_values, lay_labels, renamed
from us_sim.core.patient.masks import Merged, read_masks, whole_numbers
from us_sim.core.patient.naming.choice import Reading, choose
from us_sim.core.patient.naming.own_map import OwnMap, read_own_map
from us_sim.core.patient.naming.said import Table
from us_sim.core.patient.naming.schemes import check_scheme
from us_sim.core.patient.reading import dicom_labels_in, read_scan
from us_sim.core.patient.scan import Scan
from us_sim.core.patient.tissue_hu import GAS_BELOW
from us_sim.core.tissue import TissueClass

_MOST_LISTED = 10
_WHOLE = 1e-3  # resampling in floating point leaves whole numbers this close


@dataclass(frozen=True, eq=False)
class Labels:
    """A label map on the grid of its CT.

    Attributes:
        classes: (I, J, K) uint8 ids, 0 where unlabelled.
        scheme: the label scheme in use, for the user.
        largest: the ten largest structures: name, class, mm³.
        complete: the map holds the skin of our own scheme: its zeros are outside the body.
        certain: False where nothing but the values said what they mean.
        warnings: findings that do not stop the use.
    """

    classes: NDArray[np.uint8]
    scheme: str
    largest: tuple[tuple[str, TissueClass, float], ...]
    complete: bool
    certain: bool
    warnings: tuple[str, ...]

    @property
    def summary(self) -> tuple[str, ...]:
        """Two lines for the user: the scheme in use, and the ten largest structures with their classes."""
        shown = ", ".join(f"{_as_class(name, tissue)} {size / 1000:,.1f} ml" for name, tissue, size in self.largest)
        return f"labels: {self.scheme}", f"largest labels: {shown}"


def _as_class(name: str, tissue: TissueClass) -> str:
    called = tissue.name.lower() if tissue else "unlabelled"
    return name if name == called else f"{name} → {called}"


def read_labels(
    path: Path, scheme: str | None, shape: tuple[int, ...], ct_from_voxel: Matrix, labels_map: Path | None = None
) -> Labels:
    """Read a label map, or a folder with one mask per structure, and bring it onto a CT.

    Args:
        path: file that `read_scan` reads, or folder of masks named by their structure (`liver.nii.gz`).
        scheme: a name in `naming.schemes.SCHEMES`; None to take what the file says of itself.
        shape: of the CT.
        ct_from_voxel: (4, 4) of the CT.
        labels_map: YAML file with the user's own mapping, which counts before everything else.

    Raises:
        PatientError: unreadable, several meanings, values outside the scheme, unknown scheme, or no overlap with
            the CT.
    """
    own = read_own_map(labels_map) if labels_map is not None else None
    if scheme:
        check_scheme(scheme)
    in_dicom = dicom_labels_in(path) if path.is_dir() else []
    if len(in_dicom) > 1:
        raise PatientError(f"{path}: holds {', '.join(file.name for file in in_dicom[:10])}; give one of them")
    if in_dicom:
        path = in_dicom[0]
    if path.is_dir():
        found, ct_from_label = read_masks(path, own)
        complete = False
    else:
        found, ct_from_label = _read_map(path, read_scan(path, (shape, ct_from_voxel), labels=True), scheme, own)
        complete = found.scheme.startswith("ours") and bool((found.classes == TissueClass.SKIN).any())
    on_ct = onto_grid(found.classes, ct_from_label, shape, ct_from_voxel)
    warnings = (*found.warnings, *_check_overlap(path, found.classes, ct_from_label, on_ct, ct_from_voxel))
    volume = abs(float(np.linalg.det(ct_from_label[:3, :3])))
    largest = sorted(found.voxels, key=lambda item: -item[2])[:_MOST_LISTED]
    sized = tuple((name, tissue, voxels * volume) for name, tissue, voxels in largest)
    return Labels(on_ct, found.scheme, sized, complete, found.certain, warnings)


def _check_overlap(
    path: Path, classes: NDArray[np.uint8], ct_from_label: Matrix, on_ct: NDArray[np.uint8], ct_from_voxel: Matrix
) -> tuple[str, ...]:
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
        return (f"{path.name}: {100 * (1 - landed / labelled):.0f} % of the labels lie outside the CT",)
    return ()


def _read_map(path: Path, scan: Scan, scheme: str | None, own: OwnMap | None) -> tuple[Merged, Matrix]:
    labels, soft = whole_numbers(path, scan.voxels)
    total = np.zeros(2**16, dtype=np.int64)
    for plane in labels:
        count_values(_as_rows(plane), total)
    counts = {int(value): int(total[value]) for value in np.flatnonzero(total) if value}
    if not counts:
        raise PatientError(f"{path}: all labels are 0; give the label map of this CT, or none")
    table = Table(scan.names, scan.source) if scan.names else None
    reading = choose(path, counts, table, scheme, own)
    class_of_value = np.zeros(len(total), dtype=np.uint8)
    # In place where that fits: the array takes as much memory as the patient's classes.
    in_place = labels.dtype == np.uint8 and labels.flags.carray
    classes = labels if in_place else np.empty(labels.shape, dtype=np.uint8)
    for value, tissue in reading.classes.items():
        class_of_value[value] = tissue
    for plane, out in zip(labels, classes, strict=True):
        renamed(_as_rows(plane), class_of_value, out)
    warnings = (*scan.warnings, *reading.warnings, *soft)
    voxels = _voxels(reading, counts)
    return Merged(classes, reading.scheme, voxels, warnings, reading.certain), scan.ct_from_voxel


def _as_rows(plane: NDArray[Any]) -> NDArray[np.uint16]:
    """Return a plane of label values as the compiled loops take them."""
    return np.ascontiguousarray(plane, dtype=np.uint16)


def _voxels(reading: Reading, counts: Mapping[int, int]) -> list[tuple[str, TissueClass, int]]:
    return [
        (reading.names.get(value, f"value {value}"), tissue, int(counts[value]))
        for value, tissue in reading.classes.items()
    ]


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
    tissue: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    hu: NDArray[np.int16],
    body: NDArray[np.bool_],
    complete: bool = False,
) -> NDArray[np.uint8]:
    """Return tissue, changed in place, with the labels' classes where there are any; all (I, J, K).

    Labels count inside the body. In hollow organs (labelled soft) gas is detected by HU. A complete map, which only our
    own scheme can be, is taken as it is: its zeros are outside.
    """
    if complete:
        return classes
    hollow, gas = np.uint8(TissueClass.SOFT), np.uint8(TissueClass.GAS)
    lay_labels(tissue, np.ascontiguousarray(classes), hu, body, hollow, gas, np.int16(GAS_BELOW))
    return tissue

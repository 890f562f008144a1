# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""From the files of a CT and its labels to a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from us_sim.core.errors import PatientError
from us_sim.core.patient.body import body_mask
from us_sim.core.patient.contrast import blood_with_contrast
from us_sim.core.patient.detail.apply import Detailed, detailed
from us_sim.core.patient.detail.hounsfield import seen_in
from us_sim.core.patient.extent import cut_warnings
from us_sim.core.patient.labels import Labels, lay_over, read_labels
from us_sim.core.patient.loops import within
from us_sim.core.patient.naming.own_map import own_map_of
from us_sim.core.patient.naming.said import stem
from us_sim.core.patient.naming.schemes import check_scheme
from us_sim.core.patient.plausible import counted, doubts
from us_sim.core.patient.reading import read_scan
from us_sim.core.patient.tissue_hu import METAL_ABOVE, tissue_from_hu
from us_sim.core.patient.volume import AIR_HU, CtVolume, content_hash
from us_sim.core.tissue import TissueClass
from us_sim.core.user_files import home, system_errors_as

_PADDING = -1100  # HU below what a scanner measures
_DENSE = 1500  # HU that no corner of a CT has: denser than bone
_MASKED = 0.3  # share of the border
_SHIFTED = 0.08  # share of a CT that dense bone does not reach
_HOLDING = (TissueClass.LIVER, TissueClass.SOFT)  # labels within which contrast agent shows vessels


@system_errors_as(PatientError)
def load_volume(
    ct: str | Path,
    labels: str | Path | None = None,
    label_scheme: str | None = None,
    labels_map: str | Path | None = None,
    detail: bool = False,
    seed: int = 0,
) -> CtVolume:
    """Read a CT and, where there are any, its labels.

    Args:
        ct: file that `read_scan` reads, or folder of one DICOM series.
        labels: label map or folder of masks, on any grid; None or empty for tissue from HU alone.
        label_scheme: a name in `naming.schemes.SCHEMES`, or the path of a `labels_map`; None or empty to take what the
            labels say of themselves.
        labels_map: YAML file, the user's own mapping from label values or names to classes.
        detail: finer voxels with vessels, walls and layers drawn into the organs, as `detail.apply` does it.
        seed: of what is drawn.

    Raises:
        PatientError: naming file, finding and remedy.
    """
    source = home(ct)
    if label_scheme and own_map_of(label_scheme):  # ~/load_patient has one string for both
        label_scheme, labels_map = None, label_scheme
    if label_scheme:
        check_scheme(label_scheme)
    hu, ct_from_voxel, warnings = _read_ct(source)
    hu, padded = _without_padding(hu)
    _check_hounsfield(hu, source)
    body = body_mask(hu, ct_from_voxel)
    if not body.any():
        raise PatientError(f"{source}: no body found, only scattered voxels are denser than air; give a CT of a body")
    tissue = tissue_from_hu(hu, body, ct_from_voxel)
    warnings += (*padded, *cut_warnings(body, ct_from_voxel))
    labelling: tuple[str, ...] = ()
    gut = None
    if labels:
        path = home(labels)
        own = home(labels_map) if labels_map else None
        read = read_labels(path, label_scheme or None, hu.shape, ct_from_voxel, own)
        warnings += (*read.warnings, *_check_labels(path, read, hu, body, ct_from_voxel))
        tissue = lay_over(tissue, read.classes, hu, body, read.complete)
        labelling = read.summary
        gut = read.classes == TissueClass.SOFT
        gut &= body
        del read
    else:
        warnings += ("no labels: tissue comes from HU alone and organs are absent",)
    if hu.max() > METAL_ABOVE and np.logical_and(hu > METAL_ABOVE, body).any():
        warnings += (f"metal above {METAL_ABOVE} HU: tissue near it is uncertain",)
    del body  # each of these masks takes as much memory as the classes
    name = stem(source.resolve())
    echo = border = None
    if detail:
        hu, tissue, echo, border, ct_from_voxel = _with_detail(hu, tissue, ct_from_voxel, gut, seed)
    sha256 = content_hash(hu, tissue, ct_from_voxel, echo, border)
    return CtVolume(hu, tissue, ct_from_voxel, name, sha256, warnings, labelling, echo, border)


def _read_ct(source: Path) -> tuple[NDArray[np.int16], NDArray[np.float64], tuple[str, ...]]:
    scan = read_scan(source)
    return _hounsfield(scan.voxels), scan.ct_from_voxel, scan.warnings


def _check_labels(
    path: Path, read: Labels, hu: NDArray[np.int16], body: NDArray[np.bool_], ct_from_voxel: NDArray[np.float64]
) -> tuple[str, ...]:
    """Return what speaks against the labels; where nothing but their values said what they mean, that refuses them."""
    labelled, _, _, inside = counted(read.classes, hu, body).sum(axis=0).tolist()
    if inside < 0.5 * labelled:
        raise PatientError(
            f"{path}: most labels lie outside the body, they seem to be of another patient; "
            "give the label map of this CT, or none"
        )
    found = doubts(read.classes, hu, body, ct_from_voxel)
    if found and not read.certain:
        raise PatientError(
            f"{path}: taken for {read.scheme} by its values, but {found[0]}; "
            "set label_scheme or labels_map if it is right"
        )
    return tuple(f"{path.name}: {finding}" for finding in found)


def _with_detail(
    hu: NDArray[np.int16], tissue: NDArray[np.uint8], ct_from_voxel: NDArray[np.float64],
    gut: NDArray[np.bool_] | None, seed: int,
) -> Detailed:  # fmt: skip
    """Return the CT with what its voxels are too coarse for.

    `gut` tells where bowel is labelled, None without labels.
    """
    echo = None
    if gut is None:
        tissue, echo = seen_in(hu, tissue, ct_from_voxel)
    elif (blood := blood_with_contrast(hu, ct_from_voxel)) is not None:
        tissue = np.where(blood & np.isin(tissue, _HOLDING), np.uint8(TissueClass.VESSEL), tissue)
    return detailed(hu, tissue, ct_from_voxel, gut, seed, echo=echo)


def _hounsfield(values: NDArray[Any]) -> NDArray[np.int16]:
    """Return (I, J, K) values as int16, C-contiguous; plane by plane, so that no second copy is made."""
    if values.dtype == np.int16:
        return np.ascontiguousarray(values)
    limits = np.iinfo(np.int16)
    hu = np.empty(values.shape, dtype=np.int16)
    for plane, out in zip(values, hu, strict=True):
        out[:] = np.clip(np.rint(plane), limits.min, limits.max)
    return hu


def _check_hounsfield(hu: NDArray[np.int16], source: Path) -> None:
    """Ask for what every CT of a body shows: air around it or inside, and soft tissue.

    Raises:
        PatientError: with what the values look like instead.
    """
    counts = np.zeros(3, dtype=np.int64)
    within(hu, np.array([(-40_000, -300), (-200, 300), (850, 1250)]), counts)
    air, soft, shifted = (counts / hu.size).tolist()
    if min(air, soft) < 1e-3:
        likely = (
            "they seem to be clipped or scaled"
            if int(hu.max()) - int(hu.min()) < 1000  # more than int16 holds
            else "they seem to lack their intercept"
        )
        raise PatientError(
            f"{source}: values from {hu.min()} to {hu.max()} are no Hounsfield units: {100 * air:.1f} % "
            f"air, {100 * soft:.1f} % soft tissue, {likely}; give a CT, with slope and intercept applied"
        )
    if shifted > _SHIFTED:
        raise PatientError(
            f"{source}: {100 * shifted:.0f} % of its values lie between 850 and 1250, where soft tissue lies without "
            "its intercept; give a CT, with slope and intercept applied (-1024 is usual)"
        )


def _without_padding(hu: NDArray[np.int16]) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """Return the CT with air where the scanner or a tool has filled in something else, and what was found.

    Below the range of HU is padding outside the reconstructed circle, and so is one value denser than bone in all
    corners; a constant 0 that reaches in from the sides and fills a good part of them is a mask of the body.
    """
    if hu.min() < _PADDING:
        hu = np.where(hu < _PADDING, np.int16(AIR_HU), hu)
    corners = hu[np.ix_(*[(0, -1)] * 3)]
    if corners.min() == corners.max() > _DENSE:
        return _filled(hu, corners.max(), "padding")
    border = np.concatenate([np.moveaxis(hu, axis, 0)[[0, -1]].ravel() for axis in range(3)])
    if (border == 0).mean() < _MASKED or (border < -900).mean() > 0.1 or hu.min() > -50:  # fat lies lower
        return hu, ()
    return _filled(hu, 0, "masked air")


def _filled(hu: NDArray[np.int16], value: int, what: str) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """Return the CT with air where `value` reaches in from the sides, and what was found."""
    numbered, _ = ndimage.label(hu == value)
    faces = np.concatenate([np.moveaxis(numbered, axis, 0)[[0, -1]].ravel() for axis in range(3)])
    counts = np.bincount(faces, minlength=numbered.max() + 1)
    counts[0] = 0  # what is not filled
    outside = np.isin(numbered, np.flatnonzero(counts >= 0.1 * counts.max()))  # four corners are four parts
    filled = np.where(outside, np.int16(AIR_HU), hu)
    return filled, (f"{100 * outside.mean():.0f} % of the CT is {value} around the body: taken for {what}",)

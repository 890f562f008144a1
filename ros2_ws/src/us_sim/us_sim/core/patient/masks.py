# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A folder with one mask per structure, as TotalSegmentator and AbdomenAtlas write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from us_sim.core.errors import PatientError
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.naming.own_map import OwnMap
from us_sim.core.patient.naming.said import stem, structure_in
from us_sim.core.patient.naming.structures import class_of_name, plain
from us_sim.core.patient.reading import VOLUME, read_scan
from us_sim.core.tissue import TissueClass

_WHOLE = 1e-3  # resampling in floating point leaves whole numbers this close
_INSIDE = 0.5  # of a soft mask


@dataclass(frozen=True, eq=False)
class Merged:
    """Labels on their own grid: (I, J, K) class ids; each structure's name, class and voxels; as in `labels.Labels`."""

    classes: NDArray[np.uint8]
    scheme: str
    voxels: list[tuple[str, TissueClass, int]]
    warnings: tuple[str, ...]
    certain: bool


def read_masks(folder: Path, own: OwnMap | None) -> tuple[Merged, Matrix]:
    """Merge the masks of a folder; where two overlap, the smaller structure counts.

    Raises:
        PatientError: no mask with a name that we know, several grids, or a file that is no mask.
    """
    known, ignored = _named(folder, own)
    if not known and (folder / "segmentations").is_dir():
        return read_masks(folder / "segmentations", own)
    if not known:
        raise PatientError(
            f"{folder}: no masks named as TotalSegmentator or we name them (liver.nii.gz); "
            f"found {', '.join(ignored[:20]) or 'no NIfTI file'}"
        )
    classes: NDArray[np.uint8] | None = None
    owner, ct_from_label, first = np.zeros(0, np.uint16), np.eye(4), known[0][0]
    sizes, voxels, warnings = [2**62], [], []
    for number, (path, tissue) in enumerate(known, start=1):
        scan = read_scan(path, labels=True)
        if classes is None:
            classes, ct_from_label = np.zeros(scan.voxels.shape, dtype=np.uint8), scan.ct_from_voxel
            owner = np.zeros(classes.shape, dtype=np.uint16)
        if scan.voxels.shape != classes.shape or not np.allclose(scan.ct_from_voxel, ct_from_label, atol=1e-3):
            raise PatientError(f"{path}: has another grid than {first.name}; give masks of one run")
        mask = _mask(path, scan.voxels)
        sizes.append(int(np.count_nonzero(mask)))
        mask[mask] = np.array(sizes)[owner[mask]] > sizes[-1]
        classes[mask], owner[mask] = tissue, number
        voxels.append((stem(path), tissue, sizes[-1]))
        warnings += [warning for warning in scan.warnings if warning not in warnings]
    assert classes is not None
    if ignored:
        warnings.append(f"{folder.name}: ignored, names unknown: {', '.join(ignored)}")
    source = f"{len(known)} masks by their file names" + (f" and {own.source}" if own is not None else "")
    return Merged(classes, source, voxels, tuple(warnings), True), ct_from_label


def _named(folder: Path, own: OwnMap | None) -> tuple[list[tuple[Path, TissueClass]], list[str]]:
    """Return the masks with their classes, and the names of the files that name no structure."""
    known: list[tuple[Path, TissueClass]] = []
    ignored: list[str] = []
    for path in sorted(folder.iterdir()):
        if not path.is_file() or not VOLUME.search(path.name):
            continue
        name = stem(path)
        tissue = own.names.get(plain(name)) if own is not None else None
        if tissue is None:
            tissue = class_of_name(structure_in(path) or name)
        if tissue is None:
            ignored.append(path.name)
        elif tissue != TissueClass.BACKGROUND:
            known.append((path, tissue))
    return known, ignored


def _mask(path: Path, voxels: NDArray[Any]) -> NDArray[np.bool_]:
    labels, _ = whole_numbers(path, voxels)
    values = np.flatnonzero(np.bincount(labels.ravel()))
    if len(values[values > 0]) > 1:
        raise PatientError(
            f"{path}: holds {len(values)} values and is no mask of one structure; take it out of the folder, or "
            "give it as labels by itself"
        )
    return labels > 0


def whole_numbers(path: Path, voxels: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return label values as integers, 0 to 65535, and what was done to them; a soft mask (0 to 1) is cut at a half.

    Raises:
        PatientError: negative, too large, or no whole numbers.
    """
    low, high = voxels.min(), voxels.max()
    if low < 0 or high > 65535:
        raise PatientError(f"{path}: label values from {low} to {high}; expected 0 and above: is it the CT itself?")
    if voxels.dtype.kind in "iu":
        return voxels, ()
    labels = np.rint(voxels).astype(np.uint16)
    if np.abs(labels - voxels).max() <= _WHOLE:
        return labels, ()
    if high <= 1 + _WHOLE:
        return (voxels >= _INSIDE).astype(np.uint16), (f"{path.name}: a soft mask, cut at {_INSIDE}",)
    raise PatientError(f"{path}: labels that are no whole numbers; resample label maps by nearest neighbour")

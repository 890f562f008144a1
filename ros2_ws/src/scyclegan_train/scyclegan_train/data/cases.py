# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Which CT scans there are: AbdomenCT-1K's file names, or any list of pairs."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scyclegan_train.data.faults import DataError, Faults
from scyclegan_train.data.splits import SPLITS, check_apart, split_of

_IMAGE = re.compile(r"(?P<case>.+)_0000\.nii(\.gz)?$")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class CtCase:
    """One scan.

    Attributes:
        ct: NIfTI file or DICOM folder.
        labels: NIfTI file or folder of masks.
        patient: who it is; all scans of a patient go to one split.
        split: `train`, `val` or `test`.
        name: of its file of slices; no other case has it.
    """

    ct: Path
    labels: Path
    patient: str
    split: str
    name: str


def find_cases(images: Path, labels: Path | None, seed: int, faults: Faults) -> list[CtCase]:
    """Find `Case_NNNNN_0000.nii.gz` under a folder and `Case_NNNNN.nii.gz` there or under another one.

    Images without labels are left out, labels without image noted.

    Raises:
        DataError: no such folder, no such files, or faults are strict.
    """
    for folder in (images, labels):
        if folder is not None and not folder.is_dir():
            raise DataError(f"{folder}: no such folder of CT scans")
    found = {match["case"]: path for path in sorted(images.rglob("*.nii*")) if (match := _IMAGE.match(path.name))}
    if not found:
        raise DataError(f"{images}: no files named like Case_00001_0000.nii.gz; give pairs with --list instead")
    maps = {
        path.name.removesuffix(".gz").removesuffix(".nii"): path
        for path in sorted((labels or images).rglob("*.nii*"))
        if not _IMAGE.match(path.name)
    }
    cases = []
    for name, path in found.items():
        if name in maps:
            cases.append(CtCase(path, maps.pop(name), name, split_of(name, seed=seed), _UNSAFE.sub("_", name)))
        else:
            faults.add(path, f"has no label map {name}.nii.gz beside it")
    for path in maps.values():
        faults.note(path, "is a label map without image: not used")
    return cases


def read_list(path: Path, seed: int, faults: Faults) -> list[CtCase]:
    """Read a CSV file with the columns ct, labels and, if wished, patient and split; paths relative to the file.

    Without `patient` every scan is a patient of its own; without `split` the patient's name decides.

    Raises:
        DataError: unreadable, columns missing, a patient in two splits, or faults are strict.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), set(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a list of scans ({error})") from error
    if not {"ct", "labels"} <= columns:
        raise DataError(f"{path}: columns are {sorted(columns)}; expected ct, labels and, if wished, patient, split")
    cases = []
    for number, row in enumerate(rows, start=2):
        ct, labels = path.parent / (row["ct"] or ""), path.parent / (row["labels"] or "")
        missing = [str(p) for p, value in ((ct, row["ct"]), (labels, row["labels"])) if not value or not p.exists()]
        patient = row.get("patient") or row["ct"] or ""
        split = row.get("split") or split_of(patient, seed=seed)
        if missing:
            faults.add(f"{path}, line {number}", f"no such file: {', '.join(missing)}")
        elif split not in SPLITS:
            faults.add(f"{path}, line {number}", f"split is {split!r}; expected {', '.join(SPLITS)}")
        else:
            cases.append(CtCase(ct, labels, patient, split, f"{number:05d}_{_UNSAFE.sub('_', patient)}"))
    check_apart({split: [case.patient for case in cases if case.split == split] for split in SPLITS})
    return cases


def shard_of(cases: Sequence[CtCase], shard: str) -> list[CtCase]:
    """Return part `i/n` of the cases, i from 1 to n: every n-th one.

    Raises:
        DataError: not of that form, or i outside 1 to n.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise DataError(f"shard is {shard!r}; expected i/n with i from 1 to n, such as 2/8")
    return list(cases)[int(match[1]) - 1 :: int(match[2])]

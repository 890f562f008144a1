# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Which CT scans lie below folders, and which labels lie beside them: by names alone, no volume is opened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from us_sim.core.patient.dicom_files import is_dicom
from us_sim.core.patient.naming.said import stem
from us_sim.core.patient.reading import VOLUME

DEEPEST = 5  # folders below each one that is given
MOST = 500  # scans
MOST_ENTRIES = 50_000  # names that are read
LOOKED_INTO = 3  # files of a folder that are opened to see whether they are DICOM
_LABELS = re.compile(r"(?i)(^|[^a-z])(labels?(tr|ts|va)?|segs?|segmentations?|masks?|dseg|gt|totalseg[a-z]*)([^a-z]|$)")
_WORDS = re.compile(r"labels?|dseg|segmentations?|segs?|masks?|combined|totalseg[a-z]*|volume|vol|imaging|images?|img|"
                    r"scan|gt|(?<![a-z])ct(?![a-z])|_0000$|[^a-z0-9]+")  # fmt: skip


class Listed(NamedTuple):
    """A scan: the CT's file, or the folder of a DICOM series; its labels, or None."""

    ct: Path
    labels: Path | None


def scans_below(folders: Iterable[Path]) -> tuple[list[Listed], bool]:
    """Return the scans below folders, in the order of their names, and whether there are too many to list all.

    Links are followed only as far as they stay below the same folder. What cannot be read is passed over.
    """
    found: dict[Path, Listed] = {}
    budget = [MOST_ENTRIES]
    for folder in folders:
        for one in _below(folder, folder.resolve(), 0, budget):
            if len(found) == MOST and one.ct not in found:
                return list(found.values()), True
            found.setdefault(one.ct, one)
    return list(found.values()), budget[0] <= 0


def _below(folder: Path, root: Path, depth: int, budget: list[int]) -> Iterator[Listed]:
    """Yield the scans of a folder, then those of the folders in it; each name read is taken from the budget."""
    files, folders = _entries(folder, root, budget)
    volumes = [path for path in files if VOLUME.search(path.name)]
    scans = [path for path in volumes if not _LABELS.search(path.name)]
    series = [path for path in folders if not _LABELS.search(path.name) and _holds_series(path, root, budget)]
    named = [path for path in (*volumes, *folders) if _LABELS.search(path.name)]
    scans += series
    yield from (Listed(path, _labels_of(path, scans, named)) for path in scans)
    if depth == 0 and not volumes and _first_is_dicom(files):
        yield Listed(folder, None)
        return
    if depth < DEEPEST:
        for inner in folders:
            if inner not in series and inner not in named:
                yield from _below(inner, root, depth + 1, budget)


def _entries(folder: Path, root: Path, budget: list[int]) -> tuple[list[Path], list[Path]]:
    """Return files and folders in a folder, without hidden ones and links that lead out of the root."""
    files: list[Path] = []
    folders: list[Path] = []
    try:
        for path in sorted(folder.iterdir()):
            if budget[0] <= 0:
                break
            budget[0] -= 1
            if path.name.startswith(".") or (path.is_symlink() and not path.resolve().is_relative_to(root)):
                continue
            (folders if path.is_dir() else files).append(path)
    except OSError:
        pass
    return [path for path in files if path.is_file()], folders


def _holds_series(folder: Path, root: Path, budget: list[int]) -> bool:
    files, _ = _entries(folder, root, budget)
    return not any(VOLUME.search(path.name) for path in files) and _first_is_dicom(files)


def _first_is_dicom(files: list[Path]) -> bool:
    try:
        return any(is_dicom(path) for path in files[:LOOKED_INTO])
    except OSError:
        return False


def _labels_of(ct: Path, scans: list[Path], named: list[Path]) -> Path | None:
    """Return the labels of a scan among what is named as labels beside it, or in `labelsTr` beside its `imagesTr`."""
    beside = ct.parent.with_name(ct.parent.name.replace("images", "labels"))
    if beside != ct.parent and beside.is_dir():
        named = [*named, *(path for path in sorted(beside.iterdir()) if VOLUME.search(path.name))]
    same = [path for path in named if _case(path) == _case(ct)]
    if not same and len(scans) == 1:
        same = named
    return min(same, key=lambda path: (path.is_dir(), len(path.name), path.name), default=None)  # the plainest file


def _case(path: Path) -> str:
    """Return what a name says beside its being a CT or labels: `volume-7` and `segmentation-7` are both 7."""
    return _WORDS.sub("", stem(path).lower())

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What a label file says of itself: a table in its header, a table beside it, its name.

Tables beside a file: `dataset.json` of nnU-Net and of the Decathlon, `metadata.json` of a MONAI bundle, `*_dseg.tsv` of
BIDS, `labels.csv` with the columns id and name.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from us_sim.core.patient.naming.structures import class_of_name, organs_in, plain

_MOST = 2**20  # bytes of a table; the tables of the field take some kB
_LABEL = re.compile(r'<Label\b[^>]{0,400}?\bKey="(\d{1,5})"[^>]{0,400}>\s*(?:<!\[CDATA\[)?([^<\]]{1,200})')
_ID, _NAME = ("id", "index", "value", "label_id", "key"), ("name", "label", "structure", "region")
_SUFFIXES = re.compile(r"(\.nii|\.seg|\.gz|\.bz2|\.nrrd|\.nhdr|\.mh[ad]|\.img|\.hdr|\.mg[hz]|\.dcm)+$", re.IGNORECASE)
# What a file's name holds beside the structure's.
_BESIDE = re.compile(r"\b(mask|seg|segmentation|label|labels|pred|prediction|binary|gt|ground|truth|manual|auto|final|"
                     r"case|patient|subject|sub|ct|scan|image|trans|\d+|[a-z]?\d+)\b")  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Names of label values and where they are written."""

    names: Mapping[int, str]
    source: str


def header_table(text: str) -> dict[int, str]:
    """Return the names in the label table that TotalSegmentator writes into a NIfTI header (Caret's XML)."""
    try:
        return _once((int(key), name.strip()) for key, name in _LABEL.findall(text[:_MOST]))
    except ValueError:
        return {}


def _once(pairs: Iterable[tuple[int, str]]) -> dict[int, str]:
    """Return value -> name; what gives a value two names says nothing, which is a ValueError."""
    names: dict[int, str] = {}
    for value, name in pairs:
        if names.setdefault(value, name) != name:
            raise ValueError(f"{value} is {names[value]} and {name}")
    return names


def stem(path: Path) -> str:
    """Return a file's name without the endings of its format."""
    return _SUFFIXES.sub("", path.name)


def structure_in(path: Path) -> str:
    """Return the structure that a mask's file name names (`s0012_spleen_mask.nii.gz`: spleen), or nothing."""
    words = plain(stem(path))
    if len(organs_in(words)) > 1:
        return ""
    name = " ".join(_BESIDE.sub(" ", words).split())
    for candidate in (name, words):
        if candidate and class_of_name(candidate) is not None:
            return candidate
    return ""


def tables_beside(path: Path) -> Iterator[Table]:
    """Yield the tables beside a label file or in the folder above it; what cannot be read as one is none."""
    for place in places_beside(path):
        yield from _table(place, _json_names if place.suffix == ".json" else _csv_names)


def places_beside(path: Path) -> list[Path]:
    """Return where tables of a label file are looked for, whether there are any or not."""
    folder, root = path.absolute().parent, stem(path)
    names = ("dataset.json", "metadata.json", "labels.csv")
    around = [place / name for place in (folder, folder.parent, folder.parent / "configs") for name in names]
    return around + [folder / name for name in (f"{root}.tsv", f"{root}.csv", f"{root}.json", "dseg.tsv")]


def _table(path: Path, read: Any) -> Iterator[Table]:
    try:
        if path.is_file() and path.stat().st_size <= _MOST:
            names = read(path.read_text(encoding="utf-8-sig"))
            if names:
                yield Table(names, path.name)
    except (OSError, ValueError, RecursionError, AttributeError, TypeError):
        return


def _json_names(text: str) -> dict[int, str]:
    """Read `labels` (name -> value or value -> name, regions by their order) or a MONAI bundle's `channel_def`."""
    found = json.loads(text)
    labels = found.get("labels")
    if labels is None:
        outputs = found["network_data_format"]["outputs"]
        labels = next(iter(outputs.values()))["channel_def"]
    if isinstance(labels, list):
        return {value: str(name) for value, name in enumerate(labels)}
    regions = [name for name, value in labels.items() if isinstance(value, list)]
    if regions:
        named = [name for name in labels if labels[name] != 0]
        return dict(zip(map(int, found["regions_class_order"]), named, strict=True))
    if all(str(key).strip().lstrip("-").isdigit() for key in labels):
        return {int(key): str(name) for key, name in labels.items()}
    return _once((int(value), str(name)) for name, value in labels.items())


def _csv_names(text: str) -> dict[int, str]:
    """Read a table with a column of values and a column of names."""
    first = text.partition("\n")[0]
    rows = csv.DictReader(text.splitlines(), delimiter="\t" if "\t" in first else ";" if ";" in first else ",")
    columns = {name.strip().lower(): name for name in rows.fieldnames or ()}
    value = next((columns[name] for name in _ID if name in columns), None)
    name = next((columns[name] for name in _NAME if name in columns), None)
    if value is None or name is None:
        return {}
    return _once((int(row[value]), str(row[name])) for row in rows)

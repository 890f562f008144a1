# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.


"""The scans that the simulator may load, by the names under which the page offers them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Scan(NamedTuple):
    """Paths on the simulator's computer; labels may be empty."""

    ct: str
    labels: str


def by_name(cts: Sequence[str], labels: Sequence[str]) -> dict[str, Scan]:
    """Return the scans by name: the CT's path below the folder that all share, and its labels' own name."""
    if not cts:
        return {}
    shared = os.path.commonpath([os.path.dirname(ct) for ct in cts])
    named = {}
    for ct, beside in zip(cts, labels, strict=True):
        with_labels = f"with {Path(beside).name}" if beside else "no labels"
        named[f"{os.path.relpath(ct, shared)}, {with_labels}"] = Scan(ct, beside)
    return named

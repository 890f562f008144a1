# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Results by method, over several training seeds."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from scyclegan_train.evaluation.intervals import clustered
from scyclegan_train.evaluation.measure import Findings

SEEDED = re.compile(r"(.+)-\d+")


def methods(names: Sequence[str]) -> dict[str, list[str]]:
    """Return generators named `<method>-<seed>` by method, those trained with two seeds or more."""
    found: dict[str, list[str]] = {}
    for name in names:
        match = SEEDED.fullmatch(name)
        if match:
            found.setdefault(match[1], []).append(name)
    return {method: seeds for method, seeds in found.items() if len(seeds) > 1}


def cell(findings: Sequence[Findings], metric: str) -> str:
    """Mean over patients, of all seeds together, with its 95 % interval, and from which seed's mean to which."""
    rows = [[row for row in one.rows if row["metric"] == metric] for one in findings]
    every = [row for part in rows for row in part]
    interval = clustered([float(r["value"]) for r in every], [str(r["patient"]) for r in every])
    if not math.isfinite(interval.value):
        return "—"
    text = f"{interval.value:.3g}"
    if math.isfinite(interval.low):
        text += f" ({interval.low:.3g} to {interval.high:.3g})"
    if len(findings) > 1:
        text += f"; seeds {spread([_mean(part) for part in rows])}"
    return text


def spread(values: Sequence[float]) -> str:
    """The range of some values."""
    return f"{min(values):.3g} to {max(values):.3g}"


def _mean(rows: Sequence[dict[str, str | float]]) -> float:
    return float(np.nanmean([float(row["value"]) for row in rows]))

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Liver ROIs of simulated against real frames, depth-matched along the scan lines.

Speckle statistics of log-compressed, compounded frames have no textbook value; the test is whether they lie within
the range of real ROIs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import skew

from scyclegan_train.evaluation.envelopes import envelope_of, nakagami
from us_sim.core.analysis.realism import QUANTILES, correlation_width
from us_sim.core.config import ImageSettings
from us_sim.core.geometry.probe import ProbeGeometry

Picture = NDArray[np.float64]
Blocks = dict[float, list[Picture]]

LINES, DEPTH = 16, 10.0  # a block's scan lines and mm along them
DEPTHS = (35.0, 50.0, 65.0, 80.0)  # mm where blocks begin
MIDDLE = (40, 140, 12)  # of 192 scan lines: first, last and step of the blocks' first lines
LIT = 15.0  # grey level above which a real block counts: liver, not shadow
RANGE = (5.0, 95.0)  # percentiles of the real blocks between which a simulated one is like them


def blocks_of(picture: Picture, wanted: NDArray[np.bool_], probe: ProbeGeometry) -> Blocks:
    """All blocks at the given depths that lie wholly in `wanted`.

    Args:
        picture: (L, S) grey levels along the scan lines.
        wanted: (L, S).
        probe: whose scan lines these are.
    """
    found: Blocks = {}
    for depth in DEPTHS:
        first, last = (int(d / probe.sample_spacing) for d in (depth, depth + DEPTH))
        for line in range(*MIDDLE):
            place = np.s_[line : line + LINES, first:last]
            if wanted[place].all():
                found.setdefault(depth, []).append(picture[place])
    return found


def pooled(parts: Iterable[Blocks]) -> Blocks:
    """Blocks of several pictures together."""
    together: Blocks = {}
    for part in parts:
        for depth, blocks in part.items():
            together.setdefault(depth, []).extend(blocks)
    return together


def even_half(blocks: Blocks) -> Blocks:
    """Of the lit blocks the more even half, which leaves out vessels, diaphragm and shadow edges."""
    lit = {depth: [b for b in some if b.mean() > LIT] for depth, some in blocks.items()}
    ordered = {depth: sorted(some, key=lambda b: float(b.std() / b.mean())) for depth, some in lit.items()}
    return {depth: some[: len(some) // 2] for depth, some in ordered.items() if len(some) > 1}


STATISTICS: dict[str, Callable[[Picture], float]] = {
    "mean": lambda b: float(b.mean()),
    "SD": lambda b: float(b.std()),
    "skewness": lambda b: float(skew(b, axis=None)),
    "axial grain": lambda b: correlation_width(b, 1),
    "lateral grain": lambda b: correlation_width(b, 0),
}


# Of the envelope before log compression at the default dynamic range; compounding of looks raises m above 1.
NAKAGAMI: dict[str, Callable[[Picture], float]] = {
    "Nakagami m": lambda b: nakagami(_envelope(b))[0],
    "Nakagami Ω, dB": lambda b: 10 * float(np.log10(nakagami(_envelope(b))[1])),
}


def _envelope(block: Picture) -> Picture:
    return envelope_of(block, ImageSettings().dynamic_range)


def grey_distance(simulated: Sequence[NDArray[np.floating]], real: Sequence[NDArray[np.floating]]) -> float:
    """Mean over depth bins of the 1-Wasserstein distance between grey levels; NaN where no bin has both.

    Args:
        simulated, real: (n,) grey levels for each bin.
    """
    both = [pair for pair in zip(simulated, real, strict=True) if min(map(len, pair))]
    apart = [np.abs(np.subtract(*(np.percentile(part, QUANTILES) for part in pair))).mean() for pair in both]
    return float(np.mean(apart)) if apart else math.nan


def compared(
    simulated: Blocks, real: Blocks, statistics: Mapping[str, Callable[[Picture], float]] = STATISTICS
) -> list[dict[str, float | str]]:
    """A row for each depth and statistic: the simulated median, the real 5th and 95th percentile, and both counts."""
    rows: list[dict[str, float | str]] = []
    for depth in sorted(simulated.keys() & real.keys()):
        for name, statistic in statistics.items():
            low, high = np.percentile([statistic(block) for block in real[depth]], RANGE)
            value = float(np.median([statistic(block) for block in simulated[depth]]))
            rows.append({
                "depth": depth, "statistic": name, "value": value, "low": float(low), "high": float(high),
                "blocks": len(simulated[depth]), "real blocks": len(real[depth]),
            })  # fmt: skip
    return rows

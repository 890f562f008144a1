# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Text and bars of the page: pure functions that return HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import ArrayLike

FULL = 120.0  # cm² that fill a bar
CELLS = 32  # of the coupling strip


@dataclass(frozen=True)
class Organ:
    """An organ of the patient, and how much of it the frame shows."""

    name: str
    color: tuple[int, int, int]
    area: float  # cm²


def bars(organs: Iterable[Organ]) -> str:
    """Return one bar for each organ, as long as its area in the fan; faint without any."""
    rows = []
    for organ in organs:
        length = 100.0 * min(1.0, organ.area / FULL)
        area = f"{organ.area:.1f} cm²" if organ.area else ""
        rows.append(
            f'<div style="display:contents"><span style="{_faint(organ.area)}">{escape(organ.name)}</span>'
            f'<span style="background:#8883;border-radius:3px;height:9px;align-self:center">'
            f'<span style="display:block;height:9px;border-radius:3px;width:{length:.1f}%;'
            f'background:rgb{organ.color};outline:1px solid #8886"></span></span>'
            f'<span style="text-align:right;{_faint(organ.area)}">{area}</span></div>'
        )
    columns = "grid-template-columns:58px 1fr 64px 58px 1fr 60px"
    return f'<div style="{_BOX}display:grid;{columns};gap:1px 6px;white-space:nowrap">{"".join(rows)}</div>'


def contact(coupling: ArrayLike, penetration: float, force: float | None) -> str:
    """Return the coupling of the scan lines as a strip, left to right, with penetration and force.

    Args:
        coupling: (L,) 0 to 1.
        penetration: mm.
        force: contact force, N; None where it is not measured.
    """
    lines = np.asarray(coupling, dtype=np.float64)
    cells = [float(part.mean()) if len(part) else 0.0 for part in np.array_split(lines, CELLS)]
    strip = "".join(f'<span style="flex:1;background:{_traffic(cell)}"></span>' for cell in cells)
    words = [f"coupling {100 * float(lines.mean()) if len(lines) else 0:.0f} %", f"indentation {penetration:.1f} mm"]
    if force is not None:
        words.append(f"force {round(force, 1) + 0.0:.1f} N")  # no minus before zero
    return (
        f'<div style="{_BOX}"><div style="display:flex;height:7px;border-radius:3px;overflow:hidden" '
        f'title="coupling of the scan lines">{strip}</div>{_row(words)}</div>'
    )


def line(words: Sequence[str]) -> str:
    """Return short facts in one line."""
    return f'<div style="{_BOX}">{_row(words)}</div>'


_BOX = "padding:0 12px;margin:2px 0;font-size:12.5px;line-height:1.5;"


def _row(words: Sequence[str]) -> str:
    spans = "".join(f"<span>{escape(word)}</span>" for word in words)
    return f'<div style="display:flex;justify-content:space-between;gap:8px;white-space:nowrap">{spans}</div>'


def _faint(area: float) -> str:
    return "" if area else "opacity:.45"


def _traffic(share: float) -> str:
    """From red, uncoupled, to green, coupled."""
    return f"hsl({120 * share:.0f} 60% {38 + 6 * share:.0f}%)"

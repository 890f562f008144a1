# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Callipers: distance and ellipse in mm of the image plane; time, depth and velocity on the M-mode strip.

Pure functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from us_sim.core.geometry.probe import ProbeGeometry

Point = tuple[float, float]  # x and z in `probe`, mm

POINTS = {"distance": 2, "ellipse": 3, "arrow": 2, "text": 1}  # of a mark; an ellipse: its axis and one more
M_MODE = "m_mode"  # kind of a distance on the M-mode strip
DECIMALS = {"s": 2}  # of a unit, 1 by default
WORDED = ("arrow", "text")  # they measure nothing
CORNERS = 48  # of the line that an ellipse is drawn with


@dataclass(frozen=True)
class Mark:
    """A calliper, an arrow or words on a frame.

    Attributes:
        kind: `distance`, `ellipse`, `arrow`, `text` or M_MODE.
        points: as many as are set; of an ellipse, both ends of one axis and a point on the outline beside it; on the
            M-mode strip, s after the frame that is shown, and depth along the scan line, mm.
        text: of an arrow, or the words.
        scan_line: of the M-mode strip, its number.
    """

    kind: str
    points: tuple[Point, ...]
    text: str = ""
    scan_line: int = 0

    @property
    def complete(self) -> bool:
        """Whether all points are set."""
        return len(self.points) == POINTS.get(self.kind, 2)


@dataclass(frozen=True)
class Value:
    """One result: `Length` 102.3 `mm`."""

    name: str
    number: float
    unit: str

    @property
    def text(self) -> str:
        """For display."""
        return f"{self.name} {self.number:.{DECIMALS.get(self.unit, 1)}f} {self.unit}"


def position(u: float, v: float, probe: ProbeGeometry) -> Point:
    """Return x and z, mm in `probe`, of a place in the frame: `u` of its width and `v` of its height, 0 to 1."""
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    return x0 + (u * probe.width - 0.5) * dx, z0 + (v * probe.height - 0.5) * dz


def share(point: Point, probe: ProbeGeometry) -> Point:
    """Return where a point lies in the frame, as shares of width and height: the inverse of `position`."""
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    return ((point[0] - x0) / dx + 0.5) / probe.width, ((point[1] - z0) / dz + 0.5) / probe.height


def values(mark: Mark) -> list[Value]:
    """Return what a mark measures; nothing while it is incomplete, and of words."""
    if not mark.complete or mark.kind in WORDED:
        return []
    if mark.kind == "distance":
        return [Value("Length", math.dist(*mark.points), "mm")]
    if mark.kind == M_MODE:
        return _over_time(*mark.points)
    a, b = axes(mark)
    return [Value("Area", math.pi * a * b / 100, "cm²"), Value("Circumference", circumference(a, b), "mm")]


def _over_time(start: Point, end: Point) -> list[Value]:
    """Time, depth and, where time passes, velocity between two points of the M-mode strip, s and mm."""
    seconds, depth = abs(end[0] - start[0]), abs(end[1] - start[1])
    velocity = [Value("Velocity", depth / seconds, "mm/s")] if seconds else []
    return [Value("Time", seconds, "s"), Value("Depth", depth, "mm"), *velocity]


def axes(mark: Mark) -> tuple[float, float]:
    """Return both half axes of an ellipse, mm: along its first two points, and to the third one, square to that."""
    (start, end, side) = (np.asarray(point) for point in mark.points)
    a = 0.5 * float(np.linalg.norm(end - start))
    if a == 0.0:
        return 0.0, 0.0
    along = (end - start) / (2 * a)
    off = side - 0.5 * (start + end)
    share = min(abs(float(off @ along)) / a, 0.999)  # the outline passes through the third point where it can
    return a, abs(float(off[0] * along[1] - off[1] * along[0])) / math.sqrt(1 - share**2)


def circumference(a: float, b: float) -> float:
    """Return the circumference of an ellipse with half axes a and b (Ramanujan 1914, second approximation)."""
    if a + b == 0:
        return 0.0
    h = ((a - b) / (a + b)) ** 2
    return math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))


def path(mark: Mark, probe: ProbeGeometry) -> NDArray[np.float64]:
    """Return (N, 2) points, mm in `probe`, of the line of a mark in its frame; of M-mode, a part of the scan line."""
    if mark.kind != M_MODE:
        return line(mark)
    start, way = (part[mark.scan_line, [0, 2]] for part in (probe.line_origins, probe.line_directions))
    return np.asarray([start + depth * way for _, depth in mark.points])


def line(mark: Mark) -> NDArray[np.float64]:
    """Return (N, 2) points of the line that a mark is drawn with, in its own units."""
    if mark.kind != "ellipse" or not mark.complete:
        return np.asarray(mark.points, dtype=np.float64)
    a, b = axes(mark)
    start, end = np.asarray(mark.points[0]), np.asarray(mark.points[1])
    along = (end - start) / (2 * a) if a else np.array([1.0, 0.0])
    turn = np.linspace(0.0, 2 * math.pi, CORNERS + 1)
    across = np.array([-along[1], along[0]])
    return np.asarray(0.5 * (start + end) + a * np.cos(turn)[:, None] * along + b * np.sin(turn)[:, None] * across)

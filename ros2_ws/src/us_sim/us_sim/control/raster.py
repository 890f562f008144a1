# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Scan paths over the skin: from waypoint to waypoint, or parallel lines over the area that they span."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from us_sim.core.errors import ConfigError
from us_sim.core.geometry.transforms import Matrix

MOST_LINES = 1000
NARROW = 1.0  # mm: an area that is not wider than this is a line

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScanPath:
    """A polyline near the skin, and how the probe is turned along it.

    Attributes:
        points: (N, 3) mm in `ct`, N at least 2; no two in a row coincide.
        laterals: (N, 3) unit, wished direction of the probe's x in `ct`.
        start: (4, 4) the pose from which the probe goes down to the first point.
    """

    points: Array
    laterals: Array
    start: Matrix

    @property
    def length(self) -> float:
        """Of the polyline, mm."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    def at(self, way: float) -> tuple[Array, Array]:
        """Return point and lateral direction, (3,) each, a way of mm from the start."""
        ways = np.concatenate([[0.0], np.linalg.norm(np.diff(self.points, axis=0), axis=1).cumsum()])
        i = int(np.clip(np.searchsorted(ways, way, side="right") - 1, 0, len(ways) - 2))
        share = float(np.clip((way - ways[i]) / (ways[i + 1] - ways[i]), 0.0, 1.0))
        lateral = (1 - share) * self.laterals[i] + share * self.laterals[i + 1]
        return (1 - share) * self.points[i] + share * self.points[i + 1], lateral / max(np.linalg.norm(lateral), 1e-9)


def waypoint_path(waypoints: Array) -> ScanPath:
    """Return the path from waypoint to waypoint, (N, 4, 4) poses in mm.

    Raises:
        ConfigError: fewer than two different places.
    """
    places = waypoints[:, :3, 3]
    kept = np.concatenate([[True], np.linalg.norm(np.diff(places, axis=0), axis=1) > 1e-6])
    if kept.sum() < 2:
        raise ConfigError(f"{len(waypoints)} waypoints hold {int(kept.sum())} place(s); a path needs 2 or more")
    return ScanPath(places[kept], waypoints[kept, :3, 0], waypoints[0])


def raster(waypoints: Array, line_spacing: float) -> ScanPath:
    """Return parallel lines, there and back, over the rectangle that waypoints, (N, 4, 4) poses in mm, span.

    Lines run as the first waypoint lies to the second; they are evenly spaced, by `line_spacing` mm or less. The plane
    of the rectangle is fitted to the waypoints; the probe is turned as their mean.

    Raises:
        ConfigError: fewer than three waypoints, waypoints on one line, or more than MOST_LINES lines.
    """
    if len(waypoints) < 3:
        raise ConfigError(f"a raster has {len(waypoints)} waypoint(s); it needs 3 or more that span an area")
    frame, local = _flat(waypoints)
    low, high = local.min(axis=0), local.max(axis=0)
    if min(high[:2] - low[:2]) <= NARROW:
        raise ConfigError("the raster's waypoints lie on a line; they need to span an area, or take pattern PATH")
    count = math.ceil((high[1] - low[1]) / line_spacing - 1e-9) + 1
    if count > MOST_LINES:
        raise ConfigError(f"line_spacing {line_spacing:g} mm makes {count} lines; expected at most {MOST_LINES}")
    near, far = (low[1], high[1]) if -low[1] <= high[1] else (high[1], low[1])  # the first waypoint lies at 0
    v = np.repeat(np.linspace(near, far, count), 2)
    u = np.tile([low[0], high[0], high[0], low[0]], (count + 1) // 2)[: 2 * count]
    a, b, c = np.linalg.lstsq(np.column_stack([np.ones(len(local)), local[:, :2]]), local[:, 2], rcond=None)[0]
    points = waypoints[0, :3, 3] + np.column_stack([u, v, a + b * u + c * v]) @ frame.T
    lateral = waypoints[:, :3, 0].mean(axis=0)
    lateral = lateral / max(float(np.linalg.norm(lateral)), 1e-9)
    nearest = int(np.linalg.norm(waypoints[:, :3, 3] - points[0], axis=1).argmin())
    start = waypoints[nearest].copy()
    start[:3, 3] = points[0]
    return ScanPath(points, np.tile(lateral, (len(points), 1)), start)


def _flat(waypoints: Array) -> tuple[Array, Array]:
    """Axes (3, 3: along the lines, across, along the mean beam) in `ct`, and the waypoints' places in them."""
    w = waypoints[:, :3, 2].mean(axis=0)
    along = waypoints[1, :3, 3] - waypoints[0, :3, 3]
    if np.linalg.norm(w) < 0.1:
        raise ConfigError("the raster's waypoints look in opposite directions; expected one side of the body")
    w = w / np.linalg.norm(w)
    u = along - w * (along @ w)
    if np.linalg.norm(u) <= NARROW:
        raise ConfigError("the raster's first two waypoints lie on one place; they give the direction of the lines")
    u = u / np.linalg.norm(u)
    frame = np.stack([u, np.cross(w, u), w], axis=1)
    return frame, (waypoints[:, :3, 3] - waypoints[0, :3, 3]) @ frame

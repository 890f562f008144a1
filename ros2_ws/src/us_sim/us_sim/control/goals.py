# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Validation of the scan action's goals, before the probe moves."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from us_sim_msgs.action import Scan
from us_sim_msgs.msg import ProbeInfo

from us_sim.control.guard import Guard
from us_sim.control.raster import raster, waypoint_path
from us_sim.control.scanning import SkinScan
from us_sim.core.errors import ConfigError, PoseError
from us_sim.ros.conversions import MM_PER_M, pose_matrix
from us_sim.ros.folders import recordings_folder

FASTEST = 0.2  # m/s along the skin


def scan_of(goal: Scan.Goal, info: ProbeInfo, force_limit: float) -> SkinScan:
    """Return the scan that a goal requests.

    Raises:
        ConfigError: anything in the goal that no scan can have; the message names it and what was expected.
    """
    _positive("speed", goal.speed, FASTEST, "m/s")
    _positive("force", goal.force, force_limit, "N, the node's force_limit")
    _positive("force_tolerance", goal.force_tolerance, force_limit, "N")
    if goal.force_tolerance >= goal.force:
        raise ConfigError(f"force_tolerance is {goal.force_tolerance:g} N; expected less than the force, "
                          f"{goal.force:g} N: no contact would be within it")  # fmt: skip
    if goal.pattern not in (Scan.Goal.RASTER, Scan.Goal.PATH):
        raise ConfigError(f"pattern is {goal.pattern}; expected {Scan.Goal.RASTER} (RASTER) or {Scan.Goal.PATH} (PATH)")
    if duration(goal) < 0:
        raise ConfigError(f"timeout is {duration(goal):g} s; expected 0 (never) or more")
    waypoints = _waypoints(goal, info.ct_frame)
    if goal.pattern == Scan.Goal.RASTER:
        _positive("line_spacing", goal.line_spacing, 1.0, "m")
        path = raster(waypoints, goal.line_spacing * MM_PER_M)
    else:
        path = waypoint_path(waypoints)
    return SkinScan(path, goal.speed * MM_PER_M, Guard(goal.force, goal.force_tolerance, force_limit))


def recording_folder(recordings: str, wished: str) -> Path | None:
    """Return the folder that a goal asks to record into; None if it asks for none.

    Args:
        recordings: the node's parameter; empty for us_sim_recordings in the home folder.
        wished: of the goal, relative to it.

    Raises:
        ConfigError: it lies elsewhere, links followed.
    """
    if not wished:
        return None
    root = recordings_folder(recordings).resolve()
    folder = (root / wished).resolve()
    if not folder.is_relative_to(root):
        raise ConfigError(f"recording {wished!r} lies outside {root}; name a folder inside, or start the node with "
                          "another recordings")  # fmt: skip
    return folder


def duration(goal: Scan.Goal) -> float:
    """Return the timeout of a goal, s; 0 for never."""
    return float(goal.timeout.sec + goal.timeout.nanosec * 1e-9)


def _positive(name: str, value: float, most: float, unit: str) -> None:
    if not (math.isfinite(value) and 0 < value <= most):
        raise ConfigError(f"{name} is {value:g}; expected more than 0 and at most {most:g} {unit}")


def _waypoints(goal: Scan.Goal, ct_frame: str) -> np.ndarray:
    """(N, 4, 4) mm in `ct`."""
    if not goal.waypoints:
        raise ConfigError("the goal has no waypoints; expected 2 or more for PATH, 3 or more for RASTER")
    poses = []
    for number, waypoint in enumerate(goal.waypoints):
        if waypoint.header.frame_id != ct_frame:
            raise ConfigError(f"waypoint {number} is in frame {waypoint.header.frame_id!r}; expected {ct_frame!r}")
        try:
            poses.append(pose_matrix(waypoint.pose))
        except PoseError as error:
            raise ConfigError(f"waypoint {number}: {error}") from None
    return np.stack(poses)

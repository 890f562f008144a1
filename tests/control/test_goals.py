"""What a goal of the scan action may ask for."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseStamped
from std_msgs.msg import Header
from tests.control.flat import upright
from us_sim_msgs.action import Scan
from us_sim_msgs.msg import ProbeInfo

from us_sim.control.goals import recording_folder, scan_of
from us_sim.core.errors import ConfigError
from us_sim.ros.conversions import pose_message

NAN = math.nan
INFO = ProbeInfo(ct_frame="ct")


def waypoint(x: float, y: float, frame: str = "ct") -> PoseStamped:
    return PoseStamped(header=Header(frame_id=frame), pose=pose_message(upright(x, y)))


def goal(**changes: Any) -> Scan.Goal:
    given = {"pattern": Scan.Goal.PATH, "waypoints": [waypoint(0, 0), waypoint(20, 0)], "speed": 0.01, "force": 5.0,
             "force_tolerance": 2.0, "line_spacing": 0.01}  # fmt: skip
    return Scan.Goal(**{**given, **changes})


def test_a_goal_becomes_a_scan_in_millimetres() -> None:
    scan = scan_of(goal(), INFO, 25.0)
    assert (scan.speed, scan.path.length) == pytest.approx((10.0, 20.0))
    assert (scan.guard.target, scan.guard.tolerance, scan.guard.limit) == (5.0, 2.0, 25.0)
    corners = [waypoint(0, 0), waypoint(20, 0), waypoint(20, 10)]
    scan = scan_of(goal(pattern=Scan.Goal.RASTER, waypoints=corners, line_spacing=0.005), INFO, 25.0)
    np.testing.assert_allclose(scan.path.points[:, 1], [0, 0, 5, 5, 10, 10], atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"waypoints": []}, "the goal has no waypoints"),
        ({"waypoints": [waypoint(0, 0), waypoint(NAN, 0)]}, "waypoint 1: pose holds NaN or Inf"),
        ({"waypoints": [waypoint(0, 0), waypoint(9, 0, "world")]}, "waypoint 1 is in frame 'world'; expected 'ct'"),
        ({"waypoints": [waypoint(0, 0), waypoint(9, 0, "")]}, "waypoint 1 is in frame ''; expected 'ct'"),
        ({"waypoints": [waypoint(0, 0)]}, "1 waypoints hold 1 place(s); a path needs 2 or more"),
        ({"pattern": 7}, "pattern is 7; expected 0 (RASTER) or 1 (PATH)"),
        ({"pattern": 0}, "a raster has 2 waypoint(s); it needs 3 or more"),
        ({"pattern": 0, "line_spacing": 0.0}, "line_spacing is 0; expected more than 0 and at most 1 m"),
        ({"pattern": 0, "line_spacing": NAN}, "line_spacing is nan"),
        ({"speed": -0.01}, "speed is -0.01; expected more than 0 and at most 0.2 m/s"),
        ({"speed": NAN}, "speed is nan"),
        ({"speed": 5.0}, "speed is 5"),
        ({"force": -5.0}, "force is -5; expected more than 0 and at most 25 N, the node's force_limit"),
        ({"force": NAN}, "force is nan"),
        ({"force": 30.0}, "force is 30"),
        ({"force_tolerance": 0.0}, "force_tolerance is 0"),
        ({"force_tolerance": 5.0}, "force_tolerance is 5 N; expected less than the force, 5 N"),
        ({"force_tolerance": math.inf}, "force_tolerance is inf"),
        ({"timeout": Duration(sec=-1)}, "timeout is -1 s; expected 0 (never) or more"),
    ],
)
def test_a_goal_that_cannot_be_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match="^" + re.escape(text)):
        scan_of(goal(**changes), INFO, 25.0)


def test_recordings_stay_in_their_folder(tmp_path: Path) -> None:
    assert recording_folder(str(tmp_path), "") is None
    assert recording_folder(str(tmp_path), "a/b") == tmp_path / "a" / "b"
    assert recording_folder(str(tmp_path), str(tmp_path / "a")) == tmp_path / "a"
    (tmp_path / "link").symlink_to("/")
    for wished in ("../elsewhere", "/etc", "a/../../b", "link/etc"):
        with pytest.raises(ConfigError, match=f"recording '{re.escape(wished)}' lies outside {tmp_path}"):
            recording_folder(str(tmp_path), wished)
    assert recording_folder("", "a") == Path.home().resolve() / "us_sim_recordings" / "a"

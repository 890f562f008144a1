# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The robot's test bench: force and pose over time, and the controllers that are at work. For one thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.action import ActionClient
from rclpy.node import Node
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from us_sim_msgs.action import Scan

from us_sim.core.geometry.transforms import MM_PER_M, Matrix
from us_sim.ros.conversions import pose_message
from us_sim.viewer.link import SCAN, SERVO

SPAN, STEP = 20.0, 0.05  # s: length of the curves, and the least time between two points
ABSENT = "{0} is not running; start it, or the simulator with controllers:=true"
TOLERANCE = 0.3  # of the force's set point


class Curve:
    """Values over the last SPAN seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, ...]] = deque()

    def add(self, seconds: float, *values: float) -> None:
        """Add values at a time, s; those that follow within STEP are left out."""
        points = self._points
        if points and 0 <= seconds - points[-1][0] < STEP:
            return
        if points and seconds < points[-1][0]:
            points.clear()
        points.append((seconds, *values))
        while seconds - points[0][0] > SPAN:
            points.popleft()

    def columns(self) -> tuple[NDArray[np.float64], ...]:
        """Return (N,) times, s, the newest 0, and (N,) of each value; nothing before the first."""
        if not self._points:
            return ()
        times, *values = np.array(self._points).T
        return times - times[-1], *values


class Bench:
    """Curves, and the scan and servo nodes. `tell(title, text)` says what came of a wish."""

    def __init__(self, node: Node, tell: Callable[[str, str], None]) -> None:
        self._node, self._tell = node, tell
        self.force, self.place = Curve(), Curve()
        self.progress = ""
        self._scan = ActionClient(node, Scan, f"{SCAN}/scan")
        self._stops = {name: node.create_client(Trigger, f"{name}/stop") for name in (SCAN, SERVO)}
        self._begin = node.create_client(Trigger, f"{SERVO}/start")

    def feel(self, newtons: float) -> None:
        """Take the contact force, N."""
        self.force.add(time.monotonic(), newtons)

    def see(self, ct_from_probe: Matrix) -> None:
        """Take the probe's pose, mm."""
        self.place.add(time.monotonic(), *ct_from_probe[:3, 3])

    def scan(self, path: list[Matrix], ct_frame: str, force: float, speed: float) -> None:
        """Scan from pose to pose, mm, with a force, N, and a speed along the skin, mm/s."""
        if not self._scan.server_is_ready():
            self._tell("Scan", ABSENT.format(SCAN))
            return
        poses = [PoseStamped(header=Header(frame_id=ct_frame), pose=pose_message(pose)) for pose in path]
        goal = Scan.Goal(pattern=Scan.Goal.PATH, waypoints=poses, speed=speed / MM_PER_M, force=force,
                         force_tolerance=TOLERANCE * force)  # fmt: skip
        self._scan.send_goal_async(goal, feedback_callback=self._hear).add_done_callback(self._taken)

    def servo(self) -> None:
        """Have the servo find its organ from where the probe is."""
        if not self._begin.service_is_ready():
            self._tell("Servo", ABSENT.format(SERVO))
            return

        def answered(future: Any) -> None:
            if future.result() is not None and not future.result().success:
                self._tell("Servo", future.result().message)

        self._begin.call_async(Trigger.Request()).add_done_callback(answered)

    def stop(self) -> None:
        """Stop scan and servo, whichever is at work."""
        ready = [client for client in self._stops.values() if client.service_is_ready()]
        if not ready:
            self._tell("Stop", "neither us_sim_scan nor us_sim_servo is running")
        for client in ready:
            client.call_async(Trigger.Request())

    def words(self, servo: str, scanning: bool) -> str:
        """Return the state of both controllers, as Markdown."""
        scan_there, servo_there = self._scan.server_is_ready(), self._stops[SERVO].service_is_ready()
        scan = (self.progress or "at work") if scanning else "ready" if scan_there else "not running"
        held = servo or ("ended" if servo_there else "not running")
        start = (
            "" if scan_there and servo_there else "  \nStart them with the simulator, `controllers:=true`, or alone."
        )
        return f"**Scan:** {scan}  \n**Servo:** {held}{start}"

    def _taken(self, future: Any) -> None:
        handle = future.result()
        if handle is None or not handle.accepted:
            self._tell("Scan", "another scan is under way; stop it first")
        else:
            handle.get_result_async().add_done_callback(self._ended)

    def _hear(self, message: Any) -> None:
        self.progress = f"{100 * message.feedback.progress:.0f} %"

    def _ended(self, future: Any) -> None:
        self.progress = ""
        result = future.result().result if future.result() is not None else None
        if result is not None:
            said = result.message or f"done; mean force {result.force_mean:.1f} N, greatest {result.force_max:.1f} N"
            self._tell("Scan", said)

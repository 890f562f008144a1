# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The simulator as seen by a robot's controller: poses out; force, contact and the probe's pose in."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque

import numpy as np
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from us_sim_msgs.msg import Contact, FrameInfo, ProbeInfo

from us_sim.control.admittance import ContactState
from us_sim.core.errors import PoseError
from us_sim.core.geometry.transforms import Matrix
from us_sim.ros.conversions import nanoseconds, pose_matrix, pose_message
from us_sim.ros.outputs import latched_qos, stream_qos

AGAIN = 0.2  # s without an answer after which a pose is sent again: it may have been lost
SILENT = 10.0  # s without an answer after which the simulator counts as gone
LONGEST_STEP = 0.1  # s: a step that comes late moves the probe no farther
REMEMBERED = 500  # poses


class Robot:
    """Holds the probe. One pose goes out, and its force is waited for before the next: a busy computer slows the
    probe down, and never lets it run ahead of the measured force.

    Attributes:
        info: probe and patient; None until the simulator was heard.
        shown: (4, 4) pose of the newest frame, mm, whoever sent it; None until there was one.
        pose: (4, 4) the last pose sent, mm; None while others control the probe.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.info: ProbeInfo | None = None
        self.shown: Matrix | None = None
        self.pose: Matrix | None = None
        self._stamp = 0  # of the last pose, ns
        self._stamps: set[int] = set()  # of all the times that it went out
        self._sent = self._first_sent = 0.0  # s, monotonic: the last time, and the first time, that it went out
        self._history: deque[tuple[int, Matrix]] = deque(maxlen=REMEMBERED)
        self._contact: Contact | None = None
        self._wrench: WrenchStamped | None = None
        self._held = 0.0
        self._poses = node.create_publisher(PoseStamped, "us_sim/probe_pose", stream_qos())
        self._demo = node.create_client(SetBool, "probe_motion/run")
        self._parameters = node.create_client(SetParameters, "us_sim/set_parameters")
        node.create_subscription(ProbeInfo, "us_sim/probe_info", self._on_info, latched_qos())
        node.create_subscription(FrameInfo, "us_sim/frame_info", self._on_frame, stream_qos())
        node.create_subscription(Contact, "us_sim/contact", self._on_contact, stream_qos())
        node.create_subscription(WrenchStamped, "us_sim/wrench", self._on_wrench, stream_qos())

    def _on_info(self, info: ProbeInfo) -> None:
        self.info = info

    def _on_frame(self, frame: FrameInfo) -> None:
        try:
            self.shown = pose_matrix(frame.ct_from_probe)
        except PoseError as error:
            self._node.get_logger().warning(f"an invalid frame_info is ignored: {error}", throttle_duration_sec=5.0)

    def _on_contact(self, contact: Contact) -> None:
        self._contact = contact

    def _on_wrench(self, wrench: WrenchStamped) -> None:
        self._wrench = wrench

    # -- step by step ------------------------------------------------------------------------------------

    def move(self, ct_from_probe: Matrix) -> None:
        """Send the next pose, mm."""
        self.pose, self._first_sent = ct_from_probe, time.monotonic()
        self._stamps.clear()
        self._send()

    def sensed(self) -> tuple[ContactState, float] | None:
        """Return the contact at the last pose, and the seconds since it was sent; None until the simulator answers.

        A pose that stays without an answer is sent again.
        """
        answers = (self._contact, self._wrench)
        if any(answer is None or nanoseconds(answer.header.stamp) not in self._stamps for answer in answers):
            if self.pose is not None and time.monotonic() - self._sent > AGAIN:
                self._send()
            return None
        assert self._contact is not None
        assert self._wrench is not None
        normal = self._contact.normal
        sensed = ContactState(
            -self._wrench.wrench.force.z, self._contact.in_contact, np.array([normal.x, normal.y, normal.z])
        )
        passed = (self._node.get_clock().now().nanoseconds - self._stamp) * 1e-9
        return sensed, min(max(passed, 0.0), LONGEST_STEP)

    @property
    def stamp(self) -> int:
        """Of the last pose, ns."""
        return self._stamp

    @property
    def silent(self) -> bool:
        """Whether the simulator has stopped answering."""
        return self.pose is not None and time.monotonic() - self._first_sent > SILENT

    @property
    def wrench(self) -> WrenchStamped | None:
        """The newest wrench."""
        return self._wrench

    def leave(self) -> None:
        """Stop controlling the probe."""
        self.pose = None

    def pose_at(self, stamp: int) -> Matrix | None:
        """Return the pose that was in force at a stamp, ns; None if that was before the first one remembered."""
        i = bisect_right(self._history, stamp, key=lambda one: one[0]) - 1
        return self._history[i][1] if i >= 0 else None

    def _send(self) -> None:
        assert self.pose is not None
        assert self.info is not None
        now = self._node.get_clock().now()
        self._stamp, self._sent = now.nanoseconds, time.monotonic()
        self._stamps.add(self._stamp)
        self._history.append((self._stamp, self.pose))
        header = Header(stamp=now.to_msg(), frame_id=self.info.ct_frame)
        self._poses.publish(PoseStamped(header=header, pose=pose_message(self.pose)))

    # -- demo and parameters -----------------------------------------------------------------------------------------

    def hold_demo(self) -> None:
        """Stop the demo motion; repeated once a second, as it may have been restarted."""
        if time.monotonic() - self._held > 1.0 and self._demo.service_is_ready():
            self._held = time.monotonic()
            self._demo.call_async(SetBool.Request(data=False))

    def set_depth(self, depth: float) -> bool:
        """Ask for an imaging depth, mm; return False while the simulator cannot be asked."""
        if not self._parameters.service_is_ready():
            return False

        def answered(future: object) -> None:
            for result in future.result().results:  # type: ignore[attr-defined]
                if not result.successful:
                    self._node.get_logger().warning(f"the imaging depth is unchanged: {result.reason}")

        parameter = Parameter("depth", value=depth).to_parameter_msg()
        self._parameters.call_async(SetParameters.Request(parameters=[parameter])).add_done_callback(answered)
        return True

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Whether the simulator is there, and who moves its probe: by what the graph and the diagnostics say."""

from __future__ import annotations

import time
from collections.abc import Iterable

from action_msgs.msg import GoalStatus, GoalStatusArray
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from std_msgs.msg import String

from us_sim.ros.outputs import latched_qos, stream_qos

LOST = 5.0  # s without a sign of life; the simulator reports once a second
SERVO, SCAN, DEMO, ARM = "us_sim_servo", "us_sim_scan", "probe_motion", "fake_arm"
WORDS = {SERVO: "the servo", SCAN: "the scan", DEMO: "the demo", ARM: "the arm"}
ENDED = ("failed", "absent", "stopped")  # how the last state of a servo begins
UNCONFIGURED = "not configured"


class Link:
    """What is known of the simulator beside its frames. For the executor's thread.

    Attributes:
        line: of its diagnostics; empty before the first.
        loading: what it loads; empty for nothing.
        servo: state of `us_sim_servo`; empty without one.
        scanning: `us_sim_scan` has a goal under way.
    """

    def __init__(self, node: Node) -> None:
        self._node, self._own = node, node.get_fully_qualified_name()
        self._pose_topic = node.resolve_topic_name("us_sim/probe_pose")
        self._name = node.resolve_topic_name("us_sim/probe_info").removesuffix("/probe_info")
        self.line = self.loading = self.servo = ""
        self.scanning = False
        self._heard = 0.0  # s, monotonic; 0: never
        self._first_seen = 0.0
        node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnose, stream_qos())
        node.create_subscription(String, f"{SERVO}/state", self._hear_servo, latched_qos())
        node.create_subscription(GoalStatusArray, f"{SCAN}/scan/_action/status", self._hear_scan, latched_qos())

    def sign_of_life(self) -> None:
        """The simulator was heard."""
        self._heard = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the simulator has been heard of late."""
        return self._heard > 0 and time.monotonic() - self._heard < LOST

    def starting(self, there: bool) -> float:
        """Return for how many s a simulator that has not reported yet has been there; 0 for none."""
        if not there:
            self._first_seen = 0.0
        elif not self._first_seen:
            self._first_seen = time.monotonic()
        return time.monotonic() - self._first_seen if self._first_seen else 0.0

    @property
    def failure(self) -> str:
        """Why the simulator could not be configured; empty if it is not known to have failed."""
        return self.line.removeprefix(f"{UNCONFIGURED}: ") if self.line.startswith(f"{UNCONFIGURED}: ") else ""

    def publishers(self) -> list[str]:
        """Return the names of the other nodes that could send poses."""
        found = self._node.get_publishers_info_by_topic(self._pose_topic)
        names = {f"{one.node_namespace.rstrip('/')}/{one.node_name}" for one in found}
        return sorted(name.rsplit("/", 1)[-1] for name in names if name != self._own)

    def mover(self, in_control: bool, demo_held: bool) -> str:
        """Return who moves the probe, in words; `demo_held`: the demo has been asked to stop."""
        return mover(self.publishers(), in_control, demo_held, bool(self.servo), self.scanning)

    def _diagnose(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._name:
                self.sign_of_life()
                self.line = status.message
                self.loading = next((value.value for value in status.values if value.key == "loading"), "")

    def _hear_servo(self, state: String) -> None:
        self.servo = "" if state.data.startswith(ENDED) else state.data

    def _hear_scan(self, statuses: GoalStatusArray) -> None:
        under_way = (GoalStatus.STATUS_ACCEPTED, GoalStatus.STATUS_EXECUTING, GoalStatus.STATUS_CANCELING)
        self.scanning = any(one.status in under_way for one in statuses.status_list)


def mover(publishers: Iterable[str], in_control: bool, demo_held: bool, servo: bool, scanning: bool) -> str:
    """Return who moves the probe, in words; empty for nobody.

    A message does not say who sent it: of several that could, those that are at work count.

    Args:
        publishers: names of the nodes, other than the viewer, that could send poses.
        in_control: the viewer does.
        demo_held: the demo, or the arm, stands still.
        servo, scanning: the servo, the scan is at work.
    """
    if in_control:
        return "you"
    working = {SERVO: servo, SCAN: scanning, DEMO: not demo_held, ARM: not demo_held}
    active = [name for name in publishers if working.get(name, True)]
    if any(name in (SERVO, SCAN) for name in active):  # they ask the demo to stop
        active = [name for name in active if name not in (DEMO, ARM)]
    return ", ".join(WORDS.get(name, name) for name in active)

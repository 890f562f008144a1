# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Once a second: diagnostics, the frozen frame again, and for new subscribers the patient's meshes, a pose to start
from, and the last frame of a probe that stands still.

And 20 times a second, for a breathing patient, the last frame again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray, KeyValue
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecyclePublisher
from rclpy.node import Node
from std_msgs.msg import Header

from us_sim.core.robot.motion import home
from us_sim.ros.conversions import pose_message
from us_sim.ros.diagnostics import status_message
from us_sim.ros.markers import patient_markers
from us_sim.ros.outputs import listened
from us_sim.ros.scene import equipment
from us_sim.ros.session import Session
from us_sim.ros.worker import in_worker

if TYPE_CHECKING:
    from us_sim.core.patient.patient import Patient

STALE = 1.0  # s without a pose, once there was one, after which diagnostics warn
BREATH_STEP = 0.05  # s between two frames of a breathing patient under a probe that stands still


class Heartbeat:
    """Beats from construction to destruction of a node, whatever its state."""

    def __init__(self, node: Node, session: Session) -> None:
        self._node, self._session = node, session
        self._sent: dict[str, Patient] = {}  # of whom the latched topics tell
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(1.0, self._beat, clock=steady)
        node.create_timer(BREATH_STEP, self._breathe, clock=steady)

    def forget_markers(self) -> None:
        """Send the patient's markers again: the publisher that held them is closed."""
        self._sent.clear()

    def _beat(self) -> None:
        self._report()
        if self._session.stream is not None:
            self._session.stream.repeat_frozen()
            if self._session.statistics.silence > STALE:
                self._session.stream.repeat_for_new()
            self._once("patient_markers", self._session.outputs.patient_markers, self._send_markers)
            self._once("home_pose", self._session.outputs.home_pose, self._send_home)

    def _breathe(self) -> None:
        if self._session.stream is not None:
            self._session.stream.breathe(self._node.get_clock().now().nanoseconds)

    def _report(self) -> None:
        node, session = self._node, self._session
        good, line, values = session.statistics.report()
        if session.scene is None:
            good, line = False, f"not configured: {session.failure}" if session.failure else "not configured"
        else:
            simulator = session.scene.simulator
            line = line if session.stream is not None else "not active"
            for complaint in self._complaints():
                good, line = False, f"{line}, {complaint}"
            about = {
                "patient": simulator.patient.name,
                "renderer": simulator.renderer,
                "generator": simulator.generator.name if simulator.generator else "",
                **equipment(simulator),
            }
            values += [KeyValue(key=key, value=value) for key, value in about.items()]
        if session.loads.progress:
            values.append(KeyValue(key="loading", value=session.loads.progress))
        failures = getattr(node.executor, "failures", {})  # of an EnduringExecutor
        values += [KeyValue(key=f"failed: {kind}", value=str(count)) for kind, count in sorted(failures.items())]
        name = node.get_fully_qualified_name()
        twins = [f"{place.rstrip('/')}/{other}" for other, place in node.get_node_names_and_namespaces()].count(name)
        if twins > 1:
            good, line = False, f"{line}, {twins} nodes are called {name}"
            session.log.warn("twins", f"{twins} nodes are called {name}: start one with another namespace:=, or end it")
        message = DiagnosticArray(status=[status_message(name, good, line, values)])
        message.header.stamp = node.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _complaints(self) -> Iterator[str]:
        """What an active node waits for in vain."""
        session = self._session
        if session.stream is None:
            return
        if (age := session.statistics.silence) > STALE:
            source = "TF has brought no new pose" if session.config.pose_source == "tf" else "no pose has come"
            yield f"{source} for {age:.0f} s"
        if not session.outputs.heard:
            yield "nobody listens"

    def _once(
        self, what: str, publisher: LifecyclePublisher, send: Callable[[Patient], Coroutine[Any, Any, None]]
    ) -> None:
        """Send what a patient's topic holds once somebody asks for it: it takes seconds, so a worker makes it."""
        patient = self._session.scene_in_force.simulator.patient
        if self._sent.get(what) is not patient and listened(publisher):
            self._sent[what] = patient
            self._node.executor.create_task(send, patient)

    async def _send_home(self, patient: Patient) -> None:
        session = self._session
        try:
            pose = await in_worker(self._node.executor, home, patient)
            if self._sent.get("home_pose") is patient:
                header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=session.config.ct_frame_id)
                session.outputs.home_pose.publish(PoseStamped(header=header, pose=pose_message(pose)))
        except Exception as error:
            session.log.failed("home_pose", error)

    async def _send_markers(self, patient: Patient) -> None:
        session, executor = self._session, self._node.executor
        try:
            message = await in_worker(executor, patient_markers, patient, session.config.ct_frame_id)
            if self._sent.get("patient_markers") is patient:
                session.outputs.patient_markers.publish(message)
            warning = await in_worker(executor, patient.misalignment)
            if warning:
                session.log.warn("misalignment", warning)
        except Exception as error:
            session.log.failed("patient_markers", error)

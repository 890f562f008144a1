# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Node `us_sim_servo`: finds an organ by `~/analysis`, centres it, and holds it there with constant force."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import PointStamped
from rclpy.node import Node
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from us_sim_msgs.msg import Analysis

from us_sim.control.admittance import ContactState, admittance_step, moved_towards, retracted
from us_sim.control.config import ServoConfig
from us_sim.control.guard import Guard
from us_sim.control.robot import Robot
from us_sim.control.scanning import STAND_OFF, TRANSIT, TRANSIT_TURN
from us_sim.control.visual_servo import Observation, Phase, Servo
from us_sim.core.command import as_command
from us_sim.core.errors import ConfigError
from us_sim.core.geometry.transforms import Matrix, apply, inverse
from us_sim.ros import parameters
from us_sim.ros.conversions import MM_PER_M, nanoseconds, point_array, point_message
from us_sim.ros.outputs import latched_qos, stream_qos
from us_sim.ros.running import run

TOLERANCE = 1.0  # N within which the probe counts as pressed on


class ServoNode(Node):
    """Begins where the probe is. `~/state` (latched) says what it does, `~/offset` where the organ's middle lies.

    Raises:
        ConfigError: a parameter outside its range.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__("us_sim_servo", **kwargs)
        parameters.declare(self, ServoConfig)
        self._config = parameters.read(self, ServoConfig)
        parameters.fix(self, ["control_rate", "autostart"])  # ~/start reads the others anew
        self._robot = Robot(self)
        self._announced = ""
        self._state = self.create_publisher(String, "~/state", latched_qos())
        self._offset = self.create_publisher(PointStamped, "~/offset", stream_qos())
        self.create_subscription(Analysis, "us_sim/analysis", self._see, stream_qos())
        self.create_timer(1.0 / self._config.control_rate, self._tick)
        self.create_service(Trigger, "~/start", self._start)
        self.create_service(Trigger, "~/stop", self._stop)
        self._begin()
        if not self._config.autostart:
            self._end("stopped until ~/start is called")

    def _begin(self) -> None:
        """Begin where the probe is."""
        self._robot.leave()
        self._servo, self._guard = Servo(), Guard(self._config.force, TOLERANCE, self._config.force_limit)
        self._patient = ""
        self._analysed = self._over = False
        self._why = ""  # it is given up; the probe is being lifted off
        self._off: Matrix | None = None  # where to
        self._depth_open = self._config.look_depth > 0
        self._tell("waiting for us_sim and for the pose of its probe")

    def _start(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Begin once more where the probe is, with the parameters of now."""
        response.success = self._over
        if not response.success:
            response.message = "it is at work already; call ~/stop first"
            return response
        try:
            self._config = parameters.read(self, ServoConfig)
        except ConfigError as error:
            response.success, response.message = False, str(error)
            return response
        self._begin()
        return response

    def _stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Lift the probe off and end; a probe that is not held yet is left alone."""
        response.success = not (self._over or self._why)
        if not response.success:
            response.message = f"it has ended already: {self._why or self._told}"
        elif self._robot.pose is None:
            self._end("stopped by ~/stop")
        else:
            self._give_up("stopped by ~/stop")
        return response

    # -- what the frames show ----------------------------------------------------------------------------------

    def _see(self, analysis: Analysis) -> None:
        organs = {view.name: view for view in analysis.organs}
        if self._over or self._why or self._robot.pose is None:
            return
        if self._config.organ not in organs:
            self._give_up(f"absent: ~/analysis does not know {self._config.organ!r}; it reports {', '.join(organs)}")
            return
        stamp = nanoseconds(analysis.header.stamp)
        view, pose = organs[self._config.organ], self._robot.pose_at(stamp)
        self._analysed = True
        if pose is not None:
            area = view.area * MM_PER_M**2 if view.visible else 0.0
            age = (self.get_clock().now().nanoseconds - stamp) * 1e-9
            self._servo.observe(Observation(area, point_array([view.centroid_ct])[0], pose, max(0.0, age)))

    # -- step by step ------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._over:
            return
        if self._robot.pose is None:
            self._take_over()  # the demo goes on until it has shown where the probe is
            return
        self._robot.hold_demo()
        if self._robot.silent:
            self._end("failed: the simulator has stopped responding")
        elif (answer := self._robot.sensed()) is not None:
            if self._robot.info is not None and self._robot.info.patient_sha256 != self._patient:
                self._give_up(f"failed: the patient was changed to {self._robot.info.patient}")
            (self._lift if self._why else self._step)(self._robot.pose, *answer)

    def _take_over(self) -> None:
        """Take the probe where it is, once that is known."""
        info, pose = self._robot.info, self._robot.shown
        if self._depth_open:
            self._depth_open = not self._robot.set_depth(self._config.look_depth)
        if info is not None and pose is not None:
            self._patient = info.patient_sha256
            self._robot.move(pose)
            self._tell(Phase.PRESS.value)

    def _step(self, pose: Matrix, sensed: ContactState, seconds: float) -> None:
        wrong = self._guard.update(sensed, seconds)
        if self._servo.phase is Phase.PRESS and self._guard.settled:
            if self._analysed:
                self._servo.begin()
            else:
                self._tell("waiting for us_sim/analysis")
        slide = self._servo.slide(pose, seconds)
        if self._servo.phase not in (Phase.PRESS, Phase.ABSENT):
            self._tell(self._servo.phase.value)
        if self._servo.phase is Phase.ABSENT:
            self._give_up(f"absent: no {self._config.organ} is visible from here; start closer to it")
        if wrong:
            self._give_up(f"failed: {wrong}")
        self._robot.move(admittance_step(pose, sensed, slide, self._config.force, seconds, self._servo.lateral))
        if np.isfinite(self._servo.centre).all():
            self._tell_offset(pose)

    def _give_up(self, why: str) -> None:
        self._why = self._why or why

    def _lift(self, pose: Matrix, sensed: ContactState, seconds: float) -> None:
        if self._off is None:
            self._off = retracted(pose, STAND_OFF)
        new = moved_towards(pose, self._off, TRANSIT * seconds, TRANSIT_TURN * seconds)
        self._robot.move(new)
        if new is self._off:
            self._end(self._why)

    def _end(self, why: str) -> None:
        self._over = True
        self._tell(why)

    # -- what the user hears -----------------------------------------------------------------------------------

    def _tell(self, state: str) -> None:
        if state != self._announced:
            self._announced = state
            self._state.publish(String(data=state))
            if self._over:
                self.get_logger().warning(state)
            else:
                self.get_logger().info(state)  # rclpy refuses two severities from one line

    def _tell_offset(self, pose: Matrix) -> None:
        """Where the organ's middle lies in `probe`: x and y are what the servo brings to 0."""
        place = apply(inverse(pose), self._servo.centre)
        place[:2] = self._servo.offset(pose)
        assert self._robot.wrench is not None
        header = Header(stamp=self._robot.wrench.header.stamp, frame_id=self._robot.wrench.header.frame_id)
        self._offset.publish(PointStamped(header=header, point=point_message(place)))


@as_command("us_sim_servo")
def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    return run(ServoNode, lambda _: None, args)

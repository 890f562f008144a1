# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The demo that moves the probe: a motion over the skin, again and again, as poses for `us_sim`.

It loads the patient itself, from the same parameters: a motion stands on the skin, which no topic carries, and
this node needs nothing of the simulator's to run. If the simulator shows another patient, it says so.
"""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseStamped
from rclpy.node import Node
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from us_sim_msgs.msg import ProbeInfo

from us_sim.core.command import as_command
from us_sim.core.config import SimConfig
from us_sim.core.patient_source import open_patient
from us_sim.core.robot.motion import motion
from us_sim.ros import parameters
from us_sim.ros.conversions import pose_message
from us_sim.ros.motion_config import PATIENT, MotionConfig
from us_sim.ros.outputs import latched_qos, stream_qos
from us_sim.ros.running import run

if TYPE_CHECKING:
    from us_sim.core.patient.patient import Patient


class ProbeMotion(Node):
    """Node `probe_motion`.

    Raises:
        UsSimError: the patient cannot be loaded, or the motion does not fit it.
    """

    def __init__(
        self, name: str = "probe_motion", settings: type[MotionConfig] = MotionConfig, **kwargs: object
    ) -> None:
        super().__init__(name, **kwargs)
        parameters.declare(self, SimConfig, PATIENT)
        parameters.declare(self, settings)
        patient = open_patient(SimConfig(**{name: self.get_parameter(name).value for name in PATIENT}))
        config = parameters.read(self, settings)
        parameters.fix(self, [*PATIENT, *vars(config)])
        self._steps = cycle(self.prepare(patient, config))
        self._patient, self._frame, self._compared = patient, config.ct_frame_id, ""
        # Reliable, so that recorders of either kind can listen; the simulator takes only the newest anyway.
        self._publisher = self.create_publisher(PoseStamped, "us_sim/probe_pose", stream_qos())
        self.create_subscription(ProbeInfo, "us_sim/probe_info", self._compare, latched_qos())
        self._runs = True
        self.create_service(SetBool, "probe_motion/run", self._run)  # whatever the node is called: the browser asks it
        self.create_timer(1.0 / config.rate, self._step)
        self.get_logger().info(f"{config.motion} over {patient.name}, {config.count} poses, again and again")

    def prepare(self, patient: Patient, config: Any) -> list[Any]:
        """Return what is sent in one round, step by step."""
        return [pose_message(pose) for pose in motion(config.motion, patient, config.count)]

    def send(self, step: Any, stamp: Time) -> None:
        """Send one step."""
        self.send_pose(step, stamp)

    def send_pose(self, pose: Pose, stamp: Time) -> None:
        """Tell the simulator where the probe is, in frame `ct`."""
        self._publisher.publish(PoseStamped(header=Header(stamp=stamp, frame_id=self._frame), pose=pose))

    def _run(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Go on from where the motion stopped, or stop and send nothing: somebody else moves the probe."""
        self._runs, response.success = request.data, True
        return response

    def _step(self) -> None:
        if self._runs:
            self.send(next(self._steps), self.get_clock().now().to_msg())

    def _compare(self, info: ProbeInfo) -> None:
        if info.patient_sha256 not in (self._patient.sha256, self._compared):
            self._compared = info.patient_sha256
            self.get_logger().warning(
                f"the motion was made for {self._patient.name}, but the simulator shows {info.patient}; "
                "start probe_motion with the same ct and labels"
            )


@as_command("probe_motion")
def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    return run(ProbeMotion, lambda _: None, args)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A simulated seven-axis arm that carries the probe: the demo motion as a joint trajectory.

It stands at the origin of `world`, the patient lies beside it, and `/joint_states` says how it moves.
robot_state_publisher makes TF of that for the simulator (`pose_source:=tf`). Where there is none, this node sends the
probe's pose itself, from the same joint angles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from us_sim.core.command import as_command
from us_sim.core.errors import ArmError
from us_sim.core.generator.shipped import shipped_arm
from us_sim.core.geometry.transforms import MM_PER_M, apply, inverse, rigid
from us_sim.core.robot.arm import Arm, loop
from us_sim.core.robot.motion import motion
from us_sim.core.robot.placement import TABLE_ORDER, six_numbers
from us_sim.core.robot.urdf import chain
from us_sim.ros.conversions import pose_message
from us_sim.ros.motion_config import ArmConfig
from us_sim.ros.outputs import stream_qos
from us_sim.ros.probe_motion import ProbeMotion
from us_sim.ros.running import run

if TYPE_CHECKING:
    from us_sim.core.geometry.transforms import Matrix
    from us_sim.core.patient.patient import Patient

HOME = np.array([0.0, 0.3, 0.0, 1.7, 0.0, 1.14, 0.0])  # rad: the elbow up, the probe pointing down
WRIST = (0.0, 0.0, -290.0)  # mm in `probe`: about where the last three axes meet
PLACES = np.array(
    [  # mm in `world`: where the wrist works freely, for probes that point down, obliquely, sideways
        (510, 0, 560),
        (520, 0, 450),
        (480, 0, 330),
        (450, 0, 700),
        (400, 0, 250),
    ]
)
KNOTS = 120  # poses that the joint angles are worked out for; between them runs a spline


class FakeArm(ProbeMotion):
    """Node `fake_arm`.

    Raises:
        UsSimError: the patient cannot be loaded, or the arm does not reach what the motion asks for.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__("fake_arm", ArmConfig, **kwargs)
        self._joints = self.create_publisher(JointState, "joint_states", stream_qos())

    def prepare(self, patient: Patient, config: ArmConfig) -> list[Any]:
        """Return joint angles, their speeds and the pose that they give the probe, for every step of a round."""
        self._sends_poses = config.output == "pose"
        arm = Arm(chain(shipped_arm(config.calibration), "base_link", "probe"), HOME)
        self._names = arm.names
        world_from_probe = config.placement @ motion(config.motion, patient, min(KNOTS, config.count))
        try:
            path = loop(arm, world_from_probe, config.period)
        except ArmError as error:
            raise ArmError(f"{error}{_advice(arm, config, world_from_probe)}") from None
        ct_from_world = inverse(config.placement)
        times = np.arange(config.count) * (config.period / config.count)
        return [
            (angles.tolist(), speeds.tolist(), pose_message(ct_from_world @ arm.base_from_tip(angles)))
            for angles, speeds in zip(path(times), path(times, 1), strict=True)
        ]

    def send(self, step: Any, stamp: Time) -> None:
        """Send the joint angles, and the probe's pose where TF does not."""
        angles, speeds, ct_from_probe = step
        self._joints.publish(JointState(header=Header(stamp=stamp), name=self._names, position=angles, velocity=speeds))
        if self._sends_poses:
            self.send_pose(ct_from_probe, stamp)


def _advice(arm: Arm, config: ArmConfig, world_from_probe: Matrix) -> str:
    """Say how the patient should lie for the arm to reach, if another place helps."""
    numbers = six_numbers("world_from_ct", config.world_from_ct, TABLE_ORDER)
    wrist = np.stack([apply(matrix, WRIST) for matrix in world_from_probe]).mean(axis=0)
    for place in PLACES:
        shift = place - wrist
        try:
            loop(arm, rigid(np.eye(3), shift) @ world_from_probe[::2], config.period)
        except ArmError:
            continue
        moved = [*((np.array(numbers[:3]) + shift / MM_PER_M).round(3) + 0.0).tolist(), *numbers[3:]]
        return f'. The arm reaches with world_from_ct:="{" ".join(f"{number:.8g}" for number in moved)}"'
    return ""


@as_command("fake_arm")
def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    return run(FakeArm, lambda _: None, args)

"""A controller as plain as can be: presses the probe on the belly to a force and lets go, by feedback from ~/wrench."""

from __future__ import annotations

import math
import sys
from contextlib import suppress

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import Header

from us_sim.core.geometry.probe import PRESSED
from us_sim.core.geometry.transforms import rigid
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.robot.motion import motion
from us_sim.ros.conversions import pose_message

RATE = 25.0  # Hz
FORCE = 12.0  # N, at the most
ABOVE = 4.0  # mm over the skin, where it starts and ends
GAIN = 4.0  # mm/s for each N that is missing
FASTEST = 20.0  # mm/s
DURATION = 6.0  # s


class Press(Node):
    """Goes along the beam of one pose: down while the force is too small, up while it is too large."""

    def __init__(self) -> None:
        super().__init__("press")
        on_skin = motion("fan_tilt", builtin_patient(0), 1)[0]
        self._start = on_skin @ rigid(np.eye(3), [0.0, 0.0, -PRESSED - ABOVE])
        self._depth, self._force, self._steps = 0.0, 0.0, 0
        self._publisher = self.create_publisher(PoseStamped, "us_sim/probe_pose", 10)
        self.create_subscription(WrenchStamped, "us_sim/wrench", self._feel, 10)
        self.create_timer(1 / RATE, self._step)

    def _feel(self, message: WrenchStamped) -> None:
        self._force = -message.wrench.force.z

    def _step(self) -> None:
        if not self._publisher.get_subscription_count():
            return
        time = self._steps / RATE
        wanted = FORCE * math.sin(math.pi * time / DURATION) ** 2
        speed = GAIN * (wanted - self._force)
        if time > DURATION / 2 and wanted < 0.5:  # the end: off the skin
            speed = -FASTEST
        self._depth = max(0.0, self._depth + min(max(speed, -FASTEST), FASTEST) / RATE)
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id="ct")
        self._publisher.publish(
            PoseStamped(header=header, pose=pose_message(self._start @ rigid(np.eye(3), [0.0, 0.0, self._depth])))
        )
        self._steps += 1
        if time > DURATION:
            rclpy.shutdown()


def main() -> int:
    """Press once, and end."""
    rclpy.init()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(Press())
    return 0


if __name__ == "__main__":
    sys.exit(main())

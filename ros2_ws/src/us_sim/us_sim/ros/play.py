# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Command `us_sim_play`: recorded poses sent again, with their stamps, at the stamps' pace."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from std_msgs.msg import Header

from us_sim.core.command import as_command, leave
from us_sim.poses.bags import RecordedPose, read_bag
from us_sim.ros.conversions import later
from us_sim.ros.outputs import stream_qos
from us_sim.ros.running import run

STEP = 0.002  # s between two looks for poses that are due
END = 500_000_000  # ns that the last pose is given to arrive


class Player(Node):
    """Node `us_sim_play`: sends to `us_sim/probe_pose`, from the moment that somebody listens; ends after the last.

    Args:
        poses: in their order.
        speed: 1 for the pace of the stamps, 2 for twice as fast.
    """

    def __init__(self, poses: list[RecordedPose], speed: float = 1.0, **kwargs: object) -> None:
        super().__init__("us_sim_play", **kwargs)
        self._poses, self._speed, self._sent = poses, speed, 0
        self._publisher = self.create_publisher(PoseStamped, "us_sim/probe_pose", stream_qos())
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)  # a paused simulation clock stops no timer
        self._start = 0
        self.create_timer(STEP, self._step, clock=self._clock)

    def _step(self) -> None:
        now = self._clock.now().nanoseconds
        if not self._start:
            self._start = now if self._publisher.get_subscription_count() else 0
            return
        while self._sent < len(self._poses) and self._due(self._sent) <= now:
            self._publisher.publish(pose_stamped(self._poses[self._sent]))
            self._sent += 1
        if self._sent == len(self._poses) and now > self._due(-1) + END:
            self.get_logger().info(f"{self._sent} poses sent")
            rclpy.shutdown(context=self.context)

    def _due(self, number: int) -> int:
        since_first = self._poses[number].stamp - self._poses[0].stamp
        return self._start + round(since_first / self._speed)


def pose_stamped(pose: RecordedPose) -> PoseStamped:
    """Return the message as it was recorded."""
    (x, y, z), (qx, qy, qz, qw) = pose.position, pose.quaternion
    turn = Quaternion(x=qx, y=qy, z=qz, w=qw)
    header = Header(frame_id=pose.frame_id, stamp=later(Time(), pose.stamp))
    return PoseStamped(header=header, pose=Pose(position=Point(x=x, y=y, z=z), orientation=turn))


@as_command("us_sim_play")
def main(args: list[str] | None = None) -> int:
    """Run the node until all is sent; return the exit code."""
    parser = argparse.ArgumentParser(prog="us_sim_play", description=__doc__)
    parser.add_argument("file", type=Path, help="MCAP file or rosbag2 folder")
    parser.add_argument("--topic", default="", help="of the poses in the recording (the only one)")
    parser.add_argument("--speed", type=float, default=1.0, help="over the recorded one, 0.01 to 100 (%(default)g)")
    options = parser.parse_args(remove_ros_args(sys.argv if args is None else ["", *args])[1:])
    if not 0.01 <= options.speed <= 100:
        parser.error(f"speed is {options.speed}; expected 0.01 to 100")
    poses = read_bag(options.file, options.topic)
    return run(lambda: Player(poses, options.speed), lambda _: None, args)


if __name__ == "__main__":
    leave(main())

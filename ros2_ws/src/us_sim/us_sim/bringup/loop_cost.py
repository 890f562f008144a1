# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What rclpy costs a control loop: a pose out, a frame back from another process that renders nothing.

python -m us_sim.bringup.loop_cost --rate 60
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rich.console import Console
from sensor_msgs.msg import Image

from us_sim.bench.timing import machine
from us_sim.bringup.dds import VARIABLES, profile_variables
from us_sim.bringup.processes import own_domain, python_main
from us_sim.core.command import as_command
from us_sim.ros.outputs import stream_qos

POSE, IMAGE = "loop_cost/pose", "loop_cost/image"
PERCENTILES = {"median": 50, "95 %": 95, "99 %": 99}
PATIENCE = 30.0  # s until both ends have found each other
# Without copies between processes, where the type allows it; a message with a sequence of any length does not.
DATA_SHARING = """<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <data_writer profile_name="w" is_default_profile="true"><qos><data_sharing><kind>AUTOMATIC</kind></data_sharing></qos>
    <historyMemoryPolicy>PREALLOCATED_WITH_REALLOC</historyMemoryPolicy></data_writer>
  <data_reader profile_name="r" is_default_profile="true"><qos><data_sharing><kind>AUTOMATIC</kind></data_sharing></qos>
    <historyMemoryPolicy>PREALLOCATED_WITH_REALLOC</historyMemoryPolicy></data_reader>
</profiles>
"""


class Echo(Node):
    """Answers each pose with an image of its stamp."""

    def __init__(self, rows: int, **kwargs: Any) -> None:
        super().__init__("loop_cost_echo", **kwargs)
        self._image = Image(height=rows, width=rows, encoding="mono8", step=rows, data=bytes(rows * rows))
        self._publisher = self.create_publisher(Image, IMAGE, stream_qos())
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.create_subscription(PoseStamped, POSE, self._answer, best_effort)

    def _answer(self, pose: PoseStamped) -> None:
        self._image.header = pose.header
        self._publisher.publish(self._image)


class Loop(Node):
    """Sends poses at a rate and notes when their images arrive."""

    def __init__(self, rate: float) -> None:
        super().__init__("loop_cost")
        self.taken: list[float] = []  # s
        self._publisher = self.create_publisher(PoseStamped, POSE, stream_qos())
        self.create_subscription(Image, IMAGE, self._take, stream_qos())
        self.create_timer(1 / rate, self._send)

    def _send(self) -> None:
        pose = PoseStamped()
        pose.header.stamp = self.get_clock().now().to_msg()
        self._publisher.publish(pose)

    def _take(self, image: Image) -> None:
        stamp = image.header.stamp
        self.taken.append(self.get_clock().now().nanoseconds * 1e-9 - stamp.sec - stamp.nanosec * 1e-9)


def settings(folder: Path) -> dict[str, dict[str, str]]:
    """Return the environment of each way in which frames travel."""
    (folder / "data_sharing.xml").write_text(DATA_SHARING)
    shared = dict.fromkeys(VARIABLES, str(folder / "data_sharing.xml"))
    return {
        "UDP only": {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"},
        "Fast DDS as it comes": {},
        "profile of us_sim": profile_variables({}, folder),
        "data sharing (zero-copy)": {**shared, "RMW_FASTRTPS_USE_QOS_FROM_XML": "1"},
    }


def measured(rate: float, seconds: float) -> NDArray[np.float64]:
    """Return the times in ms from pose to image, after a second to settle.

    Raises:
        TimeoutError: nobody answers.
    """
    rclpy.init(args=[])
    executor = SingleThreadedExecutor()
    loop = Loop(rate)
    executor.add_node(loop)
    end = time.monotonic() + PATIENCE
    while len(loop.taken) < rate * (seconds + 1):
        if not loop.taken and time.monotonic() > end:
            raise TimeoutError(f"no image within {PATIENCE:.0f} s; is the echo's process there?")
        executor.spin_once(timeout_sec=0.1)
    rclpy.shutdown()
    return 1e3 * np.array(loop.taken[int(rate) :])


def echo(rows: int) -> int:
    """Answer until this process is ended."""
    rclpy.init(args=[])
    with suppress(ExternalShutdownException):
        rclpy.spin(Echo(rows))
    return 0


@as_command("us_sim.bringup.loop_cost")
def main(argv: list[str] | None = None) -> int:
    """Measure each way in processes of its own, and print."""
    parser = argparse.ArgumentParser(prog="us_sim.bringup.loop_cost", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=60.0, help="poses a second (60)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each way is measured (20)")
    parser.add_argument("--rows", type=int, default=256, help="rows and columns of the image (256)")
    parser.add_argument("--part", choices=("loop", "echo"), help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.part == "echo":
        return echo(given.rows)
    if given.part == "loop":
        times = measured(given.rate, given.seconds)
        print(", ".join(f"{name} {np.percentile(times, share):.2f} ms" for name, share in PERCENTILES.items()))
        return 0
    console = Console(width=120)
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()))
    command = [*python_main("us_sim.bringup.loop_cost"), "--rate", str(given.rate), "--seconds", str(given.seconds)]
    with tempfile.TemporaryDirectory() as folder:
        for name, changes in settings(Path(folder)).items():
            found = between([*command, "--rows", str(given.rows), "--part"], {**_plain(), **changes})
            console.print(f"{name}: {found}")
    return 0


def between(command: list[str], environment: dict[str, str]) -> str:
    """Return what the loop prints while the echo runs in another process."""
    with subprocess.Popen([*command, "echo"], env=environment) as other:
        try:
            loop = subprocess.run([*command, "loop"], env=environment, capture_output=True, text=True, check=True)
        finally:
            other.terminate()
    return loop.stdout.strip()


def _plain() -> dict[str, str]:
    """The environment without any settings of Fast DDS, in a domain of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FASTRTPS", "FASTDDS"))}
    return {**kept, "ROS_DOMAIN_ID": str(own_domain())}


if __name__ == "__main__":
    sys.exit(main())

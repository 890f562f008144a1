# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Round-trip latency: from a robot's pose to the frame it receives, between two processes over DDS.

python -m us_sim.bringup.round_trip --seconds 60 generator:=abdomen_lite
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rich.console import Console
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from us_sim_msgs.msg import Contact

from us_sim.bench.timing import Row, machine, summary
from us_sim.bringup.processes import own_domain, python_main
from us_sim.core.command import as_command
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.robot.motion import motion
from us_sim.ros.conversions import pose_message

PATIENCE = 120.0  # s for the node to load and to be found
ASKED = 0.05  # s between two calls of services, which take turns
SERVICES: dict[str, tuple[Any, Any]] = {
    "get_parameters": (GetParameters, GetParameters.Request(names=["gain"])),
    "set_parameters": (SetParameters, SetParameters.Request()),
    "freeze": (SetBool, SetBool.Request(data=False)),
    "get_state": (GetState, GetState.Request()),
}
SWEEP = 300  # poses of the sweep that is repeated


class Robot(Node):
    """Sends poses at a rate, calls a service now and then, and notes how long the answers take."""

    def __init__(self, context: rclpy.Context, rate: float) -> None:
        super().__init__("round_trip", context=context)
        self._poses = [pose_message(pose) for pose in motion("liver_sweep", builtin_patient(0), SWEEP)]
        self._sent: dict[int, float] = {}
        self._gains = cycle((1.0, 0.0))
        self.answers: dict[str, list[float]] = {name: [] for name in ("image", "contact", *SERVICES)}
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._publisher = self.create_publisher(PoseStamped, "us_sim/probe_pose", best_effort)
        for kind, name in ((Image, "image"), (Contact, "contact")):
            self.create_subscription(kind, f"us_sim/{name}", self._taking(name), 5)
        self._questions = cycle([
            (self.create_client(kind, f"us_sim/{name}"), name, request) for name, (kind, request) in SERVICES.items()
        ])  # fmt: skip
        self.create_timer(1 / rate, self._send)
        self.create_timer(ASKED, self._ask)

    @property
    def sent(self) -> int:
        """Poses since the last `forget`."""
        return len(self._sent)

    def forget(self) -> None:
        """Start counting anew."""
        self._sent.clear()
        for times in self.answers.values():
            times.clear()

    def _send(self) -> None:
        stamp = self.get_clock().now().nanoseconds
        message = PoseStamped(pose=self._poses[self.sent % SWEEP])
        message.header.frame_id = "ct"
        message.header.stamp = Time(nanoseconds=stamp).to_msg()
        self._sent[stamp] = time.perf_counter()
        self._publisher.publish(message)

    def _taking(self, name: str) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            sent = self._sent.get(Time.from_msg(message.header.stamp).nanoseconds)
            if sent is not None:
                self.answers[name].append(time.perf_counter() - sent)

        return take

    def _ask(self) -> None:
        service, name, request = next(self._questions)
        if not service.service_is_ready():
            return
        if name == "set_parameters":
            gain = next(self._gains)
            request.parameters = [Parameter("gain", value=gain).to_parameter_msg()]
        start = time.perf_counter()
        future = service.call_async(request)
        future.add_done_callback(lambda _: self.answers[name].append(time.perf_counter() - start))


@contextmanager
def started(parameters: list[str], domain: int) -> Iterator[subprocess.Popen[bytes]]:
    """The node in a process of its own."""
    words = [word for parameter in parameters for word in ("-p", parameter)]
    command = [*python_main("us_sim.ros.node"), "--ros-args", *words]
    process = subprocess.Popen(command, env={**os.environ, "ROS_DOMAIN_ID": str(domain)})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def measured(rate: float, seconds: float, parameters: list[str]) -> dict[str, Row]:
    """Return latencies in ms, and of images their number a second.

    Raises:
        TimeoutError: the node shows no frame.
    """
    domain = own_domain()
    context = rclpy.Context()
    rclpy.init(args=[], context=context, domain_id=domain)  # the arguments are the node's
    try:
        with started(parameters, domain), _robot(context, rate) as (robot, executor):
            _spin(executor, PATIENCE, lambda: len(robot.answers["image"]) > 2 * rate)
            robot.forget()
            _spin(executor, seconds + PATIENCE, lambda: robot.sent >= rate * seconds)
            rows = {name: summary(1e3 * np.array(times)) for name, times in robot.answers.items()}
            rows["image"]["rate"] = len(robot.answers["image"]) / seconds
            return rows
    finally:
        rclpy.try_shutdown(context=context)


@contextmanager
def _robot(context: rclpy.Context, rate: float) -> Iterator[tuple[Robot, SingleThreadedExecutor]]:
    executor = SingleThreadedExecutor(context=context)
    robot = Robot(context, rate)
    executor.add_node(robot)
    yield robot, executor
    executor.shutdown()
    robot.destroy_node()


def _spin(executor: SingleThreadedExecutor, seconds: float, done: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"no frames within {seconds:.0f} s; see the node's log")
        executor.spin_once(timeout_sec=0.1)


@as_command("us_sim.bringup.round_trip")
def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="us_sim.bringup.round_trip", description=__doc__)
    parser.add_argument("--rate", type=float, default=30.0, help="poses a second (30)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long is measured (20)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, nothing else")
    parser.add_argument("parameters", nargs="*", metavar="name:=value", help="of the node")
    given = parser.parse_args(argv)
    rows = measured(given.rate, given.seconds, given.parameters)
    if given.json:
        print(json.dumps(rows))
        return 0
    console = Console(width=120)
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()))
    for name, row in rows.items():
        rate = f", {row['rate']:.1f} a second of {given.rate:g}" if "rate" in row else ""
        console.print(f"{name}: median {row['median']:.1f} ms, 95 % {row['p95']:.1f} ms{rate}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

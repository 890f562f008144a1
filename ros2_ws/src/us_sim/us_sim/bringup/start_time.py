# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""How long the simulator takes to its first frame: python -m us_sim.bringup.start_time --starts 3

Each start is that of `make sim`, in a ROS domain of its own; the frame is received in this process.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import time
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image

from us_sim.bringup.processes import own_domain, python_main
from us_sim.core.command import as_command
from us_sim.ros.outputs import stream_qos

PATIENCE = 300.0  # s: a first start may build the patient and compile


def seconds_to_first_frame(arguments: list[str]) -> float:
    """Start the simulator with arguments of its launch, wait for a frame, end it; return the seconds to the frame.

    Raises:
        TimeoutError: no frame, or the simulator has ended.
    """
    seen: list[Any] = []
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    executor, node = SingleThreadedExecutor(context=context), rclpy.create_node("start_time", context=context)
    executor.add_node(node)
    node.create_subscription(Image, "/us_sim/image", seen.append, stream_qos())
    start = time.monotonic()
    command = [*python_main("us_sim.bringup.sim"), *arguments]
    simulator = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        while not seen:
            if time.monotonic() - start > PATIENCE or simulator.poll() is not None:
                raise TimeoutError(f"no frame after {time.monotonic() - start:.0f} s; see what `make sim` says")
            executor.spin_once(timeout_sec=0.1)
        return time.monotonic() - start
    finally:
        simulator.send_signal(signal.SIGINT)
        simulator.wait()
        node.destroy_node()
        rclpy.shutdown(context=context)


@as_command("us_sim.bringup.start_time")
def main(argv: list[str] | None = None) -> int:
    """Start several times and print the seconds of each but the first, which may have to prepare the patient."""
    parser = argparse.ArgumentParser(prog="us_sim.bringup.start_time", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--starts", type=int, default=3, help="starts after the first one (3)")
    parser.add_argument("arguments", nargs="*", help="of the launch, such as ct:=phantom:3")
    given = parser.parse_args(argv)
    os.environ["ROS_DOMAIN_ID"] = str(own_domain())
    times = [seconds_to_first_frame(given.arguments) for _ in range(1 + given.starts)]
    print(f"first {times[0]:.1f} s; again {', '.join(f'{one:.1f}' for one in times[1:])}, median "
          f"{np.median(times[1:]):.1f} s")  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

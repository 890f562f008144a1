"""A node ends with the process that launched it, even where that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

NODE = """
from rclpy.node import Node
from us_sim.ros.running import run
run(lambda: Node("child"), lambda node: print("spinning", flush=True), None)
print("ended", flush=True)
"""
LAUNCHER = """
import os, subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1]], env={**os.environ, "US_SIM_PARENT": str(os.getpid())})
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_node_ends_in_order_with_its_launcher(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", LAUNCHER, NODE], stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "spinning\n"
        os.kill(launcher.pid, number)  # as systemd and Docker end `ros2 launch`
        assert launcher.stdout.read() == "ended\n"  # until the node has closed it, too

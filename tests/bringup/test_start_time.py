"""The time to the first frame: what it is measured with, and a simulator that gives none."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from us_sim.bringup import start_time

PUBLISHING = """
import rclpy
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("stands_for_us_sim")
publisher = node.create_publisher(Image, "/us_sim/image", 5)
node.create_timer(0.05, lambda: publisher.publish(Image()))
try:
    rclpy.spin(node)
except KeyboardInterrupt:
    pass
"""
REAL = subprocess.Popen


def standing_for_it(code: str, started: list[Any]) -> Any:
    def start(command: list[str], **options: Any) -> Any:
        started.append(REAL([sys.executable, "-c", code], **{**options, "stderr": subprocess.DEVNULL}))
        return started[-1]

    return start


def test_the_first_frame_ends_the_time_and_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(subprocess, "Popen", standing_for_it(PUBLISHING, started))
    assert 0 < start_time.seconds_to_first_frame([]) < start_time.PATIENCE
    assert started[0].returncode is not None


def test_a_simulator_that_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", standing_for_it("", []))
    with pytest.raises(TimeoutError, match=r"no frame after .* s; see what `make sim` says"):
        start_time.seconds_to_first_frame([])

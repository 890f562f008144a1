"""Frames of 4 MB over best effort, from one process to another, with the profile that the simulator brings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from us_sim.bringup.dds import PROFILE, VARIABLES, profile_variables

pytest.importorskip("rclpy")

FRAMES = 12
PROGRAM = f"""
import sys, time
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Empty

rclpy.init()
node = rclpy.create_node(sys.argv[1])
best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
deadline = time.monotonic() + 60
if sys.argv[1] == "sender":
    publisher = node.create_publisher(Image, "frames", best_effort)
    heard = []
    node.create_subscription(Empty, "heard", heard.append, 1)
    frame = Image(height=2048, width=2048, encoding="mono8", step=2048, data=bytes(2048 * 2048))
    while not heard and time.monotonic() < deadline:  # until both ends have found each other
        publisher.publish(frame)
        rclpy.spin_once(node, timeout_sec=0.1)
    for frame.header.stamp.sec in range(1, {FRAMES} + 1):
        publisher.publish(frame)
        time.sleep(1 / 15)  # the rate of frames
    sys.stdin.read()  # until the receiver has ended
else:
    got = []
    node.create_subscription(Image, "frames", lambda frame: got.append(frame.header.stamp.sec), best_effort)
    hear = node.create_publisher(Empty, "heard", 1)
    while (not got or got[-1] < {FRAMES}) and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=0.2)
        if got and not got[-1]:
            hear.publish(Empty())
    print(*(number for number in got if number))
"""


@pytest.mark.alone
def test_all_frames_arrive() -> None:
    environment = {**os.environ, **profile_variables({}, Path("/")), "ROS_DOMAIN_ID": str(1 + os.getpid() % 100)}
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen([*command, "sender"], stdin=subprocess.PIPE, env=environment) as sender:
        done = subprocess.run([*command, "receiver"], capture_output=True, text=True, check=True, env=environment)
        assert sender.stdin is not None
        sender.stdin.close()
    assert done.stdout.split() == [str(number) for number in range(1, FRAMES + 1)]


def test_a_profile_of_the_users_own_counts(tmp_path: Path) -> None:
    assert profile_variables({}, tmp_path) == dict.fromkeys(VARIABLES, str(PROFILE))
    assert profile_variables({VARIABLES[0]: "mine.xml"}, tmp_path) == {}
    assert profile_variables({VARIABLES[1]: ""}, tmp_path) == {}
    (tmp_path / "DEFAULT_FASTRTPS_PROFILES.xml").touch()
    assert profile_variables({}, tmp_path) == {}

"""The arm and the scanner's preset as a person starts them: one command, joint angles and frames that fit, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from us_sim_msgs.msg import FrameInfo

from us_sim.core.generator.shipped import shipped_arm
from us_sim.core.geometry.transforms import inverse
from us_sim.core.robot.arm import Arm
from us_sim.core.robot.urdf import chain, pose
from us_sim.ros.conversions import nanoseconds, pose_matrix
from us_sim.ros.fake_arm import HOME

pytestmark = pytest.mark.alone

DOMAIN = 1 + (os.getpid() + 50) % 100
WORDS = [
    "namespace:=left",
    "arm:=true",
    "preset:=clarius",
    "viewer:=false",
    "device:=cpu",
    "renderer:=ct",
    "world_from_ct:=0.56 -0.04 0.15 3.14159265 0 1.57079633",
    "flange_calibration:=0 0 0.15 0 0 0.05",
]


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "us_sim.bringup.sim", *WORDS], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        yield process
        process.terminate()  # not killed: it ends the nodes first
        process.wait(timeout=20)


def heard(seconds: float) -> tuple[list[Any], dict[int, Any], dict[int, Any]]:
    """Return images, and frame infos and joint states by stamp, once a few infos and states share theirs."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = rclpy.create_node("spectator", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    images: list[Any] = []
    infos: dict[int, Any] = {}
    joints: dict[int, Any] = {}
    node.create_subscription(Image, "left/us_image", images.append, qos_profile_sensor_data)
    for kind, topic, kept in ((FrameInfo, "left/us_sim/frame_info", infos), (JointState, "left/joint_states", joints)):
        node.create_subscription(
            kind, topic, lambda m, kept=kept: kept.__setitem__(nanoseconds(m.header.stamp), m), 100
        )
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (images and len(infos.keys() & joints.keys()) > 5):
        executor.spin_once(timeout_sec=0.2)
    node.destroy_node()
    rclpy.shutdown(context=context)
    return images, infos, joints


def test_the_arm_carries_the_probe_of_a_scanner(sim: subprocess.Popen[bytes]) -> None:
    images, infos, joints = heard(seconds=120)
    assert (images[-1].encoding, images[-1].header.frame_id) == ("bgra8", "left/clarius_probe")
    assert len(set(bytes(images[-1].data)[::4])) > 20  # a picture
    arm = Arm(chain(shipped_arm([0, 0, 0.15, 0, 0, 0.05]), "base_link", "probe"), HOME)
    ct_from_world = inverse(pose((0.56, -0.04, 0.15), np.pi / 2, 0, np.pi))
    for stamp in infos.keys() & joints.keys():
        expected = ct_from_world @ arm.base_from_tip(joints[stamp].position)
        np.testing.assert_allclose(pose_matrix(infos[stamp].ct_from_probe), expected, atol=1e-3)

    sim.send_signal(signal.SIGINT)
    assert sim.wait(timeout=20) == 0

"""Two processes over real DDS: the node as it is started by a user, and a robot's program that sends poses."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from us_sim_msgs.msg import Contact, FrameInfo, ProbeInfo

from us_sim.core.geometry.transforms import quaternion_from_rotation
from us_sim.core.patient.patient import load_patient
from us_sim.core.robot.motion import motion

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
pytestmark = pytest.mark.alone

DOMAIN = 1 + (os.getpid() + 50) % 100  # not that of a robot in use, nor of other tests in this process
START = 60.0  # s for loading, for finding each other, and for one answer, on a busy machine


class Program:
    """A node in a process of its own, its output in a file."""

    def __init__(self, name: str, log: Path, *parameters: str) -> None:
        self.log = log
        run = f"from us_sim.core.command import leave; from us_sim.ros.{name} import main; leave(main())"
        words = [word for parameter in parameters for word in ("-p", parameter)]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", run, "--ros-args", *words],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)},
            )

    def interrupt(self) -> int:
        """Press Ctrl-C; return the exit code, which must come within 5 s."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(5)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Robot:
    """A client that spins only while it waits."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = Node("robot", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.newest: dict[str, Any] = {}
        self.counts: dict[str, int] = {}
        for kind, name in ((Image, "image"), (FrameInfo, "frame_info"), (Contact, "contact")):
            self.listen(kind, name, QoSProfile(depth=5))
        self.listen(ProbeInfo, "probe_info", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self.poses = self.node.create_publisher(PoseStamped, "us_sim/probe_pose", QoSProfile(depth=1))

    def listen(self, kind: type, name: str, qos: QoSProfile) -> None:
        def keep(message: Any) -> None:
            self.newest[name] = message
            self.counts[name] = self.counts.get(name, 0) + 1

        self.node.create_subscription(kind, f"us_sim/{name}", keep, qos)

    def send(self, ct_from_probe: NDArray[np.float64], number: int) -> None:
        """Send a pose; its number is its stamp in milliseconds."""
        x, y, z = (ct_from_probe[:3, 3] / 1000).tolist()
        qx, qy, qz, qw = quaternion_from_rotation(ct_from_probe[:3, :3]).tolist()
        message = PoseStamped(pose=Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw)))
        message.header.frame_id = "ct"
        message.header.stamp.sec, message.header.stamp.nanosec = number // 1000, number % 1000 * 1_000_000
        self.poses.publish(message)

    def until(self, what: Callable[[], Any], seconds: float) -> Any:
        end = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < end, f"not within {seconds} s; heard {self.counts}"
            self.executor.spin_once(timeout_sec=0.1)
        return found

    def ask(self, ct_from_probe: NDArray[np.float64], number: int, *, every: float) -> None:
        """Send a pose until image, frame_info and contact of it are here.

        Poses are best effort: the first ones are lost while the processes find each other, a later one may be.
        """
        sent = -math.inf

        def answered() -> bool:
            nonlocal sent
            if time.monotonic() - sent > every:
                self.send(ct_from_probe, number)
                sent = time.monotonic()
            names = ("image", "frame_info", "contact")
            return all(name in self.newest and stamp_of(self.newest[name]) == number for name in names)

        self.until(answered, START)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


def stamp_of(message: Any) -> int:
    return int(message.header.stamp.sec * 1000 + message.header.stamp.nanosec // 1_000_000)


def fan_of(info: ProbeInfo) -> NDArray[np.bool_]:
    """Pixels of a convex probe's fan, from nothing but the message; true to within rounding on its border."""
    z, x = np.meshgrid(
        info.first_pixel.z + info.pixel_spacing_z * np.arange(info.height),
        info.first_pixel.x + info.pixel_spacing_x * np.arange(info.width),
        indexing="ij",
    )
    radius = np.hypot(x, z + info.radius_of_curvature) - info.radius_of_curvature
    angle = np.arctan2(x, z + info.radius_of_curvature)
    inside = (radius >= -1e-6) & (radius <= info.depth + 1e-6)
    return np.asarray(inside & (np.abs(angle) <= info.field_of_view / 2 + 1e-6))


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def start(name: str, *parameters: str) -> Program:
        started.append(Program(name, tmp_path / f"{name}.log", *parameters))
        return started[-1]

    yield start
    for program in started:
        program.kill()
        print(program.log.read_text())


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot()
    yield robot
    robot.close()


def ct_abdomen(shared_data: Path) -> tuple[Path, Path]:
    return shared_data / "ct_abdomen" / "ct.nii.gz", shared_data / "ct_abdomen" / "labels.nii.gz"


def test_200_poses_on_a_real_ct_each_answered_by_its_own_frame(
    shared_data: Path, programs: Callable[..., Program], robot: Robot
) -> None:
    ct, labels = ct_abdomen(shared_data)
    program = programs("node", f"ct:={ct}", f"labels:={labels}")
    poses = motion("liver_sweep", load_patient(ct, labels), 200)
    robot.until(lambda: "probe_info" in robot.newest, START)
    info = robot.newest["probe_info"]
    fan = fan_of(info)
    assert info.patient
    assert 0.3 < fan.mean() < 0.9

    robot.ask(poses[0], 1, every=0.2)
    for number, pose in enumerate(poses, start=1000):
        robot.ask(pose, number, every=5.0)
        image, frame = robot.newest["image"], robot.newest["frame_info"]
        assert (image.header.frame_id, image.encoding, image.step) == ("probe", "mono8", info.width)
        pixels = np.frombuffer(bytes(image.data), np.uint8).reshape(info.height, info.width)
        assert (pixels[fan] > 0).mean() > 0.1
        assert not pixels[~fan].any()
        assert robot.newest["contact"].in_contact
        assert (frame.config_id, frame.renderer) == (info.config_id, "generator")
        place = frame.ct_from_probe.position
        np.testing.assert_allclose([place.x, place.y, place.z], pose[:3, 3] / 1000, atol=1e-9)
    assert program.interrupt() == 0
    assert "Traceback" not in program.log.read_text()


def test_the_demo_motion_shows_frames_in_contact(
    shared_data: Path, programs: Callable[..., Program], robot: Robot
) -> None:
    ct, labels = ct_abdomen(shared_data)
    both = [programs(name, f"ct:={ct}", f"labels:={labels}") for name in ("node", "probe_motion")]
    robot.until(lambda: robot.counts.get("image", 0) >= 20 and robot.newest["contact"].in_contact, START)
    assert math.isfinite(robot.newest["contact"].normal.x)
    for program in both:
        assert program.interrupt() == 0
        assert "Traceback" not in program.log.read_text()


@pytest.mark.parametrize(("name", "node"), [("node", "us_sim"), ("probe_motion", "probe_motion")])
def test_an_interrupt_while_loading_ends_quietly(
    programs: Callable[..., Program], robot: Robot, name: str, node: str
) -> None:
    program = programs(name)  # with the phantom, which takes seconds to make
    robot.until(lambda: node in robot.node.get_node_names(), START)
    assert program.interrupt() == 0
    assert "Traceback" not in program.log.read_text()


@pytest.mark.parametrize(
    ("name", "parameter", "match"),
    [("probe_motion", "ct:=/no.nii.gz", "/no.nii.gz"), ("node", "gain:=100.0", "Min: -40.0, Max: 40.0, value: 100.0")],
)
def test_a_start_that_cannot_be_is_told_in_one_line(
    programs: Callable[..., Program], name: str, parameter: str, match: str
) -> None:
    program = programs(name, parameter)
    assert program.process.wait(START) == 1
    told = program.log.read_text()
    assert match in told
    assert "Traceback" not in told

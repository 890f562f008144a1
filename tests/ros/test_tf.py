"""Poses through TF, with a stand-in for tf2_ros that has its names and its errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.time import Time as RosTime
from std_srvs.srv import Trigger
from us_sim_msgs.msg import FrameInfo
from us_sim_msgs.srv import RenderFrame

from us_sim.ros import heartbeat
from us_sim.ros.conversions import pose_matrix
from us_sim.ros.tf import MISSING

if TYPE_CHECKING:
    from tests.ros.conftest import World


class TransformException(Exception):
    pass


class LookupException(TransformException):
    pass


class ExtrapolationException(TransformException):
    pass


class Buffer:
    """`answers[frame]` gives the transform to `ct` at a time, or raises."""

    answers: ClassVar[dict[str, Callable[[RosTime], TransformStamped]]] = {}

    def __init__(self, node: Any = None) -> None:
        self.srv = node.create_service(
            Trigger, "tf2_frames", lambda request, response: response
        )  # as tf2_ros_py's does

    def lookup_transform(self, target: str, source: str, time: RosTime) -> TransformStamped:
        assert target == "ct"
        if source not in self.answers:
            raise LookupException(f'"{source}" passed to lookupTransform does not exist')
        return self.answers[source](time)


class TransformListener:
    def __init__(self, buffer: Buffer, node: Any) -> None:
        pass

    def unregister(self) -> None:
        pass


class TransformBroadcaster:
    sent: ClassVar[list[TransformStamped]] = []

    def __init__(self, node: Any) -> None:
        self.pub_tf = node.create_publisher(TransformStamped, "/tf_of_the_test", 1)

    def sendTransform(self, transform: TransformStamped) -> None:
        self.sent.append(transform)


class StaticTransformBroadcaster(TransformBroadcaster):
    sent: ClassVar[list[TransformStamped]] = []


@pytest.fixture(autouse=True)
def _tf2_ros(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("tf2_ros")
    module.__spec__ = ModuleSpec("tf2_ros", None)
    for thing in (TransformException, LookupException, ExtrapolationException, Buffer, TransformListener,
                  TransformBroadcaster, StaticTransformBroadcaster):  # fmt: skip
        setattr(module, thing.__name__, thing)
    monkeypatch.setitem(sys.modules, "tf2_ros", module)
    monkeypatch.setattr(Buffer, "answers", {})
    monkeypatch.setattr(TransformBroadcaster, "sent", [])
    monkeypatch.setattr(StaticTransformBroadcaster, "sent", [])


def transform(z: float, stamp: Time | None = None) -> TransformStamped:
    found = TransformStamped()
    found.transform.translation.z = z
    found.transform.rotation.w = 1.0
    found.header.stamp = stamp or Time(sec=7)
    return found


def frames(world: World, node: Any) -> list[Any]:
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    world.listened(node.session.outputs.frame_info)
    return infos


def test_a_pose_in_a_connected_frame_is_carried_over(world: World) -> None:
    Buffer.answers["table"] = lambda time: transform(0.5)
    node = world.start()
    infos = frames(world, node)
    send = world.sender(node)
    pose = world.pose(2.0, z=100.0)
    pose.header.frame_id = "table"
    send(pose)
    world.until(lambda: infos and infos[-1].header.stamp.sec == 2)
    assert infos[-1].ct_from_probe.position.z == pytest.approx(0.6)
    assert infos[-1].ct_frame == "ct"
    answer = world.call(RenderFrame, "us_sim/render", RenderFrame.Request(poses=[pose]))
    assert answer.frames[0].info.ct_from_probe.position.z == pytest.approx(0.6)


def test_an_unknown_frame_is_refused_at_once(world: World) -> None:
    node = world.start()
    send = world.sender(node)
    pose = world.pose(2.0)
    pose.header.frame_id = "moon"
    send(pose)
    world.until(lambda: node.session.statistics.refused["unknown frame"])


def test_a_late_transform_is_waited_for(world: World) -> None:
    asked: list[int] = []

    def late(time: RosTime) -> TransformStamped:
        asked.append(time.nanoseconds)
        if len(asked) < 3:
            raise ExtrapolationException("into the future")
        return transform(0.5)

    Buffer.answers["table"] = late
    node = world.start(tf_timeout=1.0)
    infos = frames(world, node)
    send = world.sender(node)
    pose = world.pose(2.0)
    pose.header.frame_id = "table"
    send(pose)
    world.until(lambda: infos and infos[-1].header.stamp.sec == 2)
    assert asked == [2_000_000_000] * 3


def test_a_transform_that_never_comes_is_counted(world: World) -> None:
    def never(time: RosTime) -> TransformStamped:
        raise ExtrapolationException("into the future")

    Buffer.answers["table"] = never
    node = world.start(tf_timeout=0.01)
    send = world.sender(node)
    pose = world.pose(2.0)
    pose.header.frame_id = "table"
    send(pose)
    world.until(lambda: node.session.statistics.refused["extrapolation"] == 1)
    answer = world.call(RenderFrame, "us_sim/render", RenderFrame.Request(poses=[pose]))
    assert not answer.success
    assert answer.frames[0].message == "into the future"


@pytest.mark.parametrize("publish", [True, False])
def test_the_probe_is_told_to_tf(world: World, publish: bool) -> None:
    node = world.start(publish_tf=publish)
    world.sender(node)
    world.until(lambda: node.session.statistics.counts["accepted"])
    assert bool(TransformBroadcaster.sent) == publish
    if publish:
        sent = TransformBroadcaster.sent[0]
        assert (sent.header.frame_id, sent.child_frame_id, sent.header.stamp.sec) == ("ct", "probe", 1)
        assert sent.transform.translation.z == -0.06


def test_poses_out_of_tf_carry_its_stamp_and_repeats_are_skipped(world: World) -> None:
    now = [3]
    Buffer.answers["probe"] = lambda time: transform(now[0] / 100, Time(sec=now[0]))
    node = world.start(pose_source="tf", rate=100.0)
    infos = frames(world, node)
    for seconds in (4, 5):
        now[0] = seconds
        world.until(lambda: infos and infos[-1].header.stamp.sec == now[0])
        assert infos[-1].ct_from_probe.position.z == pytest.approx(seconds / 100)
    assert node.session.statistics.counts["accepted"] <= 3
    assert len(infos) <= 3
    assert TransformBroadcaster.sent == []


@pytest.mark.parametrize("source", ["topic", "tf"])
def test_an_impossible_transform_is_refused(world: World, source: str) -> None:
    broken = transform(0.1)
    broken.transform.rotation.w = 0.0
    Buffer.answers["probe"] = Buffer.answers["table"] = lambda time: broken
    node = world.start(pose_source=source)
    if source == "topic":
        send = world.sender(node)
        pose = world.pose(2.0)
        pose.header.frame_id = "table"
        send(pose)
    world.until(lambda: node.session.statistics.refused["invalid pose"])


def test_tf_without_the_probe_is_counted(world: World) -> None:
    node = world.start(pose_source="tf", rate=100.0)
    world.until(lambda: node.session.statistics.refused["unknown frame"] > 1)
    assert node.session.statistics.counts["accepted"] == 0


def test_frames_can_be_named(world: World) -> None:
    Buffer.answers["us_tip"] = lambda time: transform(0.1)
    node = world.start(pose_source="tf", probe_frame_id="us_tip")
    infos = frames(world, node)
    world.until(lambda: node.session.statistics.counts["accepted"])
    assert node.session.config.probe_frame_id == "us_tip"
    assert all(info.header.frame_id == "us_tip" for info in infos)


def test_the_plane_of_the_image_is_a_frame_with_its_first_pixel_as_origin(world: World) -> None:
    node = world.start()
    world.sender(node)
    (sent,) = StaticTransformBroadcaster.sent
    probe = node.session.scene.simulator.probe
    assert (sent.header.frame_id, sent.child_frame_id) == ("probe", "probe_image")
    probe_from_image = pose_matrix(sent.transform)
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    pixel = probe_from_image @ [20 * dx, 30 * dz, 0.0, 1.0]  # column 20, row 30
    np.testing.assert_allclose(pixel[:3], [x0 + 20 * dx, 0.0, z0 + 30 * dz], atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(probe_from_image[:3, :3]), 1.0)
    node.set_parameters([Parameter("depth", value=90.0)])
    assert len(StaticTransformBroadcaster.sent) == 2
    assert StaticTransformBroadcaster.sent[1].transform.translation.x != sent.transform.translation.x


def test_cycles_leave_no_service_and_no_topic_behind(world: World) -> None:
    """The buffer of tf2_ros makes a service tf2_frames at its node, and never takes it down."""
    node = world.start(autostart=False)

    def offered() -> tuple[int, int, int]:
        return len(list(node.services)), len(list(node.publishers)), len(list(node.subscriptions))

    before = offered()
    for _ in range(50):
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert offered() != before
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        assert offered() == before


def test_tf_that_stops_is_told_with_its_age(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    Buffer.answers["probe"] = lambda time: transform(0.1, Time(sec=3))
    node = world.start(pose_source="tf", rate=100.0)
    frames(world, node)
    world.until(lambda: node.session.statistics.counts["accepted"])
    statuses = world.listen(DiagnosticArray, "/diagnostics")
    monkeypatch.setattr(heartbeat, "STALE", 0.2)
    world.until(lambda: statuses and "TF has brought no new pose for" in statuses[-1].status[0].message)
    assert statuses[-1].status[0].level == DiagnosticStatus.WARN


def test_the_hint_names_the_package_with_the_python_module() -> None:
    assert "ros-$ROS_DISTRO-tf2-ros-py" in MISSING
    package = Path(__file__).resolve().parents[2] / "ros2_ws" / "src" / "us_sim" / "package.xml"
    assert "<exec_depend>tf2_ros_py</exec_depend>" in package.read_text()

"""Poses through TF, with a stand-in for tf2_ros that has its names and its errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.time import Time as RosTime
from us_sim_msgs.msg import FrameInfo
from us_sim_msgs.srv import RenderFrame

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
        pass

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


@pytest.fixture(autouse=True)
def _tf2_ros(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("tf2_ros")
    module.__spec__ = ModuleSpec("tf2_ros", None)
    for thing in (TransformException, LookupException, ExtrapolationException, Buffer, TransformListener,
                  TransformBroadcaster):  # fmt: skip
        setattr(module, thing.__name__, thing)
    monkeypatch.setitem(sys.modules, "tf2_ros", module)
    monkeypatch.setattr(Buffer, "answers", {})
    monkeypatch.setattr(TransformBroadcaster, "sent", [])


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

"""Faults in the streams: what is late, lost, actual_pose, flipped or dead, and what tells the truth all the same."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from geometry_msgs.msg import WrenchStamped
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from us_sim_msgs.msg import Contact, FrameInfo
from us_sim_msgs.srv import RenderFrame

from us_sim.core.faults import FaultSettings, calibration_error, gel_coverage, is_lost, live_lines
from us_sim.core.geometry.transforms import rigid
from us_sim.ros.mailbox import Mailbox

if TYPE_CHECKING:
    from tests.ros.conftest import World

RADIUS = 60.0


def seconds(message: Any) -> float:
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


def shown(messages: list[Any], stamp: float) -> Callable[[], bool]:
    return lambda: bool(messages) and seconds(messages[-1]) == stamp


def set_live(world: World, name: str, value: Any) -> Any:
    message: ParameterMsg = Parameter(name, value=value).to_parameter_msg()
    return world.call(SetParameters, "us_sim/set_parameters", SetParameters.Request(parameters=[message])).results[0]


def test_frames_come_late_and_contact_at_once(world: World) -> None:
    node = world.start(fault_latency=0.4, fault_jitter=0.1)
    infos, contacts = world.listen(FrameInfo, "us_sim/frame_info"), world.listen(Contact, "us_sim/contact")
    world.listened(node.session.outputs.frame_info, node.session.outputs.contact)
    send = world.sender(node)
    for place in range(5):
        send(world.pose(2.0 + place))
        world.until(shown(contacts, 2.0 + place))
    world.until(shown(infos, 6.0))
    assert min(info.latency for info in infos) >= 0.4
    assert (np.diff([seconds(info) for info in infos]) >= 0).all()
    assert set_live(world, "fault_latency", 0.0).successful
    assert set_live(world, "fault_jitter", 0.0).successful
    send(world.pose(10.0))
    world.until(shown(infos, 10.0))


def test_lost_frames_are_those_of_seed_and_stamp(world: World) -> None:
    node = world.start(fault_drop=0.5, seed=7)
    infos, wrenches = world.listen(FrameInfo, "us_sim/frame_info"), world.listen(WrenchStamped, "us_sim/wrench")
    world.listened(node.session.outputs.frame_info, node.session.outputs.wrench)
    send, counts = world.sender(node), node.session.statistics.counts
    lost = {float(s): is_lost(FaultSettings(fault_drop=0.5), 7, s * 1_000_000_000) for s in range(2, 22)}
    assert 3 < sum(lost.values()) < 17
    for stamp, gone in lost.items():
        before = counts["lost"]
        send(world.pose(stamp))
        world.until((lambda before=before: counts["lost"] > before) if gone else shown(infos, stamp))  # type: ignore[misc]
    assert {seconds(info) for info in infos} & set(lost) == {stamp for stamp, gone in lost.items() if not gone}
    assert {seconds(told) for told in wrenches} >= set(lost)


def test_a_wrong_calibration_shows_another_place_than_it_tells(world: World) -> None:
    node = world.start(fault_position=9.0, fault_angle=0.1, seed=3)
    images, infos = world.listen(Image, "us_sim/image"), world.listen(FrameInfo, "us_sim/frame_info")
    contacts = world.listen(Contact, "us_sim/contact")
    world.listened(node.session.outputs.image, node.session.outputs.frame_info, node.session.outputs.contact)
    world.sender(node)(world.pose(2.0, x=100.0))
    for messages in (images, infos, contacts):
        world.until(shown(messages, 2.0))
    actual = rigid(np.eye(3), [100.0, 0, -RADIUS]) @ calibration_error(3, 9.0, 0.1)
    assert max(bytes(images[-1].data)) == round(actual[0, 3])  # the fake's image is the x of the pose
    assert round(actual[0, 3]) != 100
    assert infos[-1].ct_from_probe.position.x == 0.1
    expected = node.session.scene.simulator.contact(actual).line_distance / 1000
    np.testing.assert_allclose(contacts[-1].line_distance, expected)


def test_dead_lines_and_lost_gel_reach_picture_and_contact(world: World) -> None:
    node = world.start(fault_dead=0.25, fault_gel=0.5, seed=3)
    infos, contacts = world.listen(FrameInfo, "us_sim/frame_info"), world.listen(Contact, "us_sim/contact")
    world.listened(node.session.outputs.frame_info, node.session.outputs.contact)
    world.sender(node)(world.pose(2.0, z=-RADIUS + 12.0))
    world.until(shown(infos, 2.0))
    world.until(shown(contacts, 2.0))
    gel = gel_coverage(3, 192, 0.5)
    np.testing.assert_array_equal(node.session.scene.simulator.coupling, live_lines(3, 192, 0.25))
    whole = node.session.scene.simulator.contact(rigid(np.eye(3), [0, 0, -RADIUS + 12.0]))
    np.testing.assert_allclose(contacts[-1].line_coupling, whole.line_coupling * gel, atol=1e-6)


def test_a_flipped_image_beside_true_labels(world: World) -> None:
    node = world.start(fault_flip=True)
    images, labels = world.listen(Image, "us_sim/image"), world.listen(Image, "us_sim/labels")
    world.listened(node.session.outputs.image, node.session.outputs.labels)
    fan = node.session.scene.simulator.probe.fan_mask.copy()
    fan[:, :128] = False  # half of a fan, so that the sides differ
    object.__setattr__(node.session.scene.simulator.probe, "fan_mask", fan)
    try:
        world.sender(node)(world.pose(2.0, x=40.0, y=30.0))
        world.until(shown(images, 2.0))
        world.until(shown(labels, 2.0))
    finally:
        del node.session.scene.simulator.probe.__dict__["fan_mask"]
    image, label = (np.frombuffer(bytes(m[-1].data), np.uint8).reshape(256, 256) for m in (images, labels))
    np.testing.assert_array_equal(image > 0, fan[:, ::-1])
    np.testing.assert_array_equal(label > 0, fan)


def test_frames_on_demand_are_free_of_faults(world: World) -> None:
    world.start(fault_drop=1.0, fault_position=20.0, fault_flip=True)
    request = RenderFrame.Request(poses=[world.pose(2.0, x=40.0)])
    answer = world.call(RenderFrame, "us_sim/render", request)
    assert answer.success
    assert max(bytes(answer.frames[0].image.data)) == 40


@pytest.mark.parametrize(
    ("name", "value"),
    [("fault_latency", math.nan), ("fault_jitter", -1.0), ("fault_drop", 1.5), ("fault_position", math.nan),
     ("fault_angle", 1.0), ("fault_dead", math.nan), ("fault_gel", -0.5)],
)  # fmt: skip
def test_faults_out_of_range_are_refused(world: World, name: str, value: float) -> None:
    node = world.start()
    answer = set_live(world, name, value)
    assert not answer.successful
    rule = FaultSettings.__dataclass_fields__[name].metadata
    assert f"Min: {rule['low']}, Max: {rule['high']}, value: {value}" in answer.reason
    assert node.session.faults == FaultSettings()


def test_a_late_letter_waits_and_a_new_one_wins() -> None:
    box: Mailbox[int] = Mailbox()
    start = time.monotonic()
    assert not box.put(1, start + 0.2)
    assert not box.put(2, start + 0.1)  # comes no earlier than the one before
    assert box.take() == 2
    assert time.monotonic() >= start + 0.2
    box.put(3, time.monotonic() + 60)
    assert box.put(4)
    assert box.take() == 4

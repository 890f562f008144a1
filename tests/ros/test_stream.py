"""Poses in, frames out: stamps, values, newest first, only what is listened to, frozen, in two namespaces."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool
from us_sim_msgs.msg import Contact, FrameInfo, ProbeInfo
from visualization_msgs.msg import MarkerArray

from us_sim.core.geometry.probe import preset
from us_sim.ros.outputs import pose_qos

if TYPE_CHECKING:
    from tests.ros.conftest import World

FAN = preset("c5_2").fan_mask
PICTURES = {"image": "mono8", "ct_slice": "16SC1", "ct_view": "mono8", "labels": "mono8"}


def pixels(message: Image) -> np.ndarray:
    kind = np.uint8 if message.encoding == "mono8" else np.dtype("<i2")
    return np.frombuffer(bytes(message.data), kind).reshape(message.height, message.width)


def seconds(message: Any) -> float:
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


def shown(messages: list[Any], stamp: float) -> Callable[[], bool]:
    """Whether the last message carries a stamp."""
    return lambda: bool(messages) and seconds(messages[-1]) == stamp


def counted(counts: Counter[str], what: str, number: int) -> Callable[[], bool]:
    """Whether a counter has come to a number."""
    return lambda: counts[what] == number


def freeze(world: World, on: bool) -> bool:
    return bool(world.call(SetBool, "us_sim/freeze", SetBool.Request(data=on)).success)


def test_all_topics_of_a_pose_share_its_stamp(world: World) -> None:
    node = world.start()
    pictures = {name: world.listen(Image, f"us_sim/{name}") for name in PICTURES}
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    contacts = world.listen(Contact, "us_sim/contact")
    out = node.session.outputs
    world.listened(out.image, out.ct_slice, out.ct_view, out.labels, out.frame_info, out.contact)
    send = world.sender(node)
    send(world.pose(2.5, x=40.0, y=30.0, z=-90.0))
    everything = (*pictures.values(), infos, contacts)
    world.until(lambda: all(found and seconds(found[-1]) == 2.5 for found in everything))
    for name, encoding in PICTURES.items():
        message = pictures[name][-1]
        assert (message.header.frame_id, message.encoding) == ("probe", encoding)
    assert set(pixels(pictures["image"][-1])[FAN]) == {40}
    assert set(pixels(pictures["image"][-1])[~FAN]) == {0}
    assert set(pixels(pictures["labels"][-1])[FAN]) == {30}
    assert set(pixels(pictures["ct_slice"][-1])[FAN]) == {-90}
    assert set(pixels(pictures["ct_view"][-1])[FAN]) == {38}  # 60 of 400 HU
    info = infos[-1]
    assert (info.ct_frame, info.renderer, info.config_id) == ("ct", "physics", node.session.scene.config_id)
    assert (info.ct_from_probe.position.x, info.ct_from_probe.position.z) == (0.04, -0.09)
    assert 0 < info.latency < 5


def test_frames_are_numbered_from_zero(world: World) -> None:
    node = world.start()
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    world.listened(node.session.outputs.frame_info)
    send = world.sender(node)
    for stamp in (2.0, 3.0):
        send(world.pose(stamp))
        world.until(shown(infos, stamp))
    assert [info.sequence for info in infos] == list(range(len(infos)))


def test_the_newest_pose_wins(world: World) -> None:
    node = world.start()
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    images = world.listen(Image, "us_sim/image")
    world.listened(node.session.outputs.frame_info, node.session.outputs.image)
    send = world.sender(node)
    world.until(lambda: images)
    simulator = node.session.scene.simulator
    simulator.gate.clear()
    counts, drawn = node.session.statistics.counts, len(simulator.log)
    accepted, skipped = counts["accepted"], counts["skipped"]
    for place, stamp in enumerate((2.0, 3.0, 4.0, 5.0)):
        send(world.pose(stamp))
        world.until(counted(counts, "accepted", accepted + place + 1))
        world.until(lambda: len(simulator.log) > drawn)  # the first one is being drawn, and waits
    simulator.gate.set()
    world.until(shown(infos, 5.0))
    assert [seconds(info) for info in infos][-2:] == [2.0, 5.0]
    assert counts["skipped"] == skipped + 2


def test_a_thousand_poses_a_second_leave_the_node_quick(world: World) -> None:
    node = world.start()
    images = world.listen(Image, "us_sim/image")
    world.listened(node.session.outputs.image)
    plain = Node("plain", context=world.context)  # that does nothing else: how much this computer lets through today
    heard: list[PoseStamped] = []
    plain.create_subscription(PoseStamped, "us_sim/probe_pose", heard.append, pose_qos())
    world.add(plain)
    send = world.sender(node)
    world.until(lambda: images and heard)
    before = node.session.statistics.counts["received"], len(heard)
    begin = time.monotonic()
    assert freeze(world, False)
    idle = time.monotonic() - begin
    start = time.monotonic()
    for place in range(1000):
        send(world.pose(10.0 + place / 1000))
        time.sleep(max(0.0, start + place / 1000 - time.monotonic()))  # the rate of the input, no synchronisation
    world.until(lambda: send(world.pose(12.0)) or seconds(images[-1]) == 12.0)
    begin = time.monotonic()
    assert freeze(world, False)
    assert time.monotonic() - begin < 2.0 + 10 * idle  # nothing is queued before it
    counts = node.session.statistics.counts
    assert counts["received"] - before[0] > 0.25 * (len(heard) - before[1])  # beside its work
    assert counts["rendered"] + counts["skipped"] <= counts["accepted"] <= counts["received"]


@pytest.mark.parametrize("name", [*PICTURES, "frame_info", "markers"])
def test_only_what_is_listened_to_is_made(world: World, name: str) -> None:
    node = world.start()
    kind = Image if name in PICTURES else FrameInfo if name == "frame_info" else MarkerArray
    messages = world.listen(kind, f"us_sim/{name}")
    world.listened(getattr(node.session.outputs, name))
    world.sender(node)
    world.until(lambda: messages)
    slices = name in ("ct_slice", "ct_view")
    wanted = {"image": name == "image", "ct_slice": slices, "labels": name == "labels"}
    assert node.session.scene.simulator.log[-1] == wanted


def test_without_listeners_nothing_is_drawn_but_contact_goes_out(world: World) -> None:
    node = world.start()
    contacts = world.listen(Contact, "us_sim/contact")
    world.listened(node.session.outputs.contact)
    world.sender(node)
    world.until(lambda: contacts and node.session.statistics.counts["unwatched"])
    assert contacts[0].in_contact
    assert node.session.scene.simulator.log == []


def test_contact_is_told_for_every_accepted_pose(world: World) -> None:
    node = world.start()
    contacts = world.listen(Contact, "us_sim/contact")
    world.listened(node.session.outputs.contact)
    send = world.sender(node)
    world.until(lambda: contacts)
    for place in range(20):
        send(world.pose(2.0 + place, z=-60.0 - place))
        world.until(shown(contacts, 2.0 + place))
    assert seconds(contacts[-1]) == 21.0
    far = [contact.line_distance[96] for contact in contacts[-20:]]
    np.testing.assert_allclose(np.diff(far), 0.001, atol=2e-4)  # 1 mm further away each time, told in m
    assert (contacts[-20].in_contact, contacts[-1].in_contact) == (True, False)
    assert math.isnan(contacts[-1].normal.x)
    assert len(contacts) == node.session.statistics.counts["accepted"]


def test_subscribers_come_and_go(world: World) -> None:
    node = world.start()
    send = world.sender(node)
    for round_ in range(3):
        images = world.listen(Image, "us_sim/image")
        world.listened(node.session.outputs.image)
        send(world.pose(10.0 + round_))
        world.until(shown(images, 10.0 + round_))
        subscriptions = world.client.subscriptions
        world.client.destroy_subscription(next(s for s in subscriptions if s.topic_name.endswith("image")))
        world.until(lambda: node.session.outputs.image.get_subscription_count() == 0)
        drawn, unwatched = len(node.session.scene.simulator.log), node.session.statistics.counts["unwatched"]
        send(world.pose(10.5 + round_))
        world.until(counted(node.session.statistics.counts, "unwatched", unwatched + 1))
        assert len(node.session.scene.simulator.log) == drawn


def bad_pose(change: Callable[[PoseStamped], None]) -> Callable[[World], PoseStamped]:
    def make(world: World) -> PoseStamped:
        pose = world.pose(5.0)
        change(pose)
        return pose

    return make


def _set(path: str, value: Any) -> Callable[[World], PoseStamped]:
    def change(pose: PoseStamped) -> None:
        *holders, name = path.split(".")
        target: Any = pose
        for holder in holders:
            target = getattr(target, holder)
        setattr(target, name, value)

    return bad_pose(change)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_set("pose.position.x", math.nan), "invalid pose"),
        (_set("pose.position.z", -math.inf), "invalid pose"),
        (_set("pose.orientation.y", math.nan), "invalid pose"),
        (_set("pose.orientation.w", 0.0), "invalid pose"),
        (_set("header.frame_id", ""), "no frame"),
        (_set("header.frame_id", "moon"), "unknown frame"),
        (_set("header.stamp.sec", 3), "old stamp"),
        (_set("header.stamp.sec", -3), "invalid stamp"),
    ],
)
def test_a_bad_pose_is_dropped_counted_and_warned_of(
    world: World, capfd: pytest.CaptureFixture[str], make: Callable[[World], PoseStamped], reason: str
) -> None:
    node = world.start()
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    contacts = world.listen(Contact, "us_sim/contact")
    world.listened(node.session.outputs.frame_info, node.session.outputs.contact)
    send = world.sender(node)
    send(world.pose(4.0))
    world.until(shown(infos, 4.0))
    for count in (1, 2):
        send(make(world))
        world.until(counted(node.session.statistics.refused, reason, count))
    send(world.pose(4.5))
    world.until(lambda: seconds(infos[-1]) == 4.5 == seconds(contacts[-1]))
    assert {seconds(message) for message in (*infos, *contacts)} == {1.0, 4.0, 4.5}
    warnings = [line for line in capfd.readouterr().err.splitlines() if "pose refused" in line]
    assert len(warnings) == 1  # throttled


def test_a_zero_stamp_becomes_the_time_of_receipt(world: World) -> None:
    node = world.start()
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    world.listened(node.session.outputs.frame_info)
    send = world.sender(node)
    send(world.pose(0.0))
    world.until(lambda: infos and abs(seconds(infos[-1]) - time.time()) < 10)


def test_under_simulated_time_it_is_the_simulated_time_of_receipt(world: World) -> None:
    node = world.start(use_sim_time=True)
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    world.listened(node.session.outputs.frame_info)
    send = world.sender(node)
    kind = pytest.importorskip("rosgraph_msgs.msg").Clock
    clock, tick = world.client.create_publisher(kind, "/clock", 1), kind(clock=Time(sec=77))
    world.until(lambda: clock.publish(tick) or node.get_clock().now().nanoseconds)
    send(world.pose(0.0))
    world.until(shown(infos, 77.0))


def test_a_restarted_bag_is_followed(world: World) -> None:
    node = world.start()
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    world.listened(node.session.outputs.frame_info)
    send = world.sender(node)
    for stamp in (100.0, 50.0):
        send(world.pose(stamp))
        world.until(shown(infos, stamp))


def test_far_away_is_air_and_a_valid_frame(world: World) -> None:
    node = world.start()
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    contacts = world.listen(Contact, "us_sim/contact")
    world.listened(node.session.outputs.frame_info, node.session.outputs.contact)
    send = world.sender(node)
    pose = world.pose(2.0)
    pose.pose.position.z = -1.7e308  # nearly the largest number that there is; too large in millimetres
    send(pose)
    world.until(lambda: infos and contacts and seconds(infos[-1]) == 2.0 == seconds(contacts[-1]))
    assert not contacts[-1].in_contact


def test_a_new_probe_info_goes_out_before_its_first_frame(world: World) -> None:
    node = world.start()
    told: list[Any] = []
    for kind, topic in ((ProbeInfo, "probe_info"), (FrameInfo, "frame_info")):
        world.client.create_subscription(kind, f"us_sim/{topic}", told.append, 10)
    world.listened(node.session.outputs.probe_info, node.session.outputs.frame_info)
    send = world.sender(node)
    world.until(lambda: told)
    node.session.show(node.session.scene.simulator.replace(renderer="ct"))
    send(world.pose(2.0))
    world.until(lambda: any(isinstance(m, FrameInfo) and m.renderer == "ct" for m in told))
    ids = [message.config_id for message in told]
    first = next(m for m in told if m.config_id == ids[-1])
    assert isinstance(first, ProbeInfo)


@pytest.mark.parametrize("method", ["render", "touch"])
def test_what_fails_for_one_pose_ends_nothing(world: World, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    node = world.start()
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    world.listen(Contact, "us_sim/contact")
    world.listened(node.session.outputs.frame_info, node.session.outputs.contact)
    send = world.sender(node)
    with monkeypatch.context() as patch:
        patch.setattr(type(node.session.scene.simulator), method, lambda *_, **__: 1 / 0)
        send(world.pose(2.0))
        world.until(lambda: node.session.statistics.counts["render errors"])
    send(world.pose(3.0))
    world.until(shown(infos, 3.0))


def test_frozen_the_frame_stays_and_contact_goes_on(world: World) -> None:
    node = world.start()
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    contacts = world.listen(Contact, "us_sim/contact")
    world.listened(node.session.outputs.frame_info, node.session.outputs.contact)
    send = world.sender(node)
    send(world.pose(2.0, x=9.0))
    world.until(shown(infos, 2.0))
    assert freeze(world, True)
    send(world.pose(3.0))
    world.until(lambda: infos[-1].frozen and seconds(contacts[-1]) == 3.0)
    images = world.listen(Image, "us_sim/image")  # who comes late sees the frozen frame too
    world.until(lambda: images)
    assert seconds(images[0]) == seconds(infos[-1]) == 2.0
    assert pixels(images[0]).max() == 9
    assert node.session.statistics.counts["frozen"] == 1
    assert freeze(world, False)
    send(world.pose(4.0))
    world.until(shown(infos, 4.0))
    assert not infos[-1].frozen


def test_there_is_nothing_to_freeze_while_inactive(world: World) -> None:
    world.start(autostart=False)
    assert not freeze(world, True)


def test_markers_are_split_for_their_readers(world: World) -> None:
    node = world.start()
    patient = world.listen(MarkerArray, "us_sim/patient_markers", latched=True)
    live = world.listen(MarkerArray, "us_sim/markers")
    world.listened(node.session.outputs.markers)
    world.sender(node)
    world.until(lambda: patient and live)
    assert [m.ns for m in patient[0].markers] == ["", "skin", "liver"]
    assert [m.ns for m in live[0].markers] == ["fan", "probe", "contact"]
    late = world.listen(MarkerArray, "us_sim/patient_markers", latched=True)
    world.until(lambda: late)
    skin = np.array([[p.x, p.y, p.z] for p in patient[0].markers[1].points])
    np.testing.assert_allclose(np.linalg.norm(skin, axis=1), 0.06, atol=0.004)  # the ball, in m


def test_two_simulators_in_two_namespaces(world: World) -> None:
    nodes = {name: world.start(name) for name in ("left", "right")}
    images = {name: world.listen(Image, f"{name}/us_sim/image") for name in nodes}
    infos = {name: world.listen(FrameInfo, f"{name}/us_sim/frame_info") for name in nodes}
    for place, (name, node) in enumerate(nodes.items()):
        world.listened(node.session.outputs.image, node.session.outputs.frame_info)
        send = world.sender(node, f"/{name}")
        pose = world.pose(2.0, x=10.0 + place)
        pose.header.frame_id = f"{name}/ct"
        send(pose)
        world.until(shown(images[name], 2.0))
        world.until(shown(infos[name], 2.0))
        assert pixels(images[name][-1]).max() == 10 + place
        assert images[name][-1].header.frame_id == f"{name}/probe"
        assert infos[name][-1].ct_frame == f"{name}/ct"


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_the_image_comes_compressed_as_the_plugins_of_image_transport_do_it(world: World, kind: str) -> None:
    node = world.start(compressed_format=kind)
    messages = world.listen(CompressedImage, "us_sim/image/compressed")
    world.listened(node.session.outputs.compressed)
    send = world.sender(node)
    world.until(lambda: (messages and messages[-1].header.stamp.sec == 2) or send(world.pose(2.0, x=77.0)))
    message = messages[-1]
    assert (message.format, message.header.frame_id) == (f"mono8; {kind} compressed ", "probe")
    picture = PIL.Image.open(BytesIO(bytes(message.data)))
    assert picture.format == kind.upper()
    found = np.asarray(picture).astype(int)
    assert np.abs(found - np.where(FAN, 77, 0)).max() <= (0 if kind == "png" else 40)  # ringing at the fan's edge
    assert np.abs(found[100, 128] - 77) <= 1


def test_the_uncertainty_comes_with_the_stamp_of_its_pose(world: World) -> None:
    node = world.start()
    messages = world.listen(Image, "us_sim/uncertainty")
    world.listened(node.session.outputs.uncertainty)
    send = world.sender(node)
    world.until(lambda: (messages and messages[-1].header.stamp.sec == 2) or send(world.pose(2.0)))
    assert (messages[-1].encoding, messages[-1].header.frame_id) == ("mono8", "probe")
    np.testing.assert_array_equal(pixels(messages[-1]), np.where(FAN, 9, 0))


def test_the_polar_image_has_a_row_for_each_scan_line(world: World) -> None:
    node = world.start()
    messages = world.listen(Image, "us_sim/polar")
    world.listened(node.session.outputs.polar)
    send = world.sender(node)
    world.until(lambda: (messages and messages[-1].header.stamp.sec == 2) or send(world.pose(2.0, x=77.0)))
    lines = pixels(messages[-1])
    assert lines.shape == (192, 512)
    assert (lines[4:-4, 4:-4] == 77).all()  # within the fan

"""~/analysis and ~/confidence over DDS: what they say, when they are computed, and where they come from."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from us_sim_msgs.msg import Analysis, FrameInfo

from us_sim.core.analysis.confidence import confidence_map
from us_sim.core.analysis.segmenter import load_segmenter, segment
from us_sim.core.generator.artifact import build, save_generator
from us_sim.core.generator.card import Card
from us_sim.core.geometry.probe import preset

if TYPE_CHECKING:
    from tests.ros.conftest import World

PROBE = preset("c5_2")
NAMES = ["liver", "kidney", "spleen", "pancreas", "vessel", "fluid", "bone", "lung"]
KIDNEY = 2


def seconds(message: Any) -> float:
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


def shown(messages: list[Any], stamp: float) -> Callable[[], bool]:
    return lambda: bool(messages) and seconds(messages[-1]) == stamp


def test_a_fan_full_of_kidney(world: World) -> None:
    """The fake's frames are grey = x and class = y of the pose, mm; nobody listens to image or labels."""
    node = world.start()
    found = world.listen(Analysis, "us_sim/analysis")
    world.listened(node.session.outputs.analysis)
    world.sender(node)(world.pose(2.0, x=40.0, y=float(KIDNEY), z=-90.0))  # 30 mm off the ball
    world.until(shown(found, 2.0))
    message = found[-1]
    assert (message.header.frame_id, message.source) == ("probe", Analysis.LABELS)
    assert [organ.name for organ in message.organs] == NAMES
    kidney = message.organs[1]
    inner, outer, angle = 0.0504, 0.2304, math.pi / 3
    assert (kidney.class_id, kidney.visible) == (KIDNEY, True)
    assert kidney.area == pytest.approx(angle / 2 * (outer**2 - inner**2), rel=2e-3)
    radius = 2 / 3 * (outer**3 - inner**3) / (outer**2 - inner**2) * math.sin(angle / 2) / (angle / 2)
    middle = (kidney.centroid_probe.x, kidney.centroid_probe.y, kidney.centroid_probe.z)
    assert middle == pytest.approx((0, 0, radius - inner), abs=2e-4)
    in_ct = (kidney.centroid_ct.x, kidney.centroid_ct.y, kidney.centroid_ct.z)
    assert in_ct == pytest.approx((0.04, 0.002, radius - inner - 0.09), abs=2e-4)
    assert kidney.distance == pytest.approx(abs(radius - inner - 0.09), abs=2e-4)
    assert (message.coupled_fraction, kidney.shadow_fraction) == (0, 1)  # in air
    assert list(message.depth_edges) == pytest.approx(np.linspace(0, 0.18, 10))
    assert list(message.mean_brightness) == [40] * 9
    grey = np.where(PROBE.fan_mask, 40, 0).astype(np.uint8)
    assert message.confidence == pytest.approx(confidence_map(grey, PROBE)[PROBE.fan_mask].mean(), abs=1e-6)
    assert node.session.scene.simulator.log[-1] == {"image": True, "ct_slice": False, "labels": True}


def test_an_organ_that_is_not_there(world: World) -> None:
    node = world.start()
    found = world.listen(Analysis, "us_sim/analysis")
    world.listened(node.session.outputs.analysis)
    world.sender(node)(world.pose(2.0, y=float(KIDNEY)))
    world.until(shown(found, 2.0))
    liver = found[-1].organs[0]
    assert (liver.name, liver.visible, liver.area, liver.shadow_fraction) == ("liver", False, 0, 0)
    places = (liver.centroid_probe, liver.centroid_ct)
    assert all(math.isnan(value) for p in places for value in (p.x, p.y, p.z))
    assert math.isnan(liver.distance)


def test_dead_elements_count_as_not_coupled(world: World) -> None:
    node = world.start(fault_dead=0.25, fault_flip=True)
    found = world.listen(Analysis, "us_sim/analysis")
    world.listened(node.session.outputs.analysis)
    world.sender(node)(world.pose(2.0, y=1.0, z=-58.0))
    world.until(shown(found, 2.0))
    whole = float((node.session.scene.simulator.contact(_pose(y=1.0, z=-58.0)).line_coupling >= 0.5).mean())
    assert 0 < found[-1].coupled_fraction < 0.85 * whole


def _pose(**place: float) -> Any:
    pose = np.eye(4)
    pose[:3, 3] = [place.get(axis, 0.0) for axis in "xyz"]
    return pose


def test_the_confidence_image_is_that_of_the_frame(world: World) -> None:
    node = world.start()
    maps = world.listen(Image, "us_sim/confidence")
    world.listened(node.session.outputs.confidence)
    world.sender(node)(world.pose(2.0, x=90.0))
    world.until(shown(maps, 2.0))
    message = maps[-1]
    assert (message.encoding, message.header.frame_id) == ("mono8", "probe")
    pixels = np.frombuffer(bytes(message.data), np.uint8).reshape(256, 256)
    expected = 255 * confidence_map(np.where(PROBE.fan_mask, 90, 0).astype(np.uint8), PROBE)
    np.testing.assert_allclose(pixels, expected, atol=0.51)
    assert node.session.scene.simulator.log[-1] == {"image": True, "ct_slice": False, "labels": False}


def test_nobody_listens_and_nothing_is_analysed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> None:
        raise AssertionError

    monkeypatch.setattr("us_sim.ros.analysis.confidence_map", never)
    monkeypatch.setattr("us_sim.ros.analysis.analyse", never)
    node = world.start()
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    world.listened(node.session.outputs.frame_info)
    world.sender(node)(world.pose(2.0))
    world.until(shown(infos, 2.0))
    assert node.session.scene.simulator.log[-1] == {"image": False, "ct_slice": False, "labels": False}
    assert node.session.statistics.counts["render errors"] == 0


def test_a_frame_that_cannot_be_analysed_ends_neither_stream_nor_node(world: World) -> None:
    node = world.start()
    found, images = world.listen(Analysis, "us_sim/analysis"), world.listen(Image, "us_sim/image")
    world.listened(node.session.outputs.analysis, node.session.outputs.image)
    send = world.sender(node)
    send(world.pose(2.0, y=30.0))  # no tissue has the number 30
    world.until(lambda: node.session.statistics.counts["render errors"])
    world.until(shown(images, 2.0))
    send(world.pose(3.0, y=1.0))
    world.until(shown(found, 3.0))
    assert 2.0 not in [seconds(message) for message in found]
    assert node.session.statistics.counts["render errors"] == 1


# -- organs found in the image ----------------------------------------------------------------------------


def artifact(folder: Path, **changes: Any) -> str:
    """An untrained segmenter of the default probe."""
    coarse = replace(PROBE, scan_lines=32, samples=64)
    card = replace(Card(coarse, grid="polar", width=0.0625, kind="segmenter"), **changes)
    torch.manual_seed(0)
    save_generator(folder / "s_us.safetensors", build(card), card)
    return str(folder / "s_us.safetensors")


def set_live(world: World, name: str, value: Any) -> Any:
    message: ParameterMsg = Parameter(name, value=value).to_parameter_msg()
    return world.call(SetParameters, "us_sim/set_parameters", SetParameters.Request(parameters=[message])).results[0]


def test_the_segmenter_reads_the_frame(world: World, tmp_path: Path) -> None:
    path = artifact(tmp_path)
    node = world.start(analysis_source="segmenter", segmenter=path)
    found = world.listen(Analysis, "us_sim/analysis")
    world.listened(node.session.outputs.analysis)
    send = world.sender(node)
    send(world.pose(2.0, x=90.0, y=float(KIDNEY), z=-56.0))
    world.until(shown(found, 2.0))
    assert node.session.scene.simulator.log[-1] == {"image": True, "ct_slice": False, "labels": False}
    assert found[-1].source == Analysis.SEGMENTER
    image = np.where(PROBE.fan_mask, 90, 0).astype(np.uint8)
    coupling = node.session.scene.simulator.contact(_pose(x=90.0, y=float(KIDNEY), z=-56.0)).line_coupling
    seen = np.bincount(segment(load_segmenter(path), image, coupling, PROBE)[PROBE.fan_mask], minlength=14)
    dx, dz = PROBE.pixel_spacing
    expected = [seen[organ.class_id] * dx * dz * 1e-6 for organ in found[-1].organs]
    assert [organ.area for organ in found[-1].organs] == pytest.approx(expected)
    assert sum(expected) > 0
    assert set_live(world, "analysis_source", "labels").successful
    send(world.pose(3.0, y=float(KIDNEY)))
    world.until(shown(found, 3.0))
    assert found[-1].source == Analysis.LABELS
    assert [organ.name for organ in found[-1].organs if organ.visible] == ["kidney"]


def test_the_shipped_segmenter_is_at_hand(world: World) -> None:
    node = world.start()
    found = world.listen(Analysis, "us_sim/analysis")
    world.listened(node.session.outputs.analysis)
    send = world.sender(node)
    assert set_live(world, "analysis_source", "segmenter").successful
    send(world.pose(2.0, x=60.0))
    world.until(shown(found, 2.0))
    assert found[-1].source == Analysis.SEGMENTER


def test_another_probe_reads_its_labels_all_the_same(world: World) -> None:
    node = world.start(probe="l12_5")
    assert node.session.scene is not None
    assert "was trained on a convex probe, not a linear one" in set_live(world, "analysis_source", "segmenter").reason


def test_without_a_segmenter_it_cannot_be_the_source(world: World) -> None:
    node = world.start(segmenter="")
    answer = set_live(world, "analysis_source", "segmenter")
    assert not answer.successful
    assert "segmenter is empty; start with segmenter 'organs', or an artifact that `scyclegan_train" in answer.reason
    assert node.get_parameter("analysis_source").value == "labels"
    answer = set_live(world, "analysis_source", "guess")
    assert "analysis_source is 'guess'; expected one of labels, segmenter" in answer.reason
    answer = set_live(world, "segmenter", "other.safetensors")
    assert "segmenter is fixed while the node is configured; clean up the node, set it" in answer.reason


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"analysis_source": "segmenter", "segmenter": ""}, "analysis_source is 'segmenter', but segmenter is empty"),
        ({"segmenter": "/nowhere.safetensors"}, "/nowhere.safetensors: no such file; give the path of a "),
    ],
)
def test_a_segmenter_that_is_missing_stops_configuring(world: World, parameters: dict[str, str], reason: str) -> None:
    node = world.start(**parameters)
    assert node.session.scene is None
    assert reason in node.session.failure


def test_a_generator_is_no_segmenter(world: World, tmp_path: Path) -> None:
    node = world.start(segmenter=artifact(tmp_path, kind="generator"))
    assert "s_us.safetensors: holds a generator; expected a segmenter" in node.session.failure


def test_the_probe_has_to_be_the_segmenters(world: World, tmp_path: Path) -> None:
    path = artifact(tmp_path)
    linear = world.start(probe="l12_5", analysis_source="segmenter", segmenter=path)
    assert (
        "segmenter 's_us' cannot read this probe's frames: it was trained on a convex probe" in linear.session.failure
    )


def test_a_depth_that_the_segmenter_does_not_know_is_refused(world: World, tmp_path: Path) -> None:
    node = world.start(analysis_source="segmenter", segmenter=artifact(tmp_path))
    answer = set_live(world, "depth", 200.0)
    assert not answer.successful
    assert "trained to a depth of 180 mm, the probe shows 200; use analysis_source 'labels'" in answer.reason
    assert set_live(world, "depth", 120.0).successful
    assert set_live(world, "analysis_source", "labels").successful
    assert set_live(world, "depth", 200.0).successful
    assert "trained to a depth" in set_live(world, "analysis_source", "segmenter").reason
    assert node.session.scene.simulator.probe.depth == 200.0


def test_a_slow_segmenter_holds_up_neither_frames_nor_services(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    at_work = threading.Event()

    def slow(*args: Any) -> Any:
        at_work.set()
        assert gate.wait(60)
        return segment(*args)

    monkeypatch.setattr("us_sim.ros.analysis.segment", slow)
    node = world.start(analysis_source="segmenter", segmenter=artifact(tmp_path))
    found, images = world.listen(Analysis, "us_sim/analysis"), world.listen(Image, "us_sim/image")
    world.listened(node.session.outputs.analysis, node.session.outputs.image)
    send = world.sender(node)
    world.until(at_work.is_set)
    for stamp in (2.0, 3.0, 4.0):
        send(world.pose(stamp))
        world.until(shown(images, stamp))
    assert set_live(world, "gain", 3.0).successful
    assert not found
    gate.set()
    world.until(shown(found, 4.0))
    assert not {2.0, 3.0} & {seconds(message) for message in found}  # the newest frame, not a queue of old ones

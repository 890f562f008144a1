"""The layouts for rviz name displays that rviz has, and topics that the node has, as it offers them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import Image

if TYPE_CHECKING:
    from tests.ros.conftest import World

FOLDER = Path(__file__).resolve().parents[2] / "ros2_ws" / "src" / "us_sim" / "rviz"
LAYOUTS = ("us_sim", "arm")
KINDS = {  # what a display of each class reads
    "rviz_default_plugins/Axes": None,
    "rviz_default_plugins/Grid": None,
    "rviz_default_plugins/TF": None,
    "rviz_default_plugins/RobotModel": None,  # reads what robot_state_publisher says
    "rviz_default_plugins/MarkerArray": "visualization_msgs/msg/MarkerArray",
    "rviz_default_plugins/PointCloud2": "sensor_msgs/msg/PointCloud2",
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
}


def layout(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / f"{name}.rviz").read_text()))


def displays(name: str) -> list[dict[str, Any]]:
    return list(layout(name)["Visualization Manager"]["Displays"])


def test_every_display_reads_a_topic_of_the_node_as_it_is_offered(world: World) -> None:
    node = world.start("left")
    for display in [*displays("us_sim"), *displays("arm")]:
        kind = KINDS[display["Class"]]
        assert ("Topic" in display) == (kind is not None), display["Name"]
        if kind is None:
            continue
        wanted, topic = display["Topic"], f"/left/{display['Topic']['Value']}"
        (offered,) = world.until(lambda topic=topic: node.get_publishers_info_by_topic(topic))  # type: ignore[misc]
        assert offered.topic_type == kind, display["Name"]
        latched = offered.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        assert wanted["Durability Policy"] == ("Transient Local" if latched else "Volatile"), display["Name"]
        assert offered.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert wanted["Reliability Policy"] == "Reliable"


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("topic", ["patient_markers", "markers", "cloud", "image", "ct_view", "labels_view"])
def test_everything_that_is_for_the_eyes_is_shown(name: str, topic: str) -> None:
    shown = {display["Topic"]["Value"] for display in displays(name) if "Topic" in display and display["Enabled"]}
    assert f"us_sim/{topic}" in shown


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_windows_state_places_every_panel_by_its_name(name: str) -> None:
    """As QMainWindow.saveState writes it: 0xff, version, then the docks of each side by their names in UTF-16."""
    panels = [panel["Name"] for panel in layout(name)["Panels"]]
    images = [display["Name"] for display in displays(name) if display["Class"].endswith("/Image")]
    assert (panels, images) == (["Displays", "Views"], ["Ultrasound", "CT slice", "Tissue classes"])
    state = bytes.fromhex(layout(name)["Window Geometry"]["QMainWindow State"])
    assert state[:4] == b"\0\0\0\xff"
    places = [state.index(title.encode("utf-16-be")) for title in [*panels, *images]]
    assert places == sorted(places)  # in this order, from the left column's top to the right column's bottom
    left, right = (state[start : start + 4] for start in _columns(state))
    assert (int.from_bytes(left, "big"), int.from_bytes(right, "big")) == (300, 440)  # pixels


def _columns(state: bytes) -> list[int]:
    """Where the widths of the left and right side stand: behind the number of the side."""
    sides = state.index(b"\xfd") + 5
    return [sides + 4, state.index(b"\0\0\0\1\0\0\1", sides) + 4]


def test_tissue_classes_come_in_their_colours(world: World) -> None:
    node = world.start()
    images = world.listen(Image, "us_sim/labels_view")
    world.listened(node.session.outputs.labels_view)
    send = world.sender(node)
    world.until(lambda: (images and images[-1].header.stamp.sec == 2) or send(world.pose(2.0, y=1.0)))
    pixels = np.frombuffer(images[-1].data, np.uint8).reshape(images[-1].height, images[-1].width, 3)
    fan = node.session.scene.simulator.probe.fan_mask
    assert images[-1].encoding == "rgb8"
    assert {tuple(color) for color in pixels[fan].tolist()} == {(100, 0, 100)}  # class 1, the liver
    assert node.session.scene.simulator.log[-1]["labels"]


def test_the_arm_is_shown_as_robot_state_publisher_tells_it() -> None:
    (arm,) = (display for display in displays("arm") if display["Class"] == "rviz_default_plugins/RobotModel")
    assert arm["Description Source"] == "Topic"
    assert arm["Description Topic"]["Value"] == "robot_description"
    assert arm["Description Topic"]["Durability Policy"] == "Transient Local"  # it is published once


@pytest.mark.parametrize(("name", "frame"), [("us_sim", "ct"), ("arm", "world")])
def test_tf_and_a_fixed_frame_are_shown(name: str, frame: str) -> None:
    assert layout(name)["Visualization Manager"]["Global Options"]["Fixed Frame"] == frame
    assert "rviz_default_plugins/TF" in {display["Class"] for display in displays(name)}

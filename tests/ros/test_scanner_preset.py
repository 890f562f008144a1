"""The node as a stand-in for a scanner's driver: what its clients subscribe to and call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool

from us_sim.bringup.arguments import parse
from us_sim.bringup.sim import greeting, processes
from us_sim.core.errors import ConfigError
from us_sim.ros.node import UsSim

if TYPE_CHECKING:
    from tests.ros.conftest import World


def test_the_clients_of_clarius_ros2_find_image_frame_and_freeze(world: World) -> None:
    node = start(world)
    images = world.listen(Image, "us_image")
    world.listened(node.session.outputs.image)
    send = world.sender(node)
    send(world.pose(2.0, x=7.0))
    image = world.until(lambda: images and images[-1])
    assert (image.encoding, image.header.frame_id) == ("bgra8", "clarius_probe")
    assert image.step == 4 * image.width
    pixels = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 4)
    assert (pixels[..., 3] == 255).all()
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert world.until(lambda: images[-1].header.stamp.sec == 2 or send(world.pose(2.0, x=7.0)))
    np.testing.assert_array_equal(
        np.frombuffer(images[-1].data, np.uint8).reshape(image.height, -1)[:, ::4],
        np.where(node.session.scene.simulator.probe.fan_mask, 7, 0),
    )  # what the fake draws at x = 7 mm


def test_a_reader_with_sensor_data_qos_is_served(world: World) -> None:
    """The driver publishes with best effort, so its readers ask for no more."""
    node = start(world)
    images: list[Image] = []
    world.client.create_subscription(Image, "us_image", images.append, qos_profile_sensor_data)
    world.listened(node.session.outputs.image)
    send = world.sender(node)
    world.until(lambda: images or send(world.pose(2.0)))


def test_enable_freeze_freezes_and_lets_go(world: World) -> None:
    node = start(world)
    images = world.listen(Image, "us_image")
    world.listened(node.session.outputs.image)
    send = world.sender(node)
    world.until(lambda: images)
    assert world.call(SetBool, "enable_freeze", SetBool.Request(data=True)).success
    for second in range(3, 6):
        send(world.pose(second, x=9.0))
        world.until(lambda second=second: node.session.statistics.counts["frozen"] > second - 3)  # type: ignore[misc]
    assert {image.header.stamp.sec for image in images} == {1}
    assert world.call(SetBool, "enable_freeze", SetBool.Request(data=False)).success
    world.until(lambda: images[-1].header.stamp.sec == 6 or send(world.pose(6.0, x=9.0)))


def test_all_else_keeps_its_name(world: World) -> None:
    node = start(world, "left")
    names = dict(node.get_topic_names_and_types())
    assert "/left/us_image" in names
    assert "/left/us_sim/image" not in names
    assert {"/left/us_sim/labels", "/left/us_sim/ct_slice", "/left/us_sim/contact", "/left/us_sim/wrench"} <= set(names)
    assert node.session.config.probe_frame_id == "left/clarius_probe"


def test_the_arguments_turn_into_parameters_and_names() -> None:
    command = processes(parse(["preset:=clarius", "viewer:=false", "motion:=none"]))["us_sim"]
    assert command[3:] == [
        "--ros-args",
        "-r",
        "us_sim/image:=us_image",
        "-r",
        "us_sim/image/compressed:=us_image/compressed",
        "-r",
        "us_sim/freeze:=enable_freeze",
        "-p",
        'image_encoding:="bgra8"',
        "-p",
        'probe_frame_id:="clarius_probe"',
    ]


def test_every_node_uses_the_new_names() -> None:
    for command in processes(parse(["preset:=clarius"])).values():
        assert "us_sim/image:=us_image" in command


def test_what_is_asked_for_goes_before_the_preset() -> None:
    assert parse(["preset:=clarius", "probe_frame_id:=tip"])["probe_frame_id"] == "tip"


def test_the_greeting_names_the_topic() -> None:
    assert "  /us_image            B-mode" in greeting(parse(["preset:=clarius"]))


def test_without_it_nothing_changes() -> None:
    assert parse(["preset:=none"]) == {"preset": "none"}
    assert "-r" not in processes(parse(["preset:=none"]))["us_sim"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("preset:=telemed", "preset is 'telemed'; expected one of none, clarius"),
        ("image_encoding:=rgb8", "image_encoding is 'rgb8'; expected one of mono8, bgra8"),
    ],
)
def test_an_unknown_one_is_refused(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse([word])


def start(world: World, namespace: str = "") -> Any:
    """Start the node as its command line does: the same words, parsed by rclpy."""
    words = ["preset:=clarius", *([f"namespace:={namespace}"] if namespace else [])]
    arguments = processes(parse(words))["us_sim"][3:]
    node: Any = UsSim(context=world.context, cli_args=[*arguments, "-p", "renderer:=physics"], parameter_overrides=[])
    world.add(node)
    return node

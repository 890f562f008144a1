"""What measures the cost of a loop: the echo answers each pose, and Fast DDS can read each of its profiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Image

from us_sim.bringup import loop_cost

if TYPE_CHECKING:
    from tests.ros.conftest import World


def test_each_pose_is_answered_by_an_image_of_its_stamp(world: World) -> None:
    images = world.listen(Image, loop_cost.IMAGE)
    publisher = world.client.create_publisher(PoseStamped, loop_cost.POSE, 1)
    echo = loop_cost.Echo(32, context=world.context)
    world.add(echo)
    world.listened(echo._publisher, publisher)
    publisher.publish(world.pose(7.5))
    world.until(lambda: images)
    assert (images[0].header.stamp.sec, images[0].header.stamp.nanosec) == (7, 500_000_000)
    assert (images[0].height, images[0].width, len(images[0].data)) == (32, 32, 32 * 32)


def test_every_profile_is_a_file_that_can_be_read(tmp_path: Path) -> None:
    ways = loop_cost.settings(tmp_path)
    files = {value for change in ways.values() for key, value in change.items() if key.endswith("PROFILES_FILE")}
    assert len(files) == 2
    assert all(ElementTree.parse(file).getroot().tag.endswith("profiles") for file in files)

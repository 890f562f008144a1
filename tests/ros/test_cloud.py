"""The frame as points in the patient."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header
from us_sim_msgs.msg import FrameInfo

from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset
from us_sim.core.geometry.transforms import rigid
from us_sim.ros.cloud import frame_cloud

if TYPE_CHECKING:
    from tests.ros.conftest import World

TURNED = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # 90° about z


def test_every_pixel_of_the_fan_is_a_grey_point_where_it_lies() -> None:
    probe = ProbeGeometry(ProbeKind.LINEAR, depth=40.0, aperture=20.0, width=16, height=32, scan_lines=16, samples=32)
    image = (np.arange(16 * 32) % 251).astype(np.uint8).reshape(32, 16)
    cloud = frame_cloud(image, probe, rigid(TURNED, (100.0, 0.0, 7.0)), "left/ct", Time(sec=3))
    serialize_message(cloud)
    assert (cloud.header.frame_id, cloud.header.stamp.sec) == ("left/ct", 3)
    assert (cloud.height, cloud.width, cloud.row_step) == (1, 512, 512 * cloud.point_step)
    assert [(f.name, f.datatype) for f in cloud.fields] == [
        ("x", PointField.FLOAT32),
        ("y", PointField.FLOAT32),
        ("z", PointField.FLOAT32),
        ("rgb", PointField.UINT32),
    ]
    number = 5 * 16 + 3  # row 5, column 3
    x, y, z, rgb = struct.unpack_from("<fffI", cloud.data, number * cloud.point_step)
    lateral, axial = -10.0 + 3.5 * 1.25, 5.5 * 1.25  # 16 pixels on 20 mm, 32 on 40 mm
    np.testing.assert_allclose((x, y, z), (0.1, lateral / 1000, (7.0 + axial) / 1000), atol=1e-7)
    assert rgb == 83 * 0x010101


def test_it_is_made_only_while_somebody_subscribes(world: World) -> None:
    node = world.start()
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    world.listened(node.session.outputs.frame_info)
    send = world.sender(node)
    world.until(lambda: infos)
    assert not node.session.scene.simulator.log[-1]["image"]
    clouds = world.listen(PointCloud2, "us_sim/cloud")
    world.listened(node.session.outputs.cloud)
    send(world.pose(2.0, x=50.0))
    world.until(lambda: clouds)
    assert node.session.scene.simulator.log[-1]["image"]
    assert clouds[-1].header == Header(stamp=Time(sec=2), frame_id="ct")
    assert clouds[-1].width == np.count_nonzero(node.session.scene.simulator.probe.fan_mask)
    assert set(np.frombuffer(bytes(clouds[-1].data), "<u4")[3::4].tolist()) == {50 * 0x010101}


def test_what_lies_outside_of_the_fan_is_no_point() -> None:
    probe = preset("c5_2")
    cloud = frame_cloud(np.zeros((256, 256), np.uint8), probe, np.eye(4), "ct", Time())
    assert cloud.width == np.count_nonzero(probe.fan_mask)
    points = np.frombuffer(bytes(cloud.data), "<f4").reshape(-1, 4)[:, :3]
    assert np.hypot(points[:, 0], points[:, 2] + 0.0504).max() < 0.0504 + 0.181
    assert not points[:, 1].any()

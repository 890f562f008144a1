"""Metres and millimetres in messages."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion
from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from us_sim.core.config import ImageSettings
from us_sim.core.contact.contact import Contact
from us_sim.core.contact.force import Wrench
from us_sim.core.errors import PoseError, ProbeError
from us_sim.core.geometry.probe import PRESETS, ProbeGeometry, ProbeKind, preset
from us_sim.core.geometry.transforms import rigid
from us_sim.ros import conversions

HEADER = Header(stamp=Time(sec=3, nanosec=4), frame_id="probe")


def pose(x: float = 0.0, *, quaternion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)) -> Pose:
    qx, qy, qz, qw = quaternion
    return Pose(position=Point(x=x), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def test_metres_become_millimetres_and_back() -> None:
    turned = conversions.pose_matrix(pose(0.25, quaternion=(0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5))))
    np.testing.assert_allclose(turned[:3, 3], [250.0, 0.0, 0.0])
    np.testing.assert_allclose(turned[:3, 0], [0.0, 1.0, 0.0], atol=1e-12)  # 90° about z
    back = conversions.pose_message(turned)
    assert back.position == Point(x=0.25)
    np.testing.assert_allclose([back.orientation.z, back.orientation.w], math.sqrt(0.5))


@pytest.mark.parametrize("length", [0.5, 0.9, 2.0])
def test_a_quaternion_nearly_of_length_1_is_normalised(length: float) -> None:
    np.testing.assert_allclose(conversions.pose_matrix(pose(quaternion=(0.0, 0.0, 0.0, length))), np.eye(4))


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        (pose(math.nan), "NaN or Inf"),
        (pose(math.inf), "NaN or Inf"),
        (pose(quaternion=(math.nan, 0.0, 0.0, 1.0)), "NaN or Inf"),
        (pose(quaternion=(0.0, 0.0, 0.0, 0.0)), "length 0; expected 1"),
        (pose(quaternion=(0.0, 0.0, 0.0, 0.4)), "length 0.4; expected 1, or 0.5 to 2"),
        (pose(quaternion=(0.0, 3.0, 0.0, 0.0)), "length 3; expected 1"),
    ],
)
def test_an_impossible_pose_is_refused(bad: Pose, match: str) -> None:
    with pytest.raises(PoseError, match=match):
        conversions.pose_matrix(bad)


def make_contact(in_contact: bool) -> Contact:
    return Contact(
        in_contact=in_contact,
        coupling=0.5,
        line_coupling=np.array([0.0, 1.0], np.float32),
        line_distance=np.array([4.0, -2.0]),
        penetration=2.0,
        point=np.array([1.0, 0.0, -3.0]),
        normal=np.array([0.0, 0.0, -1.0]) if in_contact else np.full(3, np.nan),
    )


def test_contact_is_told_in_metres() -> None:
    message = conversions.contact_message(make_contact(True), HEADER)
    assert message.in_contact
    assert message.header == HEADER
    assert (message.coupling, message.penetration) == (0.5, 0.002)
    assert list(message.line_coupling) == [0.0, 1.0]
    assert list(message.line_distance) == [0.004, -0.002]
    assert message.point == Point(x=0.001, y=0.0, z=-0.003)
    assert message.normal.z == -1.0
    serialize_message(message)


def test_without_contact_point_and_normal_are_nan() -> None:
    message = conversions.contact_message(make_contact(False), HEADER)
    assert not message.in_contact
    assert math.isnan(message.point.x)
    assert math.isnan(message.normal.z)


def simulator(probe: ProbeGeometry) -> Any:
    patient = SimpleNamespace(name="p", sha256="s", volume=SimpleNamespace(detail=True))
    return SimpleNamespace(
        probe=probe, settings=ImageSettings(), patient=patient, renderer="physics", generator=None, scanner=None
    )


def test_probe_info_of_the_default_probe() -> None:
    probe = preset("c5_2")
    message = conversions.probe_info_message(simulator(probe), 7, "ct", HEADER)
    assert (message.config_id, message.kind, message.ct_frame) == (7, message.CONVEX, "ct")
    np.testing.assert_allclose(message.radius_of_curvature, 0.0504)
    np.testing.assert_allclose(message.aperture, 0.0504)  # the chord of 60°: 2 r sin 30° = r
    np.testing.assert_allclose(message.depth, 0.18)
    np.testing.assert_allclose(message.frequency, 3.5e6)
    width = 2 * (50.4 + 180) * math.sin(math.pi / 6) / 256  # mm of one column
    np.testing.assert_allclose(message.pixel_spacing_x, width / 1000)
    np.testing.assert_allclose(message.first_pixel.x, -127.5 * width / 1000)
    last = [
        message.first_pixel.x + 255 * message.pixel_spacing_x,
        0,
        message.first_pixel.z + 255 * message.pixel_spacing_z,
    ]
    np.testing.assert_allclose(last, probe.pixel_points[-1, -1] / 1000, rtol=1e-5)
    assert (message.patient, message.patient_sha256, message.generator, message.scanner) == ("p", "s", "", "")
    classes = dict(zip(message.class_names, message.class_ids, strict=True))
    assert (classes["background"], classes["liver"], classes["pancreas"], len(classes)) == (0, 1, 4, 14)
    np.testing.assert_allclose(message.class_colors[1].r, 100 / 255)
    serialize_message(message)


def test_probe_info_of_a_flat_probe_names_generator_and_width() -> None:
    linear = ProbeGeometry(ProbeKind.LINEAR, depth=50.0, aperture=38.0)
    told = simulator(linear)
    told.generator = SimpleNamespace(name="g", sha256="h")
    message = conversions.probe_info_message(told, 1, "ct", HEADER)
    assert (message.kind, message.aperture, message.field_of_view) == (message.LINEAR, 0.038, 0.0)
    assert (message.generator, message.generator_sha256) == ("g", "h")


@pytest.mark.parametrize("name", PRESETS)
def test_a_probe_is_read_back_from_its_description(name: str) -> None:
    probe = preset(name)
    read = conversions.probe_geometry(conversions.probe_info_message(simulator(probe), 1, "ct", HEADER))
    assert read.kind is probe.kind
    np.testing.assert_allclose(read.line_origins, probe.line_origins, atol=1e-9)
    np.testing.assert_allclose(read.line_directions, probe.line_directions, atol=1e-12)
    np.testing.assert_allclose(read.pixel_points, probe.pixel_points, atol=1e-4)
    assert (read.depth, read.fan_mask.shape) == (pytest.approx(probe.depth), probe.fan_mask.shape)


@pytest.mark.parametrize("name", PRESETS)
def test_the_polar_grid_can_be_rebuilt_as_the_message_says(name: str) -> None:
    """By the formulae in ProbeInfo.msg alone."""
    probe = preset(name)
    info = conversions.probe_info_message(simulator(probe), 1, "ct", HEADER)
    u = ((np.arange(info.scan_lines) + 0.5) / info.scan_lines - 0.5)[:, None]
    below = (np.arange(info.samples) + 0.5) * info.sample_spacing
    if info.kind == info.LINEAR:
        x, z = u * info.aperture + 0 * below, 0 * u + below
    else:
        angle = u * info.field_of_view
        radius = (info.apex if info.kind == info.CONVEX else info.apex / np.cos(angle)) + below
        x, z = radius * np.sin(angle), radius * np.cos(angle) - info.apex
    np.testing.assert_allclose(1000 * np.stack([x, z], axis=-1), probe.polar_points[..., [0, 2]], atol=1e-3)


def test_a_probe_that_cannot_be_is_refused() -> None:
    message = conversions.probe_info_message(simulator(preset("c5_2")), 1, "ct", HEADER)
    message.depth = math.nan
    with pytest.raises(ProbeError, match="depth is nan; expected 10 to 400 mm"):
        conversions.probe_geometry(message)


def test_points_are_read_back() -> None:
    points = np.array([[1.0, 2.0, 3.0], [-4.0, 5.0, 6.0]])
    np.testing.assert_allclose(conversions.point_array(conversions.point_messages(points)), points)
    assert conversions.point_array([]).shape == (0, 3)


def test_a_wrench_is_told_in_newton_and_newton_metres() -> None:
    felt = Wrench(np.array([1.0, -2.0, -5.0]), np.array([30.0, -40.0, 50.0]))
    message = conversions.wrench_message(felt, HEADER)
    force, torque = message.wrench.force, message.wrench.torque
    assert message.header == HEADER
    assert (force.x, force.y, force.z) == (1.0, -2.0, -5.0)
    np.testing.assert_allclose((torque.x, torque.y, torque.z), (0.03, -0.04, 0.05))


def test_a_stamp_goes_on() -> None:
    assert conversions.later(Time(sec=3, nanosec=900_000_000), 250_000_000) == Time(sec=4, nanosec=150_000_000)
    assert conversions.seconds(Time(sec=3, nanosec=500_000_000)) == 3.5


def test_frame_info_carries_pose_and_stamp() -> None:
    pose = rigid(np.eye(3), (10.0, 20.0, 30.0))
    frame: Any = SimpleNamespace(
        renderer="ct", ct_from_probe=pose, deformed=True, unknown_fraction=0.25, out_of_distribution=True
    )
    message = conversions.frame_info_message(
        frame, HEADER, sequence=4, ct_frame="ct", config_id=2, arrival=0.0, frozen=True
    )
    assert message.header == HEADER
    assert (message.sequence, message.config_id, message.renderer) == (4, 2, "ct")
    assert (message.frozen, message.deformed, message.unknown_fraction) == (True, True, 0.25)
    assert message.out_of_distribution
    assert message.ct_from_probe.position == Point(x=0.01, y=0.02, z=0.03)
    assert message.latency > 0

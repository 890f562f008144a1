"""What rviz gets to see."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from visualization_msgs.msg import Marker

from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset
from us_sim.core.geometry.transforms import rigid
from us_sim.core.tissue import TissueClass
from us_sim.ros.housing import housing
from us_sim.ros.markers import fan_outline, live_markers, patient_markers


def test_outline_of_a_linear_probe_is_a_box() -> None:
    outline = fan_outline(ProbeGeometry(ProbeKind.LINEAR, depth=50.0, aperture=40.0, scan_lines=20))
    np.testing.assert_allclose(outline.min(axis=0), [-19.0, 0.0, 0.0])  # outer lines are half a pitch from the edge
    np.testing.assert_allclose(outline.max(axis=0), [19.0, 0.0, 50.0])
    np.testing.assert_allclose(outline[0], outline[-1])


@pytest.mark.parametrize(("name", "radius"), [("c5_2", 50.4 + 180.0), ("p4_2", 10.0 + 160.0)])
def test_fans_end_on_an_arc(name: str, radius: float) -> None:
    probe = preset(name)
    below = fan_outline(probe)[probe.scan_lines : -1]
    np.testing.assert_allclose(np.hypot(below[:, 0], below[:, 2] + probe.apex), radius)


def frame(force: Any, touches: bool = True, pose: Any = None) -> Any:
    pose = np.eye(4) if pose is None else pose
    contact = SimpleNamespace(in_contact=touches, point=np.zeros(3), normal=np.array([0.0, 0.0, -1.0]))
    return SimpleNamespace(contact=contact, wrench=SimpleNamespace(force=np.array(force)), ct_from_probe=pose)


def test_live_markers_stand_at_the_pose_with_its_stamp() -> None:
    pose = rigid(np.eye(3), (100.0, 0.0, 0.0))
    message = live_markers(preset("c5_2"), frame([0.0, 3.0, -4.0], pose=pose), "ct", Time(sec=9))
    serialize_message(message)
    fan, body, arrow = message.markers
    assert {(m.header.frame_id, m.header.stamp.sec) for m in message.markers} == {("ct", 9)}
    assert [m.ns for m in message.markers] == ["fan", "probe", "contact"]
    assert (fan.type, arrow.type) == (Marker.LINE_STRIP, Marker.ARROW)
    assert fan.pose.position.x == 0.1
    np.testing.assert_allclose(max(p.z for p in fan.points), 0.18, rtol=1e-4)  # the depth
    assert (body.type, body.pose.position.x) == (Marker.TRIANGLE_LIST, 0.1)
    assert 0 < body.color.a < 0.5  # the arrow lies in it
    assert len(body.points) % 3 == 0
    np.testing.assert_allclose([max(p.z for p in body.points), min(p.z for p in body.points)], [0, -0.125], atol=1e-4)
    tail, tip = ([p.x, p.y, p.z] for p in arrow.points)
    np.testing.assert_allclose(tail, [0.1, 0.0, 0.0])
    np.testing.assert_allclose(tip, [0.1, 0.024, -0.032])  # 5 N are 40 mm, along the force


@pytest.mark.parametrize("name", ["c5_2", "l12_5", "p4_2"])
def test_the_housing_is_one_closed_skin_behind_the_face(name: str) -> None:
    body = housing(preset(name))
    assert body.is_watertight
    assert body.volume > 0
    np.testing.assert_allclose(body.bounds[:, 2], [-125.0, 0.0], atol=0.1)
    chord = np.ptp(preset(name).line_origins[:, 0])
    assert np.ptp(body.vertices[body.vertices[:, 2] > -8.0][:, 0]) == pytest.approx(chord)
    assert len(body.faces) < 200


def test_a_great_force_leaves_the_picture_legible() -> None:
    arrow = live_markers(preset("c5_2"), frame([0.0, 0.0, -500.0]), "ct", Time()).markers[2]
    np.testing.assert_allclose(arrow.points[1].z, -0.16)


def test_without_contact_or_force_the_arrow_goes() -> None:
    for touches, force in ((False, -1.0), (True, 0.0)):
        arrow = live_markers(preset("c5_2"), frame([0.0, 0.0, force], touches), "ct", Time()).markers[2]
        assert arrow.action == Marker.DELETE


def test_patient_is_skin_and_organs_in_their_colours() -> None:
    triangle = SimpleNamespace(triangles=np.array([[[0, 0, 0], [1000, 0, 0], [0, 1000, 0]]]))
    patient: Any = SimpleNamespace(skin_mesh=triangle, organ_meshes={TissueClass.LIVER: triangle}, sha256="12ab")
    wipe, skin, liver = patient_markers(patient, "ct").markers
    assert (skin.text, liver.text) == ("12ab", "")
    assert wipe.action == Marker.DELETEALL
    assert [skin.ns, liver.ns] == ["skin", "liver"]
    assert {skin.type, liver.type} == {Marker.TRIANGLE_LIST}
    assert [(p.x, p.y, p.z) for p in liver.points] == [(0, 0, 0), (1, 0, 0), (0, 1, 0)]
    assert 0 < skin.color.a <= liver.color.a < 0.2  # the frame shows through
    np.testing.assert_allclose(liver.color.r, 100 / 255)

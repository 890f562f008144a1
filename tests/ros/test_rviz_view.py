"""Seen from the cameras of the layouts, the frame and the arrow of the force show."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import trimesh
import yaml
from builtin_interfaces.msg import Time
from docs.figure_arm import frames, shapes
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2
from tests.ros.rviz_view import Camera, Points, Surface, light
from visualization_msgs.msg import Marker

from us_sim.core.generator.shipped import shipped_arm
from us_sim.core.geometry.probe import preset
from us_sim.core.geometry.transforms import Matrix, apply, inverse, rigid
from us_sim.core.robot.arm import Arm, solve
from us_sim.core.robot.placement import TABLE, TABLE_ORDER, six_numbers
from us_sim.core.robot.urdf import chain, pose
from us_sim.core.tissue import TissueClass
from us_sim.ros.cloud import POINT, frame_cloud
from us_sim.ros.fake_arm import HOME
from us_sim.ros.markers import live_markers, patient_markers

LAYOUTS = Path(__file__).resolve().parents[2] / "ros2_ws" / "src" / "us_sim" / "rviz"
PROBE = preset("c5_2")
SEEN = 0.5  # of a point's own light: more of it than of what lies over it
AXES = np.array([150.0, 110.0, 150.0])  # mm, half axes of the body
# Where the phantom has them, roughly: liver and kidney around the fan, gut and bone before and behind it.
ORGANS = {
    TissueClass.LIVER: ((60.0, 20.0, 40.0), (75.0, 65.0, 60.0)),
    TissueClass.KIDNEY: ((70.0, -40.0, -30.0), (28.0, 25.0, 50.0)),
    TissueClass.SPLEEN: ((-90.0, -20.0, 60.0), (30.0, 40.0, 45.0)),
    TissueClass.FLUID: ((30.0, 40.0, -10.0), (15.0, 15.0, 30.0)),
    TissueClass.BONE: ((0.0, -80.0, 0.0), (20.0, 20.0, 145.0)),
}


def ball(centre: Any, axes: Any) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=2)
    mesh.apply_transform(rigid(np.eye(3), centre) @ np.diag([*axes, 1.0]))
    return mesh


def view(name: str) -> Camera:
    layout = yaml.safe_load((LAYOUTS / f"{name}.rviz").read_text())
    window = layout["Window Geometry"]
    width = window["Width"] - 300 - 440  # what the panels leave, see the test of the window's state
    return Camera.of(layout["Visualization Manager"]["Views"]["Current"], width / (window["Height"] - 17))


def on_skin() -> Matrix:
    """The probe across the right front of the body, pressed in by 3 mm, looking in along the normal."""
    out = np.array([0.42, 0.91, 0.05])
    point = out * 147.0 / np.linalg.norm(out / AXES) / 150.0
    inward = -(point / AXES**2) / np.linalg.norm(point / AXES**2)
    across = np.cross(inward, [0.0, 0.0, 1.0])  # an axial image, the patient's right on its left
    across /= np.linalg.norm(across)
    return rigid(np.stack([across, np.cross(inward, across), inward], axis=1), point)


def messages(ct_from_probe: Matrix) -> tuple[list[Marker], PointCloud2]:
    """One set, as the node sends it: 5 N on the probe."""
    frame: Any = SimpleNamespace(
        contact=SimpleNamespace(in_contact=True, point=np.zeros(3)),
        wrench=SimpleNamespace(force=np.array([0.0, 0.0, -5.0])),
        ct_from_probe=ct_from_probe,
    )
    patient: Any = SimpleNamespace(
        skin_mesh=ball((0, 0, 0), AXES),
        organ_meshes={organ: ball(*place) for organ, place in ORGANS.items()},
        sha256="",
    )
    image = np.full((PROBE.height, PROBE.width), 128, np.uint8)
    markers = [
        *patient_markers(patient, "ct").markers[1:],
        *live_markers(PROBE, frame, "ct", Time()).markers,
    ]
    return markers, frame_cloud(image, PROBE, ct_from_probe, "ct", Time())


def coordinates(points: Any) -> Points:
    return np.array([(p.x, p.y, p.z) for p in points])


def surfaces(markers: list[Marker], fixed_from_ct: Matrix, hidden: tuple[str, ...] = ()) -> list[Surface]:
    """Triangles of the markers in the fixed frame, m."""
    found = []
    for marker in markers:
        if marker.type == Marker.TRIANGLE_LIST and marker.ns not in hidden:
            place, turn = marker.pose.position, marker.pose.orientation
            fixed = fixed_from_ct @ pose_of((place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w))
            found.append((apply(fixed, 1000 * coordinates(marker.points)).reshape(-1, 3, 3) / 1000, marker.color.a))
    return found


def pose_of(place: Any, quaternion: Any) -> Matrix:
    matrix = trimesh.transformations.quaternion_matrix([quaternion[3], *quaternion[:3]])
    matrix[:3, 3] = 1000 * np.array(place)
    return np.asarray(matrix)


def seen(camera: Camera, between: list[Surface], fixed_from_ct: Matrix, sent: Any) -> tuple[float, float]:
    """Share of the frame's pixels that show, and the light of the arrow's tip."""
    markers, cloud = sent
    pixels = np.frombuffer(cloud.data, POINT)
    pixels = pixels[np.random.default_rng(0).permutation(len(pixels))[:200]]
    (arrow,) = (marker for marker in markers if marker.type == Marker.ARROW)
    points = np.concatenate([np.stack([pixels[axis] for axis in "xyz"], axis=-1), coordinates(arrow.points[1:])])
    shares = light(apply(fixed_from_ct, 1000 * points) / 1000, camera, between)
    return float((shares[:-1] >= SEEN).mean()), float(shares[-1])


def test_on_the_patient() -> None:
    camera, sent = view("us_sim"), messages(on_skin())
    frame, tip = seen(camera, surfaces(sent[0], np.eye(4)), np.eye(4), sent)
    assert frame >= 0.6
    assert tip >= SEEN
    opaque = [(triangles, 1.0) for triangles, _ in surfaces(sent[0], np.eye(4))]
    frame, tip = seen(camera, opaque, np.eye(4), sent)
    assert (frame, tip) == (0.0, 0.0)  # what the alphas are for


def test_with_arm_and_table() -> None:
    x, y, z, yaw, pitch, roll = six_numbers("world_from_ct", TABLE, TABLE_ORDER)
    world_from_ct = pose((x, y, z), roll, pitch, yaw)
    camera, sent = view("arm"), messages(on_skin())
    body = surfaces(sent[0], world_from_ct, hidden=("probe",))
    arm = robot(world_from_ct @ on_skin(), alpha())
    frame, tip = seen(camera, [*body, *arm], world_from_ct, sent)
    assert frame >= 0.6
    assert tip >= SEEN
    assert all((np.abs(camera.on_screen(triangles)) < 1).all() for triangles, _ in [*body, *arm])
    assert camera.up @ world_from_ct[:3, 1] > 0.3  # the patient lies: anterior is up


def alpha() -> float:
    displays = yaml.safe_load((LAYOUTS / "arm.rviz").read_text())["Visualization Manager"]["Displays"]
    (robot,) = (display for display in displays if display["Class"] == "rviz_default_plugins/RobotModel")
    assert [d["Namespaces"] for d in displays if "Namespaces" in d] == [{"probe": False}]
    return float(robot["Alpha"])


def robot(world_from_probe: Matrix, alpha: float) -> list[Surface]:
    """The arm that holds the probe there."""
    urdf = shipped_arm()
    arm = Arm(chain(urdf, "base_link", "probe"), HOME)
    angles = solve(arm, world_from_probe)
    assert angles is not None
    names = ["base_link", *(f"link_{i}" for i in range(1, 8)), "flange", "probe_flange", "probe"]
    found: list[Surface] = []
    places = frames(arm, np.asarray(angles))
    assert len(places) == len(names)
    np.testing.assert_allclose(inverse(places[-1]) @ world_from_probe, np.eye(4), atol=0.5)
    for link, place in zip(names, places, strict=True):
        found += [(apply(place, mesh.triangles) / 1000, alpha) for mesh, _ in shapes(urdf, link)]
    return found


def test_the_camera_puts_its_focus_in_the_middle_and_z_up() -> None:
    looks = {"Distance": 2.0, "Pitch": 0.0, "Yaw": 0.0, "Focal Point": {"X": 1.0, "Y": 2.0, "Z": 3.0}}
    camera = Camera.of(looks, 2.0)
    np.testing.assert_allclose(camera.place, [3.0, 2.0, 3.0])
    edge = 2.0 * np.tan(np.pi / 8)  # half of what is seen at the focus, from bottom to top
    points = np.array([[1, 2, 3], [1, 2, 3 + edge], [1, 2 + 2 * edge, 3]], dtype=float)
    np.testing.assert_allclose(camera.on_screen(points), [[0, 0], [0, 1], [1, 0]], atol=1e-12)


@pytest.mark.parametrize(("x", "left"), [(5.0, 1.0), (1.0, 0.8), (0.0, 0.8**2), (-2.0, 0.8**3), (11.0, 0.0)])
def test_light_is_lost_at_each_wall(x: float, left: float) -> None:
    looks = {"Distance": 10.0, "Pitch": 0.0, "Yaw": 0.0, "Focal Point": {"X": 0.0, "Y": 0.0, "Z": 0.0}}
    box: NDArray[np.float64] = trimesh.creation.box((2.0, 2.0, 2.0)).triangles + np.array([1.5, 0.1, 0.2])
    far = box - np.array([3.0, 0.0, 0.0])  # from -2.5 to -0.5
    point = np.array([[x, 0.0, 0.0]])
    np.testing.assert_allclose(light(point, Camera.of(looks, 1.0), [(box, 0.2), (far, 0.2)]), [left])

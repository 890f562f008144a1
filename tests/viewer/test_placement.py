"""The placement on the skin: on a ball and a box, where places and normals are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from us_sim.core.geometry.transforms import check_pose
from us_sim.viewer.placement import Placement
from us_sim.viewer.skin_mesh import SkinMesh

RADIUS = 100.0


@pytest.fixture(scope="module")
def ball() -> SkinMesh:
    return SkinMesh(trimesh.creation.icosphere(5, RADIUS).triangles)


@pytest.fixture(scope="module")
def box() -> SkinMesh:
    return SkinMesh(trimesh.creation.box((200.0, 100.0, 300.0)).subdivide_to_size(20.0).triangles)


def test_corners_that_coincide_are_joined() -> None:
    ball = trimesh.creation.icosphere(2)
    mesh = SkinMesh(ball.triangles)
    assert (mesh.vertices.shape, mesh.faces.shape) == (ball.vertices.shape, ball.faces.shape)
    np.testing.assert_allclose(mesh.vertices[mesh.faces], ball.triangles)


@pytest.mark.parametrize(
    ("point", "nearest"),
    [
        ((7.0, 90.0, -33.0), (7.0, 50.0, -33.0)),
        ((12.0, 41.0, 3.0), (12.0, 50.0, 3.0)),
        ((130.0, 70.0, 4.0), (100.0, 50.0, 4.0)),
        ((130.0, 70.0, 190.0), (100.0, 50.0, 150.0)),
    ],
    ids=["outside", "inside", "beside an edge", "beside a corner"],
)
def test_nearest_place_on_a_box(box: SkinMesh, point: tuple[float, ...], nearest: tuple[float, ...]) -> None:
    np.testing.assert_allclose(box.nearest(point), nearest, atol=1e-9)


def test_a_ray_meets_the_skin_where_it_enters(box: SkinMesh) -> None:
    met = box.hit((10.0, 500.0, 20.0), (0.0, -3.0, 0.0))
    assert met is not None
    np.testing.assert_allclose(met, (10.0, 50.0, 20.0), atol=1e-9)
    inside = box.hit((0.0, 0.0, 0.0), (0.0, 1.0, 0.0))  # there it leaves
    assert inside is None
    assert box.hit((10.0, 500.0, 20.0), (0.0, 1.0, 0.0)) is None
    assert box.hit((150.0, 500.0, 20.0), (0.0, -1.0, 0.0)) is None


def test_an_upright_hand_looks_along_the_normal_with_the_marker_to_the_right(ball: SkinMesh) -> None:
    pose = Placement(ball.nearest((0.0, 150.0, 0.0)), press=4.0).pose(ball)
    check_pose(pose)
    np.testing.assert_allclose(pose[:3, 3], (0.0, RADIUS - 4.0, 0.0), atol=0.1)
    np.testing.assert_allclose(pose[:3, 2], (0.0, -1.0, 0.0), atol=0.01)
    np.testing.assert_allclose(pose[:3, 0], (-1.0, 0.0, 0.0), atol=0.01)  # the image's left is the patient's right


def test_turns_are_about_the_middle_of_the_face(ball: SkinMesh) -> None:
    point = ball.nearest((0.0, 150.0, 0.0))
    upright = Placement(point).pose(ball)
    for name, axis in (("rotate", 2), ("tilt", 0), ("rock", 1)):
        turned = Placement(point, **{name: 0.3}).pose(ball)
        np.testing.assert_allclose(turned[:3, 3], upright[:3, 3], atol=1e-9)
        np.testing.assert_allclose(turned[:3, axis], upright[:3, axis], atol=1e-9)
        assert math.acos((np.trace(upright[:3, :3].T @ turned[:3, :3]) - 1) / 2) == pytest.approx(0.3)


@pytest.mark.parametrize("place", [(30.0, 80.0, 20.0), (-60.0, 70.0, -40.0), (0.0, 0.0, 120.0)])
def test_taking_over_a_probe_does_not_move_it(ball: SkinMesh, place: tuple[float, ...]) -> None:
    pose = Placement(ball.nearest(place), rotate=2.5, tilt=-0.4, rock=0.2, press=7.0).pose(ball)
    held = Placement.of_pose(pose, ball)
    assert (held.rotate, held.tilt, held.rock) == pytest.approx((2.5, -0.4, 0.2), abs=0.02)
    moved = held.pose(ball) @ np.linalg.inv(pose)
    np.testing.assert_allclose(moved[:3, :3], np.eye(3), atol=0.02)
    np.testing.assert_allclose(held.pose(ball)[:3, 3], pose[:3, 3], atol=0.5)


def test_a_moved_hand_holds_as_before(box: SkinMesh) -> None:
    placement = Placement(box.nearest((0.0, 60.0, 0.0)), rotate=0.5, press=3.0).moved(box, (40.0, 90.0, -30.0))
    np.testing.assert_allclose(placement.point, (40.0, 50.0, -30.0), atol=1e-9)
    assert (placement.rotate, placement.press) == (0.5, 3.0)


def test_on_top_of_the_head_a_pose_is_still_defined(box: SkinMesh) -> None:
    pose: NDArray[np.float64] = Placement(box.nearest((0.0, 0.0, 200.0))).pose(box)
    check_pose(pose)
    np.testing.assert_allclose(pose[:3, 2], (0.0, 0.0, -1.0), atol=1e-6)

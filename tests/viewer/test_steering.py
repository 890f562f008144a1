"""Who moves the probe, and what a placement may do before anything is known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from us_sim.viewer.placement import Placement
from us_sim.viewer.skin_mesh import SkinMesh
from us_sim.viewer.steering import Steering, degrees


def ball(radius: float) -> SkinMesh:
    return SkinMesh(trimesh.creation.icosphere(4, radius).triangles)


@pytest.fixture
def steering() -> Steering:
    steering = Steering()
    steering.set_skin(ball(100.0))
    return steering


def test_it_follows_until_the_probe_is_taken(steering: Steering) -> None:
    shown = Placement(np.array([0.0, 100.0, 0.0]), rotate=0.5).pose(ball(100.0))
    steering.follow(shown)
    assert not steering.in_control
    np.testing.assert_array_equal(steering.pose(), shown)
    steering.turn(tilt=0.2)
    held = steering.placement()
    assert steering.in_control
    assert held is not None
    assert (held.rotate, held.tilt) == pytest.approx((0.5, 0.2), abs=0.01)
    steering.follow(np.eye(4))
    assert steering.placement() is held
    steering.release()
    np.testing.assert_array_equal(steering.pose(), np.eye(4))


def test_before_a_patient_is_known_nothing_can_be_taken() -> None:
    steering = Steering()
    for act in (steering.take, lambda: steering.slide((0.0, 1.0, 0.0)), lambda: steering.turn(tilt=0.1)):
        act()
        assert not steering.in_control
        assert steering.pose() is None
    assert steering.ray((0.0, 500.0, 0.0), (0.0, -1.0, 0.0)) is None


def test_before_the_first_frame_the_probe_is_taken_on_the_belly(steering: Steering) -> None:
    steering.take()
    held = steering.placement()
    assert held is not None
    np.testing.assert_allclose(held.point, (0.0, 100.0, 0.0), atol=1.0)


def test_on_another_patient_the_probe_is_put_back_on_the_skin(steering: Steering) -> None:
    steering.slide((0.0, 100.0, 0.0))
    steering.set_skin(ball(60.0))
    pose = steering.pose()
    assert pose is not None
    np.testing.assert_allclose(pose[:3, 3], (0.0, 52.0, 0.0), atol=1.0)


def test_angles_for_the_eyes() -> None:
    assert degrees(np.pi / 2) == pytest.approx(90.0)
    assert degrees(1.5 * np.pi) == pytest.approx(-90.0)

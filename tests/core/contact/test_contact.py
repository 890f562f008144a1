"""Contact against a plane, a sphere and a box in closed form."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from us_sim.core.contact.contact import AIR_GAP, COUPLED_GAP, contact
from us_sim.core.geometry.probe import PRESETS, ProbeGeometry, ProbeKind
from us_sim.core.geometry.transforms import pose_on_skin, rigid
from us_sim.core.patient.surface import Skin

CURVED = PRESETS["c5_2"]
FLAT = ProbeGeometry(ProbeKind.LINEAR, depth=50.0, aperture=40.0, scan_lines=100)
ANTERIOR, LEFT = np.array([0.0, 1.0, 0.0]), np.array([-1.0, 0.0, 0.0])


def skin_from(distance_of: object, half: float = 120.0) -> Skin:
    """A skin of a distance in closed form on a 2 mm grid around the origin."""
    axis = np.arange(-half, half + 1, 2.0)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    ct_from_grid = np.diag([2.0, 2.0, 2.0, 1.0])
    ct_from_grid[:3, 3] = -half
    return Skin(np.ascontiguousarray(distance_of(points), dtype=np.float32), ct_from_grid)  # type: ignore[operator]


@pytest.fixture(scope="module")
def sphere() -> Skin:
    """Radius 80 mm."""
    return skin_from(lambda p: np.linalg.norm(p, axis=-1) - 80)


@pytest.fixture(scope="module")
def box() -> Skin:
    """Half edges 80, 60, 70 mm."""

    def distance(p: NDArray[np.float64]) -> NDArray[np.float64]:
        q = np.abs(p) - np.array([80.0, 60.0, 70.0])
        return np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(axis=-1), 0)

    return skin_from(distance)


def line_gap_coupling(gap: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip((AIR_GAP - gap) / (AIR_GAP - COUPLED_GAP), 0, 1)


def tilted(angle: float, y: float) -> NDArray[np.float64]:
    """Face's middle at (0, y, 0), beam to posterior, turned by `angle` about the elevation."""
    pose = pose_on_skin([0, y, 0], ANTERIOR, LEFT)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    return pose @ rigid(turn, [0, 0, 0])


def test_flat_face_pressed_into_a_box_is_coupled_everywhere(box: Skin) -> None:
    result = contact(box, FLAT, pose_on_skin([0, 60 - 4.0, 0], ANTERIOR, LEFT))
    assert result.in_contact
    assert result.coupling == 1.0
    np.testing.assert_array_equal(result.line_coupling, 1)
    np.testing.assert_allclose(result.line_distance, -4.0, atol=1e-4)
    assert result.penetration == pytest.approx(4.0, abs=1e-4)
    np.testing.assert_allclose(result.normal, [0, 0, -1], atol=1e-6)  # out of the body, against the beam


@pytest.mark.parametrize(("gap", "coupling"), [(0.0, 1.0), (2.0, 1.0), (3.5, 0.5), (4.4, 0.2), (5.0, 0.0), (9.0, 0.0)])
def test_gel_bridges_a_small_gap(box: Skin, gap: float, coupling: float) -> None:
    result = contact(box, FLAT, pose_on_skin([0, 60 + gap, 0], ANTERIOR, LEFT))
    np.testing.assert_allclose(result.line_coupling, coupling, atol=1e-4)
    assert result.in_contact == (coupling > 0)
    assert result.penetration == 0
    assert np.isnan(result.normal).all() != result.in_contact


def test_tilted_face_loses_exactly_the_lines_that_lift_off(box: Skin) -> None:
    angle = math.radians(20)
    result = contact(box, FLAT, tilted(angle, 60))
    # The face's middle rests on the skin. Turning about y (elevation) by a positive angle takes +x towards
    # −z, out of the body: the line at lateral x stands x sin(angle) off the skin.
    x = ((np.arange(100) + 0.5) / 100 - 0.5) * 40.0
    gap = x * math.sin(angle)
    np.testing.assert_allclose(result.line_distance, gap, atol=1e-4)
    np.testing.assert_allclose(result.line_coupling, line_gap_coupling(gap), atol=1e-4)
    # Lost beyond 5 mm / sin 20° = 14.62 mm of 20 mm: the 13 lines at 15.0, 15.4, ... 19.8 mm.
    np.testing.assert_array_equal(np.flatnonzero(result.line_coupling == 0), np.arange(87, 100))
    # Whole up to 2 mm / sin 20° = 5.85 mm: 50 lines left of the middle and those at 0.2, ... 5.8 mm.
    np.testing.assert_array_equal(np.flatnonzero(result.line_coupling == 1), np.arange(65))
    assert result.penetration == pytest.approx(19.8 * math.sin(angle), abs=1e-4)
    np.testing.assert_allclose(result.point, [-19.8, 0, 0])


def test_convex_face_on_a_sphere(sphere: Skin) -> None:
    """Two arcs back to back: a line at angle t starts at (R sin t, 80 − p − R (1 − cos t))."""
    pressed = 5.0
    result = contact(sphere, CURVED, pose_on_skin([0, 80 - pressed, 0], ANTERIOR, LEFT))
    t, radius = CURVED.line_angles, CURVED.radius_of_curvature
    # The face's outer parts fall back from the body, towards the air.
    expected = np.hypot(radius * np.sin(t), 80 - pressed + radius * (1 - np.cos(t))) - 80
    np.testing.assert_allclose(result.line_distance, expected, atol=0.02)
    np.testing.assert_allclose(result.line_coupling, line_gap_coupling(expected), atol=0.02)
    assert 0.4 < result.coupling < 1.0
    assert result.coupling == pytest.approx(result.line_coupling.mean(), abs=1e-6)
    assert result.penetration == pytest.approx(5.0, abs=0.02)
    assert result.line_coupling[0] == result.line_coupling[-1] == 0
    np.testing.assert_allclose(result.point, [0, 0, 0], atol=0.3)
    np.testing.assert_allclose(result.normal, [0, 0, -1], atol=0.02)


def test_normal_is_given_in_the_frame_of_the_probe(box: Skin) -> None:
    angle = math.radians(10)
    result = contact(box, FLAT, tilted(angle, 58))
    np.testing.assert_allclose(result.normal, [math.sin(angle), 0, -math.cos(angle)], atol=1e-6)


def test_normal_is_the_mean_over_the_coupled_lines(sphere: Skin) -> None:
    pose = tilted(math.radians(4), 75)
    starts = pose[:3, 3] + CURVED.line_origins @ pose[:3, :3].T
    far = np.linalg.norm(starts, axis=1)
    weights = np.clip(AIR_GAP - (far - 80), 0, None)
    mean = (weights / far) @ starts @ pose[:3, :3]
    np.testing.assert_allclose(contact(sphere, CURVED, pose).normal, mean / np.linalg.norm(mean), atol=2e-3)


def test_normal_does_not_jump_where_the_deepest_line_does() -> None:
    """A furrow along z: the deepest line jumps from one rim to the other as the probe rolls over it."""
    furrow = skin_from(lambda p: p[..., 1] - 60 + 4 * np.cos(p[..., 0] / 3), 80.0)
    found = [contact(furrow, CURVED, tilted(angle, 62)) for angle in np.linspace(-0.03, 0.03, 61)]
    assert np.ptp([one.point[0] for one in found]) > 10  # mm
    assert np.abs(np.diff([one.normal for one in found], axis=0)).max() < 0.01


def test_deep_inside_lines_that_run_away_from_the_nearest_skin_are_coupled(sphere: Skin) -> None:
    result = contact(sphere, FLAT, pose_on_skin([0, 40, 0], ANTERIOR, LEFT))
    assert result.in_contact
    assert result.coupling == 1
    assert result.penetration == pytest.approx(40, abs=0.02)
    in_the_middle = contact(sphere, FLAT, pose_on_skin([0, 0, 0], ANTERIOR, LEFT))
    assert np.isfinite(in_the_middle.line_distance).all()
    assert in_the_middle.penetration == pytest.approx(80, abs=0.5)


def test_face_that_looks_away_is_not_coupled_though_it_touches(box: Skin) -> None:
    for depth in (-1.0, 0.0, 10.0):
        result = contact(box, FLAT, pose_on_skin([0, 60 - depth, 0], -ANTERIOR, LEFT))
        assert not result.in_contact
        assert result.coupling == 0
        assert result.penetration == pytest.approx(max(0.0, depth), abs=1e-4)
        assert np.isnan(result.normal).all()


def test_under_the_table_there_is_no_contact(box: Skin) -> None:
    under = contact(box, CURVED, pose_on_skin([0, -60 - 45, 0], -ANTERIOR, LEFT))
    assert not under.in_contact
    assert under.penetration == 0
    np.testing.assert_allclose(under.line_distance.min(), 45, atol=0.02)


@pytest.mark.parametrize("away", [1e3, 1e6, 1e12])
def test_far_outside_the_volume_there_is_no_contact(sphere: Skin, away: float) -> None:
    result = contact(sphere, CURVED, pose_on_skin([away, away, 0], ANTERIOR, LEFT))
    assert not result.in_contact
    assert result.coupling == 0
    assert not result.line_coupling.any()
    assert np.isfinite(result.line_distance).all()
    assert (result.line_distance > 0.5 * away).all()
    assert np.isfinite(result.point).all()
    assert np.isnan(result.normal).all()


def test_shapes_and_types(sphere: Skin) -> None:
    result = contact(sphere, CURVED, pose_on_skin([0, 80, 0], ANTERIOR, LEFT))
    assert result.line_coupling.shape == result.line_distance.shape == (CURVED.scan_lines,)
    assert result.line_coupling.dtype == np.float32
    assert result.line_distance.dtype == np.float64
    assert type(result.in_contact) is bool
    assert type(result.coupling) is type(result.penetration) is float
    assert result.point.shape == result.normal.shape == (3,)


@pytest.mark.alone
def test_contact_is_fast(sphere: Skin) -> None:
    pose = pose_on_skin([0, 78, 0], ANTERIOR, LEFT)
    contact(sphere, CURVED, pose)
    spent = []
    for _ in range(200):
        start = time.perf_counter()
        contact(sphere, CURVED, pose)
        spent.append(time.perf_counter() - start)
    assert min(spent) < 1.5e-4

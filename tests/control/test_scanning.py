"""A whole scan in simulated time, on a flat skin with a spring below."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.control.flat import contact_at, upright

from us_sim.control.admittance import ContactState
from us_sim.control.guard import DESCENT, Guard
from us_sim.control.raster import raster, waypoint_path
from us_sim.control.scanning import STAND_OFF, TRANSIT, SkinScan, Stage
from us_sim.core.geometry.transforms import Matrix

STEP = 0.02
PATH = waypoint_path(np.stack([upright(0, 0), upright(80, 0)]))


def scan_of(path: object = PATH) -> SkinScan:
    return SkinScan(path, 20.0, Guard(5.0, 1.0, 25.0))  # type: ignore[arg-type]


def run(
    scan: SkinScan,
    start: Matrix | None = None,
    sense: Callable[[Matrix], ContactState] = contact_at,
    seconds: float = 60.0,
) -> list[Matrix]:
    """Step until the scan is done; return the poses."""
    poses = [scan.begin(start)]
    while scan.stage is not Stage.DONE:
        assert len(poses) * STEP < seconds, scan.stage
        poses.append(scan.step(poses[-1], sense(poses[-1]), STEP))
    return poses


def test_a_scan_covers_its_course_with_the_wished_force_and_speed() -> None:
    scan = scan_of()
    poses = run(scan)
    assert scan.failure == ""
    assert (scan.progress, scan.remaining) == (1.0, 0.0)
    assert scan.forces.mean == pytest.approx(5.0, abs=0.05)
    assert scan.forces.greatest <= 5.0 + 1e-9
    assert scan.forces.count * STEP == pytest.approx(80 / 20, abs=0.6)
    np.testing.assert_allclose(poses[0], upright(0, 0, -STAND_OFF))
    np.testing.assert_allclose(poses[-1][:3, 3], [80, 0, 5 - STAND_OFF], atol=1.1)


def test_a_raster_is_followed_line_by_line() -> None:
    corners = np.stack([upright(0, 0), upright(40, 0), upright(40, 20), upright(0, 20)])
    scan = scan_of(raster(corners, 10.0))
    poses = np.array(run(scan))
    pressed = poses[poses[:, 2, 3] > 4.0][:, :2, 3]
    for point in scan.path.points:
        assert np.linalg.norm(pressed - point[:2], axis=1).min() < 5.0
    assert scan.progress == 1.0


def test_a_probe_that_stands_elsewhere_lifts_off_and_is_carried_over() -> None:
    start = upright(50, 50, 4.0)
    poses = np.array(run(scan_of(), start))
    places = poses[:, :3, 3]
    np.testing.assert_allclose(poses[0], start)
    assert places[:, 2].min() == pytest.approx(-STAND_OFF, abs=4.1)
    moves = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert moves.max() <= TRANSIT * STEP + 1e-6


def test_a_strong_force_ends_the_scan_off_the_skin() -> None:
    scan = scan_of()
    poses = run(scan, sense=lambda pose: contact_at(pose, 1.0 if pose[0, 3] < 40 else 9.0))
    assert scan.failure.startswith("the force is 4")
    assert "above the limit of 25 N (scanning, " in scan.failure
    assert 0.3 < scan.progress < 0.7
    assert poses[-1][2, 3] < 0


def test_a_skin_that_ends_is_told() -> None:
    scan = scan_of()
    run(scan, sense=lambda pose: contact_at(pose if pose[0, 3] < 40 else upright(z=-1.0)))
    assert scan.failure.startswith("contact with the skin is lost (scanning")
    assert 0.3 < scan.progress < 0.7


def test_a_skin_that_is_not_there_is_told() -> None:
    scan = scan_of()
    poses = run(scan, sense=lambda pose: contact_at(upright(z=-1.0)))
    assert scan.failure.startswith("no skin within 90 mm along the beam")
    assert poses[-1][2, 3] == pytest.approx(-STAND_OFF + DESCENT - STAND_OFF, abs=0.5)


def test_a_force_that_stays_outside_the_tolerance_is_told() -> None:
    scan = scan_of()
    run(
        scan,
        sense=lambda pose: contact_at(pose) if pose[0, 3] < 40 else ContactState(9.0, True, np.array([0.0, 0.0, -1.0])),
    )
    assert scan.failure.startswith("the force is 9.0 N, outside 5 ± 1 N for 5 s (scanning")


def test_a_scan_that_is_stopped_lifts_off_once() -> None:
    scan = scan_of()
    pose = scan.begin(None)
    while scan.progress < 0.5:
        pose = scan.step(pose, contact_at(pose), STEP)
    scan.stop("cancelled")
    scan.stop("cancelled again")
    while scan.stage is not Stage.DONE:
        pose = scan.step(pose, contact_at(pose), STEP)
    assert scan.failure == "cancelled (scanning, 50 % done)"
    assert pose[2, 3] == pytest.approx(5 - STAND_OFF, abs=0.5)
    np.testing.assert_array_equal(scan.step(pose, contact_at(pose), STEP), pose)


def test_a_gentle_probe_may_take_long_to_come_down() -> None:
    """0.6 N over 0.3 N s/mm: 2 mm/s, 45 s for 90 mm."""
    guard, air = Guard(0.6, 0.2, 25.0), ContactState(0.0, False, np.full(3, np.nan))
    assert not any(guard.update(air, 0.1) for _ in range(445))
    assert any(guard.update(air, 0.1) for _ in range(10))


def test_in_the_air_no_force_is_the_wished_one() -> None:
    guard = Guard(1.0, 1.0, 25.0)
    for _ in range(20):
        guard.update(ContactState(0.0, False, np.full(3, np.nan)), 0.1)
    assert not guard.settled

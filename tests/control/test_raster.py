"""Scan paths: the lines of a raster by hand, paths, and what cannot be scanned."""

from __future__ import annotations

import numpy as np
import pytest
from tests.control.flat import upright

from us_sim.control.admittance import moved
from us_sim.control.raster import raster, waypoint_path
from us_sim.core.errors import ConfigError

CORNERS = np.stack([upright(0, 0), upright(60, 0), upright(60, 40), upright(0, 40)])


def test_lines_of_a_raster_go_there_and_back() -> None:
    path = raster(CORNERS, 15.0)  # 40 mm: 4 lines, 13.3 mm apart
    step = 40 / 3
    expected = [(0, 0), (60, 0), (60, step), (0, step), (0, 2 * step), (60, 2 * step), (60, 40), (0, 40)]
    np.testing.assert_allclose(path.points, [(x, y, 0) for x, y in expected], atol=1e-9)
    np.testing.assert_allclose(path.laterals, np.tile([1.0, 0, 0], (8, 1)))
    assert path.length == pytest.approx(4 * 60 + 40)
    np.testing.assert_allclose(path.start, CORNERS[0])


def test_a_spacing_that_divides_the_area_is_kept() -> None:
    assert len(raster(CORNERS, 20.0).points) == 2 * 3
    assert len(raster(CORNERS, 100.0).points) == 2 * 2


def test_a_raster_begins_at_the_first_waypoint_and_runs_towards_the_second() -> None:
    path = raster(CORNERS[[2, 1, 0, 3]], 30.0)  # from (60, 40) towards (60, 0)
    np.testing.assert_allclose(path.points[:, :2], [(60, 40), (60, 0), (30, 0), (30, 40), (0, 40), (0, 0)], atol=1e-9)


def test_a_raster_lies_in_the_plane_of_its_waypoints() -> None:
    turn = moved(upright(5, 6, 7), np.zeros(3), np.array([0.4, -0.3, 0.2]), 1.0)
    path = raster(turn @ CORNERS, 15.0)
    flat = raster(CORNERS, 15.0)
    np.testing.assert_allclose(path.points, flat.points @ turn[:3, :3].T + turn[:3, 3], atol=1e-9)
    np.testing.assert_allclose(path.laterals[0], turn[:3, 0])


def test_places_along_a_course() -> None:
    turned = moved(upright(10, 10), np.zeros(3), np.array([0, 0, np.pi / 2]), 1.0)
    path = waypoint_path(np.stack([upright(0, 0), upright(10, 0), turned]))
    assert path.length == pytest.approx(20)
    np.testing.assert_allclose(path.at(4.0)[0], [4, 0, 0])
    point, lateral = path.at(15.0)
    np.testing.assert_allclose(point, [10, 5, 0])
    np.testing.assert_allclose(lateral, [np.sqrt(0.5), np.sqrt(0.5), 0], atol=1e-9)
    np.testing.assert_allclose(path.at(99.0)[0], [10, 10, 0])


def test_repeated_waypoints_of_a_path_count_once() -> None:
    assert waypoint_path(np.stack([upright(), upright(), upright(5)])).length == pytest.approx(5)


@pytest.mark.parametrize(
    ("waypoints", "spacing", "text"),
    [
        (CORNERS[:2], 10.0, r"has 2 waypoint\(s\); it needs 3 or more"),
        (np.stack([upright(0), upright(30), upright(60)]), 10.0, "lie on a line"),
        (CORNERS[[0, 0, 2]], 10.0, "first two waypoints lie on one place"),
        (CORNERS, 0.01, "makes 4001 lines; expected at most 1000"),
        (CORNERS @ np.stack([np.eye(4), np.diag([1, -1, -1, 1]), np.eye(4), np.diag([1, -1, -1, 1])]), 10.0,
         "look in opposite directions"),
    ],
)  # fmt: skip
def test_what_is_no_raster(waypoints: np.ndarray, spacing: float, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        raster(waypoints, spacing)


def test_what_is_no_path() -> None:
    with pytest.raises(ConfigError, match=r"1 waypoints hold 1 place\(s\); a path needs 2"):
        waypoint_path(CORNERS[:1])
    with pytest.raises(ConfigError, match=r"2 waypoints hold 1 place"):
        waypoint_path(CORNERS[[0, 0]])

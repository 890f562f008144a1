"""Callipers: expectations by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset
from us_sim.viewer.measuring import M_MODE, Mark, axes, circumference, line, path, position, share, values

LINEAR = ProbeGeometry(ProbeKind.LINEAR, depth=50.0, aperture=40.0, width=64, height=160, scan_lines=32, samples=64)


def test_the_corners_of_the_frame_are_those_of_the_fan() -> None:
    assert position(0.0, 0.0, LINEAR) == pytest.approx((-20.0, 0.0))
    assert position(1.0, 1.0, LINEAR) == pytest.approx((20.0, 50.0))
    assert position(0.5, 0.2, LINEAR) == pytest.approx((0.0, 10.0))


def test_share_is_the_inverse_of_position_for_every_probe() -> None:
    for name in ("c5_2", "l12_5", "p4_2", "paper"):
        assert share(position(0.3, 0.8, preset(name)), preset(name)) == pytest.approx((0.3, 0.8))


def test_a_distance_is_in_mm_though_pixels_are_not_square() -> None:
    ends = position(0.25, 0.2, LINEAR), position(0.25 + 30 / 40, 0.2 + 40 / 50, LINEAR)
    (value,) = values(Mark("distance", ends))
    assert (value.name, value.number, value.unit) == ("Length", pytest.approx(50.0), "mm")  # 30, 40, 50
    assert value.text == "Length 50.0 mm"


def test_an_ellipse_has_the_area_of_its_axes() -> None:
    mark = Mark("ellipse", ((-20.0, 30.0), (20.0, 30.0), (0.0, 40.0)))  # half axes 20 and 10
    area, around = values(mark)
    assert (area.number, area.unit) == (pytest.approx(2 * math.pi), "cm²")
    assert around.number == pytest.approx(96.884, abs=1e-2)  # complete elliptic integral: 4 a E(3/4) = 96.8845 mm
    turned = Mark("ellipse", ((0.0, 10.0), (0.0, 50.0), (10.0, 30.0)))
    assert values(turned)[0].number == pytest.approx(area.number)


def test_an_ellipse_passes_through_its_third_point() -> None:
    mark = Mark("ellipse", ((-20.0, 0.0), (20.0, 0.0), (12.0, 8.0)))  # (12/20)² + (8/b)² = 1: b = 10
    assert axes(mark) == pytest.approx((20.0, 10.0))
    points = line(mark)
    np.testing.assert_allclose((points[:, 0] / 20) ** 2 + (points[:, 1] / 10) ** 2, 1.0)


def test_on_the_m_mode_strip_a_distance_is_time_depth_and_velocity() -> None:
    """From -1.75 s and 30 mm to -0.5 s and 20 mm: 10 mm in 1.25 s; its scan line, 8 of 32, lies at -9.375 mm."""
    mark = Mark(M_MODE, ((-1.75, 30.0), (-0.5, 20.0)), scan_line=8)
    assert [value.text for value in values(mark)] == ["Time 1.25 s", "Depth 10.0 mm", "Velocity 8.0 mm/s"]
    upright = Mark(M_MODE, ((-1.0, 30.0), (-1.0, 20.0)))
    assert [value.name for value in values(upright)] == ["Time", "Depth"]  # no time passes
    np.testing.assert_allclose(path(mark, LINEAR), [[-9.375, 30.0], [-9.375, 20.0]])


def test_the_circumference_of_a_circle_and_of_a_line() -> None:
    assert circumference(10.0, 10.0) == pytest.approx(20 * math.pi)
    assert circumference(10.0, 0.0) == pytest.approx(40.0, rel=1e-3)
    assert circumference(0.0, 0.0) == 0.0


def test_what_is_not_finished_or_only_points_measures_nothing() -> None:
    assert values(Mark("ellipse", ((0.0, 0.0), (1.0, 0.0)))) == []
    assert values(Mark("arrow", ((0.0, 0.0), (1.0, 0.0)), "stone")) == []
    assert axes(Mark("ellipse", ((1.0, 1.0), (1.0, 1.0), (2.0, 2.0)))) == (0.0, 0.0)

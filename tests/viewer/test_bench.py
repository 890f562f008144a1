"""Curves of the test bench, by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
from us_sim.viewer.bench import SPAN, STEP, Curve


def test_a_curve_holds_the_last_seconds_before_its_newest_point() -> None:
    curve = Curve()
    assert curve.columns() == ()
    for second in range(30):
        curve.add(100.0 + second, 2.0 * second, 1.0)
    times, doubled, ones = curve.columns()
    np.testing.assert_array_equal(times, np.arange(-SPAN, 1.0))
    np.testing.assert_array_equal(doubled, 2.0 * np.arange(9, 30))
    assert (ones == 1.0).all()


def test_points_that_come_too_fast_are_left_out_and_time_may_jump_back() -> None:
    curve = Curve()
    curve.add(10.0, 1.0)
    curve.add(10.0 + STEP / 2, 2.0)
    curve.add(10.0 + STEP * 1.01, 3.0)
    np.testing.assert_array_equal(curve.columns()[1], [1.0, 3.0])
    curve.add(5.0, 4.0)
    np.testing.assert_array_equal(curve.columns()[1], [4.0])

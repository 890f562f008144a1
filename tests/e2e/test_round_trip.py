"""The benchmark of the round trip: it starts the node, and its figures are those of the answers."""

from __future__ import annotations

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")
pytestmark = pytest.mark.alone

from us_sim.bench.timing import summary  # noqa: E402
from us_sim.bringup.round_trip import measured  # noqa: E402


def test_figures_are_median_and_95th_percentile_in_ms() -> None:
    assert summary(np.arange(101.0)) == pytest.approx({"median": 50, "p95": 95})
    assert np.isnan(summary(np.array([]))["median"])


def test_a_short_round_trip() -> None:
    rows = measured(10.0, 1.0, ["renderer:=ct"])
    assert set(rows) == {"image", "contact", "get_parameters", "set_parameters", "freeze", "get_state"}
    assert 0 < rows["contact"]["median"] <= rows["contact"]["p95"]
    assert 0 < rows["image"]["rate"] <= 10.0

"""A frame back on its scan lines."""

from __future__ import annotations

import numpy as np
import pytest

from us_sim.core.geometry.polar import polar_image
from us_sim.core.geometry.probe import preset


@pytest.mark.parametrize("name", ["c5_2", "l12_5", "p4_2"])
def test_a_ramp_is_read_where_the_samples_lie(name: str) -> None:
    """Grey rises evenly with x and z: interpolation is exact, so each sample holds what its place says."""
    probe = preset(name)

    def ramp(points: np.ndarray) -> np.ndarray:
        return np.asarray(60 + 0.4 * points[..., 0] + 0.5 * points[..., 2])

    found = polar_image(np.rint(ramp(probe.pixel_points)).astype(np.uint8), probe)
    assert found.shape == (probe.scan_lines, probe.samples)
    inside = np.zeros_like(found, bool)
    inside[4:-4, 4:-16] = True  # the frame ends half a pixel inside the fan's box
    if name == "p4_2":
        inside &= np.hypot(probe.polar_points[..., 0], probe.polar_points[..., 2]) < probe.depth - 2
    assert np.abs(found - ramp(probe.polar_points))[inside].max() <= 1.01  # both are rounded


def test_samples_beyond_the_frame_are_black() -> None:
    probe = preset("paper")
    found = polar_image(np.full((probe.height, probe.width), 200, np.uint8), probe)
    below = probe.polar_points[..., 2] > probe.first_pixel[1] + (probe.height + 1) * probe.pixel_spacing[1]
    assert (found[below] == 0).all()

"""Distances between frames, on pictures whose numbers are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from us_sim.core.analysis import realism
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset

PROBE = preset("c5_2")
LINEAR = ProbeGeometry(ProbeKind.LINEAR, depth=150.0, aperture=96.0, scan_lines=192, samples=512)


def flat(grey: float, probe: ProbeGeometry = PROBE) -> realism.Frames:
    return np.full((2, probe.scan_lines, probe.samples), grey)


def test_grey_distance_is_how_far_the_levels_lie_apart() -> None:
    assert realism.grey_distance(flat(40), flat(52), PROBE) == pytest.approx(12)
    noise = np.random.default_rng(0).uniform(0, 100, flat(0).shape)
    assert realism.grey_distance(noise, noise[:, ::-1], PROBE) == pytest.approx(0, abs=1e-9)


def test_mean_and_black_are_counted_by_depth() -> None:
    frames = np.broadcast_to(PROBE.sample_depths, flat(0).shape).astype(np.float64)
    found = realism.mean_by_depth(frames, PROBE)
    np.testing.assert_allclose(found, [0.5 * (low + high) for low, high in realism.BANDS], atol=0.5)
    assert realism.share_of_black(frames, PROBE) == pytest.approx((12 - 5) / 135, abs=0.005)


@pytest.mark.parametrize(("slope", "share"), [(realism.STEEP - 1, 0), (realism.STEEP + 1, 1)])
@pytest.mark.parametrize("direction", ["axial", "lateral"])
def test_edges_are_steep_in_grey_to_a_mm(direction: str, slope: float, share: float) -> None:
    along = LINEAR.sample_depths if direction == "axial" else LINEAR.line_origins[:, :1]
    frames = np.broadcast_to(slope * along, flat(0, LINEAR).shape)
    assert realism.edge_density(frames, LINEAR) == share


def test_the_profile_runs_from_left_to_right() -> None:
    frames = np.broadcast_to(np.arange(192.0)[:, None], flat(0).shape)
    np.testing.assert_allclose(realism.lateral_profile(frames, PROBE), 7.5 + 16 * np.arange(12))


def test_grain_is_the_width_of_the_noise_and_sd_its_spread() -> None:
    """Along the line, noise smoothed by σ has an autocorrelation of √2·σ, full width at half maximum 2.355·√2·σ."""
    white = np.random.default_rng(1).normal(0, 1, (12, 192, 512))
    smooth = gaussian_filter1d(gaussian_filter1d(white, 1.5, axis=2), 1.2, axis=1)
    frames = 60 + 8 * smooth / smooth.std()
    assert realism.block_sd(frames, LINEAR, 50.0) == pytest.approx(8, rel=0.1)
    axial, lateral = realism.grain(frames, LINEAR, 50.0)
    assert axial == pytest.approx(2.355 * math.sqrt(2) * 1.5 * 150 / 512, rel=0.1)
    widths = [across(block) for block in realism.blocks(frames, LINEAR, 50.0)]
    assert lateral == pytest.approx(float(np.median(widths)) * 0.5, rel=1e-6)


def across(block: realism.Frames) -> float:
    """Width of a block's autocorrelation over its lines, summed directly."""
    even = block - block.mean(axis=0)
    curve = np.sum([np.correlate(column, column, "full") for column in even.T], axis=0)[15:]
    below = int(np.argmax(curve < 0.5 * curve[0]))
    return 2 * float(np.interp(0.5 * curve[0], [curve[below], curve[below - 1]], [below, below - 1]))


def test_black_frames_have_no_blocks() -> None:
    assert math.isnan(realism.block_sd(flat(3), PROBE, 50.0))
    assert all(math.isnan(width) for width in realism.grain(flat(3), PROBE, 50.0))
    assert len(realism.blocks(flat(90, replace(PROBE, scan_lines=64)), replace(PROBE, scan_lines=64), 50.0)) == 0


def test_a_summary_has_every_column() -> None:
    found = realism.summary(np.random.default_rng(2).uniform(0, 100, flat(0).shape), PROBE)
    assert found["mean"] == pytest.approx(50, abs=1)
    assert found["black %"] == pytest.approx(12, abs=1)
    assert found["fan edges"] == pytest.approx(found["centre"], abs=1)
    assert all(math.isfinite(value) for value in found.values())

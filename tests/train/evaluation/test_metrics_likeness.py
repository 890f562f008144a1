"""Depth-matched blocks against pictures whose statistics are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from scyclegan_train.evaluation.likeness import NAKAGAMI, blocks_of, compared, even_half, grey_distance, pooled
from us_sim.core.analysis.realism import correlation_width
from us_sim.core.geometry.probe import preset

PROBE = preset("c5_2")


@pytest.mark.parametrize("axis", [0, 1])
def test_correlation_width_of_smoothed_noise(axis: int) -> None:
    """White noise under a Gaussian of σ has an autocorrelation of √2 σ, 2.355 times that wide at half maximum."""
    noise = np.random.default_rng(0).normal(size=(400, 400))
    found = correlation_width(gaussian_filter1d(noise, 3.0, axis=axis), axis)
    assert found == pytest.approx(2.355 * 2**0.5 * 3.0, rel=0.05)


def test_blocks_lie_wholly_in_what_is_wanted() -> None:
    depth = PROBE.sample_depths[None] * np.ones((PROBE.scan_lines, 1))
    wanted = (depth > 49) & (depth < 76)
    found = blocks_of(depth, wanted, PROBE)
    assert sorted(found) == [50.0, 65.0]
    assert all(b.min() > 49.5 and b.max() < 60.5 for b in found[50.0])
    assert len(found[50.0]) == 9  # first lines 40, 52, ... 136
    assert found[50.0][0].shape == (16, 28)


def test_real_blocks_are_lit_and_even() -> None:
    rng = np.random.default_rng(0)
    dark, even, rough = (rng.normal(level, spread, (16, 28)) for level, spread in ((5, 1), (60, 2), (60, 20)))
    kept = even_half(pooled([{35.0: [dark, rough]}, {35.0: [even]}]))
    assert len(kept[35.0]) == 1
    assert kept[35.0][0] is even


def test_statistics_stand_beside_the_real_range() -> None:
    rng = np.random.default_rng(0)
    real = {35.0: [rng.normal(level, 5, (16, 28)) for level in range(50, 71)]}
    row = compared({35.0: [np.full((16, 28), 55.0) + rng.normal(0, 5, (16, 28))], 50.0: []}, real)[0]
    assert row["statistic"] == "mean"
    assert row["value"] == pytest.approx(55, abs=1)
    assert row["low"] == pytest.approx(51, abs=1)
    assert row["high"] == pytest.approx(69, abs=1)
    assert (row["blocks"], row["real blocks"]) == (1, 21)


def test_grey_levels_are_compared_depth_by_depth() -> None:
    rng = np.random.default_rng(0)
    shallow, deep = rng.normal(80, 10, 4000), rng.normal(20, 5, 4000)
    assert grey_distance([shallow, deep], [shallow + 6, deep + 2]) == pytest.approx(4)
    assert grey_distance([shallow, deep], [deep, shallow]) == pytest.approx(60, abs=1)  # though the whole is the same
    assert grey_distance([shallow, deep[:0]], [shallow + 3, deep]) == pytest.approx(3)
    assert np.isnan(grey_distance([deep[:0]], [deep]))


def test_nakagami_of_blocks_is_that_of_their_envelope() -> None:
    """Rayleigh envelope at −30 dB, compressed by the default 55 dB: m 1, Ω −30 dB; 1,500 cells."""
    envelope = np.hypot(*np.random.default_rng(0).standard_normal((2, 30, 50))) / 2**0.5 * 10**-1.5
    block = 255 * (1 + 20 * np.log10(envelope) / 55)
    shape, power = compared({35.0: [block]}, {35.0: [block]}, NAKAGAMI)
    assert (shape["statistic"], power["statistic"]) == ("Nakagami m", "Nakagami Ω, dB")
    assert shape["value"] == pytest.approx(1, abs=0.08)
    assert power["value"] == pytest.approx(-30, abs=0.3)

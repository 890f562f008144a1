"""Measures of frames against values made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from us_sim.core.geometry.probe import preset
from us_sim.offline.fit.measures import BANDS, Ruler, distances

PROBE = replace(preset("c5_2"), scan_lines=96, samples=384)
RULER = Ruler(PROBE)
SHAPE = (4, 96, 384)
ALL = torch.ones(SHAPE, dtype=torch.bool)


def noise(seed: int = 0) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def test_brighter_frames_are_so_much_farther_away() -> None:
    one, other = RULER.measure(100 + 5 * noise(), ALL), RULER.measure(107 + 5 * noise(), ALL)
    found = distances(one, other)
    assert [found[name] for name in ("grey", "near field", "floor", "lateral")] == pytest.approx([7] * 4, abs=1e-3)
    assert [found[name] for name in ("block SD", "grain")] == pytest.approx([0, 0], abs=0.1)
    assert found["texture"] == pytest.approx(0, abs=1e-3)  # filters have no mean


def test_the_spread_of_blocks_is_that_of_the_noise() -> None:
    spread = RULER.measure(100 + 5 * noise(), ALL)["block SD"]
    np.testing.assert_allclose(spread[:, -1], 5.0, rtol=0.03)  # the largest of the even half is the median


def test_grain_is_the_autocorrelation() -> None:
    white = noise()
    along = (white + white.roll(1, dims=2)) / 2**0.5  # neighbours along a line share half of their power
    grain = RULER.measure(100 + 5 * along, ALL)["grain"].mean(dim=0)
    np.testing.assert_allclose(grain[:2], [0.5, 0.0], atol=0.06)
    np.testing.assert_allclose(grain[5:], -1 / 7, atol=0.04)  # eight lines less their mean


def test_texture_tells_the_direction_of_stripes() -> None:
    white = 100 + 5 * noise()
    along, across = (white + white.roll(1, dims=d) for d in (2, 1))
    same = (white + white.roll(1, dims=2)) * 1.0
    far = distances(RULER.measure(along, ALL), RULER.measure(across, ALL))["texture"]
    assert far > 20 * distances(RULER.measure(along, ALL), RULER.measure(same, ALL))["texture"]
    assert far > 0.5


def test_what_is_invalid_does_not_count() -> None:
    spoilt, valid = 100 + 5 * noise(), ALL.clone()
    spoilt[:, 10:30, 100:250], valid[:, 10:30, 100:250] = 255.0, False
    found = distances(RULER.measure(100 + 5 * noise(), ALL), RULER.measure(spoilt, valid))
    assert max(found["grey"], found["lateral"], found["block SD"]) < 0.3


def test_a_depth_that_no_frame_reaches_is_left_out() -> None:
    valid = ALL.clone()
    valid[..., 200:] = False
    shallow = RULER.measure(100 + 5 * noise(), valid)
    assert shallow["grey"][-2:].isnan().all()
    assert not shallow["grey"][:4].isnan().any()
    assert distances(shallow, RULER.measure(110 + 5 * noise(), ALL))["grey"] == pytest.approx(10, abs=0.3)


def test_bands_begin_beyond_the_near_field() -> None:
    bands = RULER.bands()
    assert bands[0] == -1
    assert bands[-1] == BANDS - 1
    assert PROBE.sample_depths[int((bands < 0).sum())] == pytest.approx(6.0, abs=0.5)

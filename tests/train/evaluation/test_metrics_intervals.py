"""Intervals over patients and the kernel distance against hand computations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scyclegan_train.evaluation.intervals import clustered, frechet, kid, kid_interval


def test_patients_count_alike_however_many_frames_they_have() -> None:
    found = clustered([1, 1, 1, 1, 3, math.nan], ["a", "a", "a", "a", "b", "c"])
    assert found.value == 2
    assert found.clusters == 2
    assert (found.low, found.high) == (1, 3)


def test_interval_of_many_patients_is_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = clustered(values.tolist(), [f"{i:03d}" for i in range(400)])
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)


def test_nothing_measured_is_said() -> None:
    assert math.isnan(clustered([math.nan], ["a"]).value)
    one = clustered([2.0], ["a"])
    assert one.value == 2
    assert math.isnan(one.low)


def test_kid_of_four_numbers_by_hand() -> None:
    """d = 1, x = {0, 1}, y = {1, 2}: within 1 and 27, between (1 + 1 + 8 + 27)/4."""
    x, y = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    assert kid(x, y) == pytest.approx(1 + 27 - 2 * (1 + 1 + 8 + 27) / 4)


def test_kid_is_unbiased_around_zero_for_one_distribution() -> None:
    rng = np.random.default_rng(0)
    found = [kid(rng.normal(size=(20, 4)), rng.normal(size=(20, 4))) for _ in range(400)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 20
    assert min(found) < 0


def test_kid_interval_tells_same_from_different() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.normal(size=(16, 8)) for _ in range(20)]
    same, other = [rng.normal(size=(16, 8)) for _ in range(20)], [rng.normal(1, 1, (16, 8)) for _ in range(20)]
    near, far = kid_interval(frames, same), kid_interval(frames, other)
    assert near.low < 0 < near.high
    assert near.high < far.low < far.value < far.high
    assert math.isnan(kid_interval(frames[:2], same).low)


def test_frechet_distance_of_known_normal_distributions() -> None:
    """Means 3 apart and standard deviations 1 and 2 on each of 2 axes: 9 + 2 · (1 + 4 − 2 · 2) = 11."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200_000, 2)), 2 * rng.standard_normal((200_000, 2)) + [3, 0]
    assert frechet(x, y) == pytest.approx(11, rel=0.02)
    assert frechet(x, x) == pytest.approx(0, abs=1e-6)
    few = rng.standard_normal((4, 9))  # fewer samples than features
    assert frechet(few, few) == pytest.approx(0, abs=1e-6)

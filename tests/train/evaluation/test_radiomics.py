"""Radiomic features against matrices counted by hand, and the distances that are made of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scyclegan_train.evaluation import radiomics
from scyclegan_train.evaluation.intervals import frd

ALL = np.ones((2, 3), bool)
# Bins 1 and 3 (of 16 grey levels each).
SMALL = np.array([[0.0, 0.0, 40.0], [0.0, 40.0, 40.0]])


def test_first_order_statistics_by_hand() -> None:
    found = radiomics.named(SMALL, ALL)
    assert (found["mean"], found["SD"], found["median"]) == (20, 20, 20)
    assert (found["skewness"], found["kurtosis"]) == (0, 1)
    assert (found["entropy"], found["uniformity"]) == (1, 0.5)


def test_co_occurrence_by_hand() -> None:
    """Neighbours of different bins: 2 of 4 across, 1 of 3 up, 0 of 2 up to the right, 2 of 2 down to the right."""
    found = radiomics.named(SMALL, ALL)
    share = np.array([2 / 4, 1 / 3, 0, 1])
    assert found["GLCM dissimilarity"] == pytest.approx(2 * share.mean())
    assert found["GLCM contrast"] == pytest.approx(4 * share.mean())
    assert found["GLCM homogeneity"] == pytest.approx((1 - share + share / 5).mean())


def test_run_lengths_by_hand() -> None:
    levels = np.array([[1, 1, 3], [1, 3, 3]], np.uint8)
    assert [part.tolist() for part in radiomics.runs(levels)] == [[1, 3, 1, 3], [2, 1, 1, 2]]
    # Rows: 2 1 1 2; columns: 2, 1 1, 2; up to the right: 1, 2, 2, 1; down to the right: six of 1.
    short = np.array([(2 / 4 + 2) / 4, (2 / 4 + 2) / 4, (2 / 4 + 2) / 4, 1])
    found = radiomics.run_lengths(levels)
    assert found["GLRLM short runs"] == pytest.approx(short.mean())
    assert found["GLRLM share of runs"] == pytest.approx(np.mean([4 / 6, 4 / 6, 4 / 6, 1]))


def test_what_does_not_count_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    frame, where = rng.uniform(0, 255, (40, 30)), np.ones((40, 30), bool)
    wide = np.pad(frame, 7, constant_values=200.0)
    np.testing.assert_allclose(radiomics.features(wide, np.pad(where, 7)), radiomics.features(frame, where))
    flat = radiomics.features(np.full((40, 30), 60.0), where)
    assert np.isfinite(flat).all()
    assert len(flat) == len(radiomics.named(frame, where)) == 28


def test_frd_is_the_log_distance_in_units_of_the_real_spread() -> None:
    """Real SD 2 and 5; means 3 SD apart in the first feature, twice the spread in the second: d² = 9 + 1."""
    rng = np.random.default_rng(0)
    real = rng.standard_normal((100_000, 2)) * [2, 5]
    drawn = rng.standard_normal((100_000, 2)) * [2, 10] + [6, 0]
    constant = np.zeros((100_000, 1))
    assert frd(np.hstack([drawn, constant]), np.hstack([real, constant])) == pytest.approx(0.5 * math.log(10), abs=0.01)
    assert frd(real, real) < -5


def test_speckle_lies_nearer_to_speckle_than_noise_does() -> None:
    rng = np.random.default_rng(0)

    def speckle(grain: int) -> np.ndarray:
        rough = np.hypot(*rng.standard_normal((2, 32, 32)))
        return np.kron(60 + 25 * np.log(rough + 0.1), np.ones((grain, grain)))[:64, :64]

    where = np.ones((64, 64), bool)
    real, near, fine = (np.stack([radiomics.features(speckle(g), where) for _ in range(8)]) for g in (4, 4, 2))
    assert frd(near, real) < frd(fine, real) - 0.5

"""Numbers of single frames against hand computations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scyclegan_train.evaluation import metrics

ALL = np.ones((40, 40), bool)


def test_psnr_counts_only_where_asked() -> None:
    a, b = np.full((40, 40), 100.0), np.full((40, 40), 110.0)
    assert metrics.psnr(a, b, ALL) == pytest.approx(10 * math.log10(255**2 / 100))
    b[0] = 255
    assert metrics.psnr(a, b, np.arange(40)[:, None] * np.ones(40) > 0) == pytest.approx(28.13, abs=0.01)
    assert metrics.psnr(a, a, ALL) == math.inf


def test_correlation_is_pearsons() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(100, 10, (40, 40))
    b = 0.5 * a + rng.normal(0, 5, (40, 40))
    where = rng.random((40, 40)) < 0.5
    assert metrics.correlation(a, b, where) == pytest.approx(np.corrcoef(a[where], b[where])[0, 1])
    assert math.isnan(metrics.correlation(a, np.zeros((40, 40)), where))


def test_ssim_of_constant_pictures() -> None:
    """Without variance the formula leaves (2ab + c) / (a² + b² + c), c = (0.01·255)²."""
    a, b, c = 100.0, 50.0, (0.01 * 255) ** 2
    found = metrics.ssim(np.full((40, 40), a), np.full((40, 40), b), ALL)
    assert found == pytest.approx((2 * a * b + c) / (a * a + b * b + c))


def test_dice_counts_pixels_where_asked() -> None:
    wanted, found = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8)
    wanted[:, :10], found[:, 5:15] = 1, 1
    assert metrics.dice(found, wanted, ALL, 1) == pytest.approx(2 * 200 / (400 + 400))
    left = np.arange(40)[None] < np.full((40, 1), 10)
    assert metrics.dice(found, wanted, left, 1) == pytest.approx(2 * 200 / (200 + 400))
    assert math.isnan(metrics.dice(found, wanted, ALL, 2))


def test_gcnr_is_one_minus_the_overlap() -> None:
    dark, bright = np.full(100, 20.0), np.full(100, 200.0)
    assert metrics.gcnr(dark, bright) == 1
    assert metrics.gcnr(dark, dark) == 0
    assert metrics.gcnr(dark, np.concatenate([dark, bright])) == pytest.approx(0.5)


def test_border_contrast_sees_only_pixels_near_the_border() -> None:
    """Far from the border both sides are equal; 1 to 6 mm from it they are not."""
    tissue = np.ones((40, 40), np.uint8)
    tissue[20:] = 2
    image = np.full((40, 40), 200.0)
    image[20:27] = 20
    assert metrics.border_gcnr(image, tissue, ALL, (1, 2), (1.0, 1.0)) == 1
    assert math.isnan(metrics.border_gcnr(image, tissue, ALL, (1, 3), (1.0, 1.0)))
    assert math.isnan(metrics.border_gcnr(image, tissue, ~ALL, (1, 2), (1.0, 1.0)))


def test_distance_to_the_next_interface_in_mm() -> None:
    tissue = np.zeros((10, 10), np.uint8)
    tissue[5:] = 1
    found = metrics.interface_distance(tissue, (2.0, 0.5))
    assert found[:, 3].tolist() == [8, 6, 4, 2, 0, 0, 2, 4, 6, 8]
    assert np.isinf(metrics.interface_distance(np.zeros((10, 10), np.uint8), (1, 1))).all()


@pytest.mark.parametrize(("height", "seen"), [(26.0, True), (20.0, False)])
def test_ridge_answers_as_computed(height: float, seen: bool) -> None:
    """A line as wide as the scale answers with 0.354 of its height; the threshold of 8 lies at 22.6 grey levels."""
    spacing = (0.5, 0.25)
    z = spacing[0] * (np.arange(80) - 40)[:, None]
    image = 50 + height * np.exp(-0.5 * (z / metrics.RIDGE_WIDTH) ** 2) * np.ones(160)
    found = metrics.ridges(image, spacing)
    assert found[40, 80] == seen
    assert not found[:30].any()
    assert not metrics.ridges(100 - image, spacing)[38:43].any()  # dark ones do not count


def test_a_spot_is_no_ridge() -> None:
    z, x = np.mgrid[-20:20, -20:20] * 0.5
    spot = 100 * np.exp(-0.5 * (z**2 + x**2) / metrics.RIDGE_WIDTH**2)
    assert not metrics.ridges(spot, (0.5, 0.5))[20, 20]


def test_ridges_are_hallucinated_only_far_from_interfaces() -> None:
    z = np.arange(80)[:, None] * np.ones(80)
    line = 100 * np.exp(-0.5 * ((z - 60) / metrics.RIDGE_WIDTH) ** 2)
    where, tissue = np.ones((80, 80), bool), np.zeros((80, 80), np.uint8)
    tissue[60:] = 1
    assert metrics.hallucinated(line, tissue, where, (1.0, 1.0)) == 0
    tissue[:] = 0
    tissue[10:] = 1
    share = metrics.hallucinated(line, tissue, where, (1.0, 1.0))
    assert 1 / 69 <= share <= 4 / 69  # of rows 0 to 3 and 16 to 79, some about the line
    assert math.isnan(metrics.hallucinated(line, tissue, ~where, (1.0, 1.0)))

"""Finer voxels: HU as before at every place, classes with smooth borders that keep their size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from us_sim.core.geometry.transforms import apply
from us_sim.core.patient.detail.refine import MAX_VOXELS, factors, refined_affine, refined_hu, refined_tissue


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        ((122, 101, 112), (3, 3, 3), (3, 3, 3)),
        ((512, 512, 300), (0.8, 0.8, 1.0), (1, 1, 1)),
        ((512, 512, 60), (0.8, 0.8, 5.0), (1, 1, 5)),
        ((219, 182, 200), (1.2, 1.2, 1.2), (1, 1, 1)),
    ],
)
def test_only_coarse_axes_are_split(shape: tuple[int, ...], spacing: tuple[float, ...], expected: object) -> None:
    assert factors(shape, np.array(spacing)) == expected


def test_the_fine_grid_stays_within_the_memory() -> None:
    split = factors((400, 400, 400), np.array([2.4, 2.4, 4.8]))
    assert np.prod([(400 - 1) * f + 1 for f in split]) <= MAX_VOXELS
    assert split[2] >= split[0]  # the coarsest axis keeps the most


def test_hu_is_the_trilinear_interpolation_to_rounding() -> None:
    """At random places, read trilinearly from both grids; scipy's interpolation is the reference."""
    rng = np.random.default_rng(3)
    hu = rng.integers(-1000, 1500, (7, 5, 6)).astype(np.int16)
    split = (3, 2, 5)
    fine = refined_hu(hu, split)
    np.testing.assert_array_equal(fine[::3, ::2, ::5], hu)
    places = rng.uniform(0, np.array(hu.shape) - 1, (500, 3))
    coarse = RegularGridInterpolator(tuple(map(np.arange, hu.shape)), hu.astype(float))(places)
    other = RegularGridInterpolator(tuple(map(np.arange, fine.shape)), fine.astype(float))(places * split)
    assert np.abs(coarse - other).max() <= 0.51


def test_the_centres_stay_in_place() -> None:
    affine = np.array([[0, -2.0, 0, 5], [3, 0, 0, -7], [0, 0, 4.0, 1], [0, 0, 0, 1]])
    np.testing.assert_allclose(
        apply(refined_affine(affine, (3, 2, 4)), [6, 4, 12]), apply(affine, [2, 2, 3])
    )  # fmt: skip


def test_a_ball_becomes_round_and_keeps_its_volume() -> None:
    """A ball of 8 voxels' radius: the borders of the fine one lie within a third of a coarse voxel of it."""
    index = np.moveaxis(np.indices((22, 22, 22)), 0, -1) - 10.5
    ball = np.where(np.linalg.norm(index, axis=-1) < 8, 3, 10).astype(np.uint8)
    fine = refined_tissue(ball, (3, 3, 3))
    away = np.linalg.norm(np.moveaxis(np.indices(fine.shape), 0, -1) / 3 - 10.5, axis=-1)
    assert set(np.unique(fine)) == {3, 10}
    assert np.count_nonzero(fine == 3) / 27 == pytest.approx(np.count_nonzero(ball == 3), rel=0.03)
    blocky = np.repeat(np.repeat(np.repeat(ball, 3, 0), 3, 1), 3, 2)[1:-1, 1:-1, 1:-1]
    wrong = (fine == 3) != (away < 8)
    assert np.count_nonzero(wrong) < 0.5 * np.count_nonzero((blocky == 3) != (away < 8))
    assert np.abs(away[wrong] - 8).max() < 0.6


def test_sheets_and_rods_of_one_voxel_stay() -> None:
    tissue = np.full((9, 9, 9), 10, np.uint8)
    tissue[4] = 12
    tissue[:, 2, 2] = 7
    fine = refined_tissue(tissue, (3, 3, 3))
    assert (fine[12, 9:, 9:] == 12).all()
    assert (fine[:9, 6, 6] == 7).all()
    assert (fine[::3, ::3, ::3] == tissue).all()

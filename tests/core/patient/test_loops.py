"""The passes over all voxels beside SciPy and NumPy, which take a copy of the volume for every step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from us_sim.core.patient.grid import ball_element, coarsen, grow
from us_sim.core.patient.loops import counts_along, mean_below, transposed, values_by_class, within
from us_sim.core.patient.signed_distance import share_of_blocks

SHAPE = (13, 17, 22)
AFFINE = np.diag([1.0, 1.5, 0.8, 1.0])


@pytest.fixture
def hu() -> np.ndarray:
    return np.random.default_rng(3).integers(-1024, 3000, SHAPE).astype(np.int16)


@pytest.mark.parametrize("steps", [(1, 1, 1), (2, 3, 4), (5, 17, 30)])
def test_a_coarse_volume_holds_the_means(hu: np.ndarray, steps: tuple[int, int, int]) -> None:
    starts = [np.arange(0, size, step) for size, step in zip(SHAPE, steps, strict=True)]
    cut = np.clip(hu, -1000, 2000)
    expected = [
        cut[i : i + steps[0], j : j + steps[1], k : k + steps[2]].mean() for i, j, k in itertools.product(*starts)
    ]
    found = coarsen(hu, steps, -1000, 2000)
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6)
    np.testing.assert_array_equal(coarsen(hu > 0, steps), coarsen((hu > 0).astype(np.int16), steps))


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 3, 5), (5, 1, 3), (27, 35, 45)])
def test_the_mean_of_a_box_is_that_of_scipy(hu: np.ndarray, size: tuple[int, int, int]) -> None:
    out = np.empty(SHAPE, dtype=bool)
    mean_below(hu, np.array(size), -250, 100, -30, out)
    np.testing.assert_array_equal(out, ndimage.uniform_filter(np.clip(hu, -250, 100), size) < -30)


@pytest.mark.parametrize("radius", [0.5, 1.7, 3.0])
def test_a_grown_mask_is_a_dilation(hu: np.ndarray, radius: float) -> None:
    mask = hu > 2700
    mask[4:9, 5:12, 3:15] = True
    np.testing.assert_array_equal(
        grow(mask, AFFINE, radius), ndimage.binary_dilation(mask, ball_element(AFFINE, radius))
    )


@pytest.mark.parametrize("dtype", ["i2", "u1", "f4", "f8", "u4"])
def test_planes_of_a_file_come_to_their_place(dtype: str) -> None:
    volume = np.random.default_rng(0).integers(0, 200, SHAPE).astype(dtype)
    out, same = np.zeros(SHAPE, dtype), f"u{volume.itemsize}"
    planes = np.ascontiguousarray(volume.transpose(2, 1, 0))
    for first, last in ((0, 9), (9, 22)):
        transposed(planes[first:last].view(same), first, out.view(same))
    np.testing.assert_array_equal(out, volume)


def test_voxels_are_counted(hu: np.ndarray) -> None:
    classes = np.random.default_rng(1).integers(0, 4, SHAPE).astype(np.uint8)
    counts = np.zeros((4, 3), dtype=np.int64)
    values_by_class(hu, classes, np.array([0, 10, -200, 300]), counts)
    for tissue, limit in ((1, 10), (2, -200), (3, 300)):
        of_class = hu[classes == tissue]
        assert counts[tissue].tolist() == [len(of_class), (of_class < limit).sum(), (of_class > limit).sum()]
    along = [np.zeros(size, dtype=np.int64) for size in SHAPE]
    counts_along(classes, 2, *along)
    for axis, found in enumerate(along):
        np.testing.assert_array_equal(found, (classes == 2).sum(axis=tuple({0, 1, 2} - {axis})))
    between = np.zeros(2, dtype=np.int64)
    within(hu, np.array([(-40_000, -300), (-200, 300)]), between)
    assert between.tolist() == [(hu < -300).sum(), ((hu > -200) & (hu < 300)).sum()]


def test_the_share_of_body_is_counted_where_it_does_not_lie_at_a_border() -> None:
    tissue = np.zeros((8, 8, 8), dtype=np.uint8)
    tissue[2:6] = 1  # a slab, its borders inside and outside at -500 and -900 HU: shares 0.5 and 0.1
    hu = np.where(tissue, -500, -900).astype(np.int16)
    out = np.zeros((6, 6, 6), dtype=np.float32)
    share_of_blocks(hu, tissue, 2, 2, 2, out)
    np.testing.assert_allclose(out[:, 2, 2], [0, 0.05, 0.75, 0.75, 0.05, 0], atol=1e-7)
    assert out[:, 0].max() == out[:, :, -1].max() == 0

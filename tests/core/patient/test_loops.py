"""The passes over all voxels beside SciPy and NumPy, which take a copy of the volume for every step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from us_sim.core.patient.grid import ball, ball_element, ball_runs, coarsen, grow, refine
from us_sim.core.patient.loops import (
    count_values,
    counts_along,
    lay_labels,
    mean_below,
    renamed,
    rows_with,
    transposed,
    values_by_class,
    within,
)
from us_sim.core.patient.signed_distance import redistance, share_of_blocks

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
    out, where = np.ones(SHAPE, dtype=bool), hu > 2980
    mean_below(hu, np.array(size), -250, 100, -30, where, out)
    wanted = where.any(axis=2)
    assert 0.1 < wanted.mean() < 0.9
    assert out[~wanted].all()
    expected = ndimage.uniform_filter(np.clip(hu, -250, 100), size) < -30
    np.testing.assert_array_equal(out[wanted], expected[wanted])


@pytest.mark.parametrize("radius", [0.5, 1.7, 3.0])
def test_a_grown_mask_is_a_dilation(hu: np.ndarray, radius: float) -> None:
    mask = hu > 2700
    mask[4:9, 5:12, 3:15] = True
    np.testing.assert_array_equal(
        grow(mask, AFFINE, radius), ndimage.binary_dilation(mask, ball_element(AFFINE, radius))
    )


def test_a_ball_is_the_sum_of_its_runs() -> None:
    oblique = np.array([[1.0, 0.3, 0, 0], [-0.2, 0.8, 0.4, 0], [0, 0.1, 0.7, 0], [0, 0, 0, 1]])
    found = [(i, j, k) for i, j, first, last in ball_runs(oblique, 2.5) for k in range(first, last + 1)]
    assert sorted(found) == sorted(map(tuple, ball(oblique, 2.5).tolist()))


@pytest.mark.parametrize("dtype", [np.bool_, np.float32])
def test_voxels_take_the_value_of_their_block(dtype: type) -> None:
    blocks: np.ndarray = np.random.default_rng(0).integers(0, 2, (4, 5, 6)).astype(dtype)
    found = refine(blocks, (4, 4, 4), SHAPE)
    i, j, k = np.indices(SHAPE) // 4
    np.testing.assert_array_equal(found, blocks[i, j, k])
    assert found.dtype == dtype


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
    counts, body = np.zeros((4, 4), dtype=np.int64), hu > 500
    values_by_class(hu, classes, body, np.array([0, 10, -200, 300]), counts)
    for tissue, limit in ((1, 10), (2, -200), (3, 300)):
        of_class = hu[classes == tissue]
        expected = [len(of_class), (of_class < limit).sum(), (of_class > limit).sum(), body[classes == tissue].sum()]
        assert counts[tissue].tolist() == expected
    along = [np.zeros(size, dtype=np.int64) for size in SHAPE]
    counts_along(classes, 2, *along)
    for axis, found in enumerate(along):
        np.testing.assert_array_equal(found, (classes == 2).sum(axis=tuple({0, 1, 2} - {axis})))
    between = np.zeros(2, dtype=np.int64)
    within(hu, np.array([(-40_000, -300), (-200, 300)]), between)
    assert between.tolist() == [(hu < -300).sum(), ((hu > -200) & (hu < 300)).sum()]


def test_label_values_are_counted_and_renamed() -> None:
    plane = np.random.default_rng(2).integers(0, 3, (30, 40)).repeat(2, axis=1).astype(np.uint16)
    plane[0, :3] = 65535
    counts, out = np.zeros(2**16, dtype=np.int64), np.empty(plane.shape, np.uint8)
    count_values(plane, counts)
    np.testing.assert_array_equal(counts, np.bincount(plane.ravel(), minlength=2**16))
    table = (np.arange(2**16) * 7 % 251).astype(np.uint8)
    renamed(plane, table, out)
    np.testing.assert_array_equal(out, table[plane])


def test_labels_are_laid_over_tissue_inside_the_body(hu: np.ndarray) -> None:
    rng = np.random.default_rng(4)
    tissue, classes = (rng.integers(0, 5, SHAPE).astype(np.uint8) for _ in range(2))
    body = rng.random(SHAPE) > 0.3
    expected = np.where(body & (classes > 0), classes, tissue)
    expected[body & (classes == 3) & (hu < -400)] = 9
    lay_labels(tissue, classes, hu, body, np.uint8(3), np.uint8(9), np.int16(-400))
    np.testing.assert_array_equal(tissue, expected)


def test_the_first_and_last_of_a_value_in_each_row() -> None:
    values = np.zeros((2, 2, 300), dtype=np.uint8)
    values[0, 1, 7:290:3] = 5
    values[1, 0, [0, 299]] = 5
    found = np.empty((2, 2, 2), dtype=np.intp)
    rows_with(values, np.uint8(5), found)
    assert found.tolist() == [[[300, -1], [7, 289]], [[0, 299], [300, -1]]]


def test_distances_are_those_of_sweeps_node_by_node() -> None:
    shape = (7, 19, 9)
    away = np.linalg.norm(np.indices(shape).T - [3.2, 8.7, 4.4], axis=-1).T - 2.2
    found = redistance((-away / 2).astype(np.float32))
    padded, inside = np.pad(away, 1, mode="edge") < 0, away < 0
    beside = [np.roll(padded, by, axis)[1:-1, 1:-1, 1:-1] for axis in range(3) for by in (-1, 1)]
    near = np.any([neighbour != inside for neighbour in beside], axis=0)
    expected = np.pad(np.where(near, np.abs(found), np.inf), 1, constant_values=np.inf)
    for signs in itertools.product((1, -1), repeat=3):
        for i, j, k in itertools.product(*(range(n)[::sign] for n, sign in zip(shape, signs, strict=True))):
            if not near[i, j, k]:
                box = expected[i : i + 3, j : j + 3, k : k + 3]
                axes = sorted([min(box[0, 1, 1], box[2, 1, 1]), min(box[1, 0, 1], box[1, 2, 1]), min(box[1, 1, ::2])])
                box[1, 1, 1] = min(box[1, 1, 1], upwind(axes))
    np.testing.assert_allclose(np.abs(found), expected[1:-1, 1:-1, 1:-1], rtol=1e-5)


def upwind(axes: list[float]) -> float:
    """Return the d of Σ max(0, d - a)² = 1 over the axes' nearest distances, by bisection."""
    low, high = axes[0], axes[0] + 1
    if not np.isfinite(low):
        return np.inf
    for _ in range(40):
        middle = 0.5 * (low + high)
        if sum(max(0.0, middle - a) ** 2 for a in axes) < 1:
            low = middle
        else:
            high = middle
    return high


def test_the_share_of_body_is_counted_where_it_does_not_lie_at_a_border() -> None:
    tissue = np.zeros((8, 8, 8), dtype=np.uint8)
    tissue[2:6] = 1  # a slab, its borders inside and outside at -500 and -900 HU: shares 0.5 and 0.1
    hu = np.where(tissue, -500, -900).astype(np.int16)
    out = np.zeros((6, 6, 6), dtype=np.float32)
    share_of_blocks(hu, tissue, 2, 2, 2, out)
    np.testing.assert_allclose(out[:, 2, 2], [0, 0.05, 0.75, 0.75, 0.05, 0], atol=1e-7)
    assert out[:, 0].max() == out[:, :, -1].max() == 0

"""Vessel trees: connected, inside, by Murray's law; and the tubes that they are painted with."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from us_sim.core.patient.detail.trees import END, Tree, grown, joined, leaves, murray, smoothed
from us_sim.core.patient.detail.tubes import noise, tube_distance

Points = NDArray[np.float64]


def in_ball(points: Points) -> NDArray[np.bool_]:
    return np.linalg.norm(points, axis=-1) < 50


def small_tree(seed: int = 0) -> tuple[Points, NDArray[np.int_], Points]:
    rng = np.random.default_rng(seed)
    wanting = rng.uniform(-50, 50, (400, 3))
    wanting = wanting[np.linalg.norm(wanting, axis=1) < 45]
    points, parent = grown(np.array([[0.0, 0, 49]]), np.array([-1]), wanting, in_ball, 5.0)
    return points, parent, wanting


def test_a_tree_is_connected_inside_and_reaches_its_ends() -> None:
    points, parent, wanting = small_tree()
    assert parent[0] == -1
    assert (parent[1:] >= 0).all()
    assert (parent[1:] < np.arange(1, len(parent))).all()  # hence every way up ends at the root
    assert in_ball(points).all()
    away = np.linalg.norm(wanting[:, None] - points[None], axis=-1).min(axis=1)
    assert np.quantile(away, 0.95) < 6.0


def test_the_same_seed_grows_the_same_tree() -> None:
    np.testing.assert_array_equal(small_tree(4)[0], small_tree(4)[0])
    assert len(small_tree(4)[0]) != len(small_tree(5)[0])


def test_calibres_obey_murray() -> None:
    """Fitted over all forks: the exponent x of Σ r_child^x = r_parent^x is 3."""
    _, parent, _ = small_tree()
    radius = murray(parent, 1.2)
    forks = [n for n in range(len(parent)) if np.count_nonzero(parent == n) > 1]
    assert len(forks) > 20
    exponents = np.linspace(2, 4, 201)
    error = [
        sum(abs((radius[parent == n] ** x).sum() - radius[n] ** x) / radius[n] ** x for n in forks) for x in exponents
    ]
    assert exponents[int(np.argmin(error))] == pytest.approx(3.0, abs=0.01)
    assert radius[0] == pytest.approx(1.2 * np.cbrt(leaves(parent)))


def test_courses_join_where_they_begin() -> None:
    trunk = (np.array([[0.0, 0, 0], [0, 0, 10], [0, 0, 20]]), np.array([3.0, 2.5, 2]))
    side = (np.array([[0.0, 0.5, 10], [0, 8, 14]]), np.array([1.5, 1.0]))
    points, parent, radius = joined([trunk, side])
    assert parent.tolist() == [-1, 0, 1, 1]
    np.testing.assert_array_equal(points[3], [0, 8, 14])
    np.testing.assert_array_equal(radius, [3, 2.5, 2, 1])


def test_smoothing_straightens_a_zigzag_and_keeps_ends() -> None:
    points = np.array([[0.0, 0, z] for z in range(5)])
    points[1::2, 0] = 1
    out = smoothed(points, np.arange(5) - 1, 1)
    np.testing.assert_allclose(out[:, 0], [0, 0.5, 0.5, 0.5, 0])


def test_a_branch_leaves_its_parent_with_its_own_calibre() -> None:
    tree = Tree(np.zeros((3, 3)), np.array([-1, 0, 0]), np.array([5.0, 4.9, 1.0]))
    _, _, first, last = tree.segments()
    np.testing.assert_allclose(first, [5.0, 1.2])
    np.testing.assert_allclose(last, END * np.array([4.9, 1.0]))


def test_distance_to_a_tube_in_an_oblique_grid() -> None:
    """Against the distance to a densely sampled axis of constant radius."""
    affine = np.array([[0.9, 0.2, 0, -9], [-0.2, 0.9, 0.1, -8], [0, -0.1, 1.1, -7], [0, 0, 0, 1]])
    start, end = np.array([[-3.0, -2, -1]]), np.array([[4.0, 3, 5]])
    distance = tube_distance((18, 18, 16), affine, (start, end, np.array([2.0]), np.array([2.0])), 4.0)
    places = np.moveaxis(np.indices(distance.shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    axis = start + np.linspace(0, 1, 2001)[:, None] * (end - start)
    expected = np.linalg.norm(places[..., None, :] - axis, axis=-1).min(axis=-1) - 2
    np.testing.assert_allclose(distance, np.minimum(expected, 4), atol=0.01)


def test_noise_has_unit_variance_and_belongs_to_the_place() -> None:
    whole = noise(np.ones((60, 60, 60), dtype=bool), np.eye(4), 8.0, 1)
    assert abs(whole.mean()) < 0.1
    assert whole.std() == pytest.approx(1, abs=0.12)
    shifted = np.eye(4)
    shifted[:3, 3] = 10, 20, 30
    part = noise(np.ones((5, 5, 5), dtype=bool), shifted, 8.0, 1)
    np.testing.assert_allclose(part, whole[10:15, 20:25, 30:35], atol=1e-4)
    assert not noise(np.zeros((5, 5, 5), dtype=bool), shifted, 8.0, 1).any()

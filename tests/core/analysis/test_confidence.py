"""Confidence by random walks: against the dense graph equations, against walks, and for images one can judge by eye."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from us_sim.core.analysis.confidence import ALPHA, BETA, GAMMA, LEAST, confidence_map, random_walk
from us_sim.core.errors import ProbeError
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset

FAN = preset("c5_2")
LINEAR = ProbeGeometry(ProbeKind.LINEAR, depth=40.0, aperture=40.0)


def dense(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Laplacian of the whole graph, edge after edge, and a general solver."""
    lines, depths = grey.shape
    c = grey * np.exp(-ALPHA * np.arange(depths) / (depths - 1))
    weights = np.zeros((lines, depths, lines, depths))
    for i, j in product(range(lines), range(depths)):
        for di, dj in product((-1, 0, 1), (-1, 0, 1)):
            k, m = i + di, j + dj
            if (di, dj) != (0, 0) and 0 <= k < lines and 0 <= m < depths:
                penalty = GAMMA * np.hypot(di, dj) if di else 0.0  # 0 along the line, γ aside, √2 γ across a corner
                weights[i, j, k, m] = np.exp(-BETA * (abs(c[i, j] - c[k, m]) + penalty)) + LEAST
    flat = weights.reshape(grey.size, grey.size)
    laplacian = np.diag(flat.sum(axis=1)) - flat
    depth = np.arange(grey.size) % depths
    known, free = (depth == 0) | (depth == depths - 1), (depth > 0) & (depth < depths - 1)
    found = (depth == 0).astype(float)
    found[free] = np.linalg.solve(laplacian[np.ix_(free, free)], -laplacian[np.ix_(free, known)] @ found[known])
    return found.reshape(grey.shape)


@pytest.mark.parametrize("shape", [(3, 4), (5, 9), (12, 7)])
def test_the_banded_solution_is_that_of_the_graph(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).random(shape)
    np.testing.assert_allclose(random_walk(grey), dense(grey), atol=1e-9)


def test_black_everywhere_falls_in_a_straight_line() -> None:
    found = random_walk(np.zeros((5, 11)))
    np.testing.assert_allclose(found, np.tile(np.linspace(1, 0, 11), (5, 1)), atol=1e-9)


def test_a_uniform_image_falls_with_depth() -> None:
    found = confidence_map(np.full((256, 256), 120, np.uint8), FAN)[:, 128]
    inside = found[FAN.fan_mask[:, 128]]
    assert (np.diff(inside) <= 0).all()
    assert inside[0] > 0.95
    assert inside[-1] < 0.05


def test_outside_the_fan_there_is_no_confidence() -> None:
    found = confidence_map(np.full((256, 256), 120, np.uint8), FAN)
    assert found.dtype == np.float32
    assert (found[~FAN.fan_mask] == 0).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_a_shadow_is_doubtful_and_what_lies_beside_it_is_not() -> None:
    image = np.full((256, 256), 120, np.uint8)
    image[60:, 100:160] = 5
    found = confidence_map(image, LINEAR)
    shadow, beside = found[120:200, 110:150], found[120:200, 10:60]
    assert shadow.max() < 0.5 * beside.min()
    assert found[10:50, 110:150].min() > 0.7  # over it


def test_a_probe_in_air_has_none() -> None:
    """Its own reverberation in the first mm, and nothing below."""
    image = np.zeros((256, 256), np.uint8)
    image[:12] = 200
    assert confidence_map(image, LINEAR)[25:].max() < 0.05


def test_left_and_right_are_alike() -> None:
    image = np.random.default_rng(1).integers(0, 255, (256, 256)).astype(np.uint8)
    np.testing.assert_allclose(
        confidence_map(image, LINEAR)[:, ::-1], confidence_map(np.ascontiguousarray(image[:, ::-1]), LINEAR), atol=1e-5
    )


@pytest.mark.parametrize("name", ["l12_5", "p4_2", "paper"])
def test_every_probe_has_a_map(name: str) -> None:
    probe = preset(name)
    found = confidence_map(np.full((probe.height, probe.width), 120, np.uint8), probe)
    assert np.isfinite(found).all()
    assert 0.1 < found[probe.fan_mask].mean() < 0.9


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ProbeError, match=r"image has shape \(10, 10\); the probe's frame asks for \(256, 256\)"):
        confidence_map(np.zeros((10, 10), np.uint8), FAN)

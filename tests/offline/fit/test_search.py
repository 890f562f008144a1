"""Least squares with a journal: the known minimum, interruption, journals of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from us_sim.core.errors import DataError
from us_sim.offline.fit.search import Array, Journal, choose, descend, huber

AIM = np.array([0.3, 0.9, 0.5])
FREE = np.array([True, True, False])
LOSS = huber(np.ones(3))


def bent(point: Array) -> Array:
    """Residuals that vanish at AIM, curved as Rosenbrock's valley."""
    x = point - AIM
    return np.array([x[0], 2 * (x[1] + 0.5 * x[0] ** 2), x[2]])


def squared(residuals: Array) -> float:
    return float(np.square(residuals).sum())


def quiet(count: int, least: float) -> None:
    pass


def test_the_known_minimum_is_found_and_what_is_fixed_stays() -> None:
    found = descend(bent, LOSS, np.array([0.5, 0.5, 0.1]), FREE, 12)
    np.testing.assert_allclose(found, [0.3, 0.9, 0.1], atol=0.01)


def test_the_best_of_some_values_is_chosen() -> None:
    assert choose(Journal(bent, squared, None, "", quiet), np.zeros(3), 2, np.linspace(0, 1, 6))[2] in (0.4, 0.6)


def test_an_interrupted_search_ends_where_the_whole_one_does(tmp_path: Path) -> None:
    whole = descend(Journal(bent, squared, None, "", quiet), LOSS, np.full(3, 0.5), FREE, 6)

    def progress(count: int, least: float) -> None:
        if count == 4:
            raise KeyboardInterrupt

    file = tmp_path / "a.journal"
    with pytest.raises(KeyboardInterrupt):
        descend(Journal(bent, squared, file, "key", progress), LOSS, np.full(3, 0.5), FREE, 6)
    counted: list[Array] = []

    def counting(point: Array) -> Array:
        counted.append(point)
        return bent(point)

    again = Journal(counting, squared, file, "key", quiet)
    np.testing.assert_array_equal(descend(again, LOSS, np.full(3, 0.5), FREE, 6), whole)
    assert len(counted) == again.count - 4


def test_a_line_cut_short_is_computed_again(tmp_path: Path) -> None:
    file = tmp_path / "a.journal"
    journal = Journal(bent, squared, file, "key", quiet)
    first, second = journal(np.zeros(3)), journal(np.ones(3))
    file.write_text(file.read_text()[:-9] + "\n")
    again = Journal(bent, squared, file, "key", quiet)
    np.testing.assert_array_equal([again(np.zeros(3)), again(np.ones(3))], [first, second])


def test_the_loss_is_quadratic_near_and_linear_far() -> None:
    weights = np.array([0.5, 0.5])
    value, slope, bend = huber(weights)(np.square(weights * [1e-2, 100.0]))
    np.testing.assert_allclose(value, [0.25e-4, 0.25 * 2 * 99.005], rtol=1e-3)
    np.testing.assert_allclose(slope, [1.0, 0.01], rtol=1e-3)
    step = 1e-6
    moved = huber(weights)(np.square(weights * [1e-2, 100.0]) + step)
    np.testing.assert_allclose((moved[1] - slope)[0] / step, bend[0], rtol=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"key": "other"}\n', "belongs to other frames or options"), ("hello\n", "is no journal of a fit")],
)
def test_journals_of_others_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "a.journal"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        Journal(bent, squared, file, "key", quiet)

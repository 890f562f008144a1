"""HU, class, border and echo side by side: each voxel is found again, also at the ends of shapes that fill no brick."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from us_sim.core.compute import prefetch
from us_sim.core.compute.bricks import LINE, ask, border_of, bricked, class_of, echo_of, hu_of, places, steps, word


@numba.njit
def read(grid, bricks):  # type: ignore[no-untyped-def]
    """HU, class, echo and border of every voxel, (4, I, J, K)."""
    along_i, along_j = steps(grid)
    found = np.empty((4, *grid.shape))
    for i in range(grid.shape[0]):
        for j in range(grid.shape[1]):
            for k in range(grid.shape[2]):
                a, b, c = places(i, j, k, along_i, along_j)
                ask(bricks, a + b + c, 0, 0, 0)
                value = word(bricks, a + b + c)
                found[0, i, j, k], found[1, i, j, k] = hu_of(value), class_of(value)
                found[2, i, j, k], found[3, i, j, k] = echo_of(value), border_of(value)
    return found


@pytest.mark.parametrize("shape", [(2, 2, 2), (5, 4, 7), (4, 3, 8)])
@pytest.mark.parametrize("loud", [True, False])
def test_every_voxel_is_found_again(shape: tuple[int, int, int], loud: bool) -> None:
    rng = np.random.default_rng(0)
    hu = rng.integers(-32768, 32768, shape).astype(np.int16)
    tissue = rng.integers(0, 14, shape).astype(np.uint8)
    echo: NDArray[np.int8] | None = rng.integers(-128, 128, shape).astype(np.int8) if loud else None
    border: NDArray[np.uint8] | None = rng.integers(1, 16, shape).astype(np.uint8) if loud else None
    bricks = bricked(hu, tissue, echo, border)
    expected = hu, tissue, np.zeros(shape) if echo is None else echo, np.ones(shape) if border is None else border
    np.testing.assert_array_equal(read(tissue, bricks), np.stack(expected))
    assert bricks.ctypes.data % LINE == 0


def test_outside_a_loop_nothing_is_asked_for() -> None:
    prefetch.line_of(np.zeros(1), 0)

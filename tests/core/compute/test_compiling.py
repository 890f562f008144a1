"""That loops are being compiled is said once, when it takes long."""

from __future__ import annotations

import numba
import pytest
from numba.core import event

from us_sim.core.compute.compiling import Compiling


@pytest.mark.parametrize(("patience", "lines"), [(0.0, 1), (60.0, 0)])
def test_compiling_is_said_once_and_only_when_it_takes_long(
    patience: float, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    inner = numba.njit(lambda x: x + 1)
    outer = numba.njit(lambda x: 2 * inner(x))
    with event.install_listener("numba:compile", Compiling(patience)):
        assert outer(3) == 8
        assert numba.njit(lambda x: x - 1)(3) == 2
        assert outer(4) == 10  # compiled
    said = [one.getMessage() for one in caplog.records if "compiling the loops" in one.getMessage()]
    assert len(said) == lines

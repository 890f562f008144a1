"""Grey maps and tints."""

from __future__ import annotations

import numpy as np
import pytest

from us_sim.viewer.look import GREY_MAPS, PLAIN, TINTS, table


@pytest.mark.parametrize("grey_map", GREY_MAPS)
@pytest.mark.parametrize("tint", TINTS)
def test_black_and_white_stay_and_brighter_stays_brighter(grey_map: str, tint: str) -> None:
    look = table(grey_map, tint)
    assert look[0].tolist() == [0, 0, 0]
    assert look[255].tolist() == [255, 255, 255]
    assert (np.diff(look.astype(int), axis=0) >= 0).all()


def test_what_they_make_of_a_dark_grey() -> None:
    """51 is 0.2 of white: S-curve 0.2² · (3 − 0.4) = 0.104; hard 0.2^1.4 = 0.105; sepia's red is 0.2^0.75 = 0.299."""
    assert PLAIN[:, 1].tolist() == list(range(256))
    assert table("S-curve")[51].tolist() == [27, 27, 27]
    assert table("hard")[51].tolist() == [27, 27, 27]
    assert table("linear", "sepia")[51].tolist() == [76, 51, 19]

"""M-mode: which scan line, what lies along it, and when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset
from us_sim.viewer.m_mode import SIZE, SPAN, MMode, column, ends, nearest_line, over_time

PROBE = ProbeGeometry(ProbeKind.LINEAR, depth=64.0, aperture=32.0, width=64, height=128, scan_lines=32, samples=64)


def test_a_column_is_what_lies_along_its_scan_line() -> None:
    """Lines lie every 1 mm, columns every 0.5 mm: line 5 at −10.5 mm lies between columns 10 and 11."""
    across = np.tile(np.arange(64, dtype=np.uint8), (128, 1))
    assert set(column(across, PROBE, 5)) <= {10, 11}
    down = np.tile(np.arange(128, dtype=np.uint8)[:, None], (1, 64))
    assert np.abs(column(down, PROBE, 5) - (2 * np.arange(64) + 0.5)).max() <= 0.5


@pytest.mark.parametrize("name", ["c5_2", "l12_5", "p4_2"])
def test_the_line_nearest_to_a_point_on_a_line_is_that_line(name: str) -> None:
    probe = preset(name)
    for line in (0, 40, 191):
        (_, (x, z)) = ends(line, probe)
        assert nearest_line(x, z, probe) == line
        assert np.hypot(*np.diff(ends(line, probe), axis=0)[0]) == pytest.approx(probe.depth)


def test_of_a_narrow_sector_the_nearest_line_is_one_that_is_shown() -> None:
    """Of 32 lines, half are 8 to 23; line 0 lies at -15.5 mm."""
    narrow = replace(PROBE, sector=0.5)
    assert [nearest_line(x, 30.0, narrow) for x in (-15.5, 0.5, 15.5)] == [8, 16, 23]


def test_each_column_stands_until_the_next_and_before_the_first_it_is_black() -> None:
    """Over 6 s and 720 pixels, columns at −3 s and −1 s: black to 360, then 100 to 600, then 200."""
    strip = over_time(np.array([[100] * 64, [200] * 64], np.uint8), np.array([-3.0, -1.0]))
    assert strip.shape == SIZE[::-1]
    row = strip[40]
    at = SIZE[0] / SPAN
    assert set(row[: round(3 * at) - 2]) == {0}
    assert set(row[round(3 * at) + 2 : round(5 * at) - 2]) == {100}
    assert set(row[round(5 * at) + 2 :]) == {200}


def test_columns_are_made_once_for_each_line() -> None:
    mode, image = MMode(), np.full((128, 64), 50, np.uint8)
    mode.line = 3
    first = mode.strip([(0, image), (10**9, image)], PROBE)
    second = mode.strip([(0, image + 99), (10**9, image), (2 * 10**9, image + 99)], PROBE)  # stamps tell them apart
    assert (first[20, -60], second[20, -60], second[20, 500]) == (50, 50, 50)
    assert second[20, -1] == 149
    mode.line = 4
    assert mode.strip([(0, image + 99), (10**9, image)], PROBE)[20, -60] == 149

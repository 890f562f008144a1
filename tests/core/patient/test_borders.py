"""Borders between voxel centres: against planes and sheets whose place is known."""

from __future__ import annotations

import numpy as np
import pytest

from us_sim.core.patient.borders import DEEP, fill_borders, forget, tenths
from us_sim.core.tissue import TissueClass as T

LIVER, FAT = np.uint8(T.LIVER), np.uint8(T.FAT)


@pytest.mark.parametrize("normal", [[0, 1, 4], [1, 2, 6], [3, 3, 4]])
def test_labels_of_a_plane_tell_where_it_runs(normal: list[float]) -> None:
    """Half-way between centres it would be 0.21 and more off in the mean, up to half a voxel."""
    unit = np.array(normal) / np.linalg.norm(normal)
    distance = np.moveaxis(np.indices((40, 40, 40)), 0, -1) @ unit - 40 * unit.sum() / 2 - 0.25
    tissue = np.where(distance < 0, LIVER, FAT)
    border = np.zeros(tissue.shape, np.uint8)
    fill_borders(tissue, border)
    near = np.zeros(tissue.shape, bool)
    near[4:-4, 4:-4, 4:-4] = True
    near &= np.abs(distance) < 0.9
    off = np.abs(border[near] / 10 - np.abs(distance[near]))
    assert off.mean() < 0.12
    assert off.max() < 0.25
    assert (border[np.abs(distance) > 2] == DEEP).all()


def test_a_sheet_of_one_voxel_keeps_a_quarter_to_each_side() -> None:
    tissue = np.full((20, 20, 20), FAT)
    tissue[10] = LIVER
    border = np.zeros(tissue.shape, np.uint8)
    fill_borders(tissue, border)
    assert (border[10, :, 4:-4] == 2).all()  # tenths, rounded to even


def test_what_is_known_stays_and_what_changed_is_forgotten() -> None:
    border = np.full((9, 9, 9), 7, np.uint8)
    changed = np.zeros(border.shape, bool)
    changed[4, 4, 4] = True
    forget(border, changed)
    assert np.count_nonzero(border == 0) == 27
    fill_borders(np.full(border.shape, LIVER), border)
    assert np.count_nonzero(border == DEEP) == 27
    assert np.count_nonzero(border == 7) == 9**3 - 27


def test_distances_become_tenths_of_a_voxel_within_four_bits() -> None:
    found = tenths(np.array([0.0, -0.3, 0.75, 9.0], np.float32), 1.5)
    np.testing.assert_array_equal(found, [1, 2, 5, 15])

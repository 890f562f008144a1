"""Tissue from HU alone, against blocks made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from us_sim.core.patient.tissue_hu import tissue_from_hu
from us_sim.core.tissue import TissueClass as T

MM = np.diag([1.0, 1.0, 1.0, 1.0])


def block(background: int, value: int, half: int, size: int = 60) -> Any:
    """A cube of one HU amid another, with its body mask: everything."""
    hu = np.full((size, size, size), background, np.int16)
    middle = slice(size // 2 - half, size // 2 + half)
    hu[middle, middle, middle] = value
    return hu, np.ones(hu.shape, bool)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (40, T.SOFT),
        (-100, T.FAT),
        (-1000, T.GAS),
        (-600, T.LUNG),
        (1000, T.BONE),
        (400, T.VESSEL),
        (-30, T.SOFT),
        (180, T.SOFT),
    ],
)
def test_tissue_of_a_block(value: int, expected: T) -> None:
    hu, body = block(40, value, 15)
    tissue = tissue_from_hu(hu, body, MM)
    assert tissue.dtype == np.uint8
    assert tissue[30, 30, 30] == expected
    assert tissue[5, 5, 5] == T.SOFT


def test_small_low_density_is_gas_not_lung() -> None:
    hu, body = block(40, -600, 5)
    assert tissue_from_hu(hu, body, MM)[30, 30, 30] == T.GAS


def test_partial_volume_around_gas_is_no_fat() -> None:
    hu, body = block(40, -100, 13)  # a rim that looks like fat, 2 voxels wide
    hu[19:41, 19:41, 19:41] = -1000
    tissue = tissue_from_hu(hu, body, MM)
    assert (tissue[30, 30, 17:19] == T.SOFT).all()
    assert (tissue[30, 41:43, 30] == T.SOFT).all()
    assert tissue[30, 30, 30] == T.GAS


def test_noise_does_not_speckle_fat() -> None:
    hu, body = block(40, -100, 15)
    noisy = (hu + np.random.default_rng(4).normal(0, 30, hu.shape)).astype(np.int16)
    tissue = tissue_from_hu(noisy, body, MM)
    assert (tissue[17:43, 17:43, 17:43] == T.FAT).mean() > 0.998
    assert (tissue[:12] == T.SOFT).mean() > 0.998


def test_dark_streaks_beside_metal_are_no_gas() -> None:
    hu, body = block(40, 3000, 5)
    hu[30, 30, 36:45] = -800
    hu[2:6, 2:6, 2:6] = -1000  # 42 mm off: real
    tissue = tissue_from_hu(hu, body, MM)
    assert (tissue[30, 30, 36:45] == T.SOFT).all()
    assert tissue[30, 30, 30] == T.BONE
    assert tissue[2, 2, 2] == T.GAS


@pytest.mark.parametrize("spacing", [0.5, 1.0, 1.5, 3.0])
def test_skin_is_as_deep_as_asked(spacing: float) -> None:
    """On a half space the skin is the voxels whose centre is within 2 mm of the surface, at least one."""
    body = np.zeros((6, 6, 20), bool)
    body[:, :, :15] = True
    depth = (15 - 0.5 - np.arange(20)) * spacing  # of the centres, from the face between voxels 14 and 15
    hu = np.where(body, 40, -1000).astype(np.int16)
    tissue = tissue_from_hu(hu, body, np.diag([spacing, spacing, spacing, 1.0]))
    expected = np.where(depth > 0, np.where(depth <= 2.0, T.SKIN, T.SOFT), T.BACKGROUND)
    np.testing.assert_array_equal(tissue, np.broadcast_to(expected, tissue.shape))


def test_skin_ends_where_the_volume_cuts_the_body() -> None:
    assert (tissue_from_hu(np.full((8, 8, 8), 40, np.int16), np.ones((8, 8, 8), bool), MM) == T.SOFT).all()


def test_skin_and_background() -> None:
    hu, body = block(-1000, 40, 20)
    body = hu > -500
    tissue = tissue_from_hu(hu, body, MM)
    assert tissue[30, 30, :].tolist() == [0] * 10 + [T.SKIN] * 2 + [T.SOFT] * 36 + [T.SKIN] * 2 + [0] * 10

"""What HU alone tells: contrast agent makes lumen, fluid is found, tone has the right order, borders echo."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from us_sim.core.patient.detail.hounsfield import DARKEST, Seen, parenchyma, seen_in
from us_sim.core.patient.tissue_hu import tissue_from_hu
from us_sim.core.tissue import TissueClass as T

SPACING = np.diag([2.0, 2.0, 2.0, 1.0])


def block(vessel: float) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Liver of 60 HU with muscle of 35 below, a tube of blood, a vertebra with a hard shell and a cyst; noise of 15."""
    hu = np.full((60, 60, 40), 60.0)
    hu[:, :18] = 35
    x, y, _ = np.indices(hu.shape)
    hu[np.hypot(x - 18, y - 38) < 6] = vessel
    shell = np.hypot(x - 42, y - 36)
    hu[shell < 10], hu[shell < 7] = 700, 190
    hu[24:36, 46:58, 10:30] = 0
    noisy = (hu + np.random.default_rng(0).normal(0, 15, hu.shape)).astype(np.int16)
    return noisy, tissue_from_hu(noisy, np.ones(hu.shape, bool), SPACING)


def share(seen: Seen, where: tuple[slice, slice, slice], tissue: T) -> float:
    return float((seen.tissue[where] == tissue).mean())


TUBE, MARROW, CYST = np.s_[16:21, 36:41, 4:36], np.s_[40:45, 34:39, 4:36], np.s_[28:32, 50:54, 14:26]


def test_blood_with_agent_is_lumen_and_marrow_is_not() -> None:
    seen = seen_in(*block(300.0), SPACING)
    assert share(seen, TUBE, T.VESSEL) > 0.99
    assert share(seen, MARROW, T.VESSEL) == 0
    assert share(seen, CYST, T.FLUID) > 0.9


def test_blood_without_agent_is_no_lumen_but_darker_than_liver() -> None:
    seen = seen_in(*block(42.0), SPACING)
    assert not (seen.tissue == T.VESSEL).any()
    liver, blood = seen.echo[4:10, 36:54, 4:36].mean(), seen.echo[TUBE].mean()
    assert blood < liver - 4


def test_tone_falls_from_parenchyma_to_muscle_and_borders_are_bright() -> None:
    seen = seen_in(*block(300.0), SPACING)
    liver, muscle = seen.echo[4:10, 40:54, 4:36], seen.echo[20:30, 4:12, 4:36]
    assert abs(liver.mean()) < 2
    assert DARKEST <= muscle.mean() < -6
    assert liver.std() < 2  # denoised: 15 HU of noise would give 4
    assert seen.echo[4:10, 17:19, 4:36].mean() > muscle.mean() + 4


def test_parenchyma_is_the_hump_of_the_histogram() -> None:
    rng = np.random.default_rng(1)
    soft = np.r_[rng.normal(52, 5, 20_000), rng.normal(110, 5, 40_000), rng.normal(-60, 20, 9_000)]
    assert parenchyma(soft.astype(np.float32)) == pytest.approx(110, abs=2)
    assert parenchyma(np.empty(0, np.float32)) == 50

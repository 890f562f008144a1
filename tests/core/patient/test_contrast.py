"""Blood with contrast agent against bone: tubes and vertebrae made by hand, and a real aorta with its masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from us_sim.core.patient.body import body_mask
from us_sim.core.patient.contrast import blood_with_contrast
from us_sim.core.patient.nifti import read_nifti
from us_sim.core.patient.tissue_hu import tissue_from_hu
from us_sim.core.tissue import TissueClass as T

MM = np.diag([1.5, 1.5, 1.5, 1.0])


def scene(level: float, noise: float = 20.0) -> tuple[Any, Any, Any]:
    """A vessel of 20 mm, a branch of 5 mm, and a vertebra: a spongy middle of 220 HU in 4 mm of cortex."""
    x, y, z = np.meshgrid(*(np.arange(n) * 1.5 for n in (60, 60, 40)), indexing="ij")
    hu = np.random.default_rng(3).normal(50, noise, x.shape)
    vessel = (x - 30) ** 2 + (y - 30) ** 2 < 10**2
    branch = ((z - 30) ** 2 + (y - 30) ** 2 < 2.5**2) & (x > 38) & (x < 60)
    distance = np.hypot(x - 30, y - 65)
    vertebra = (distance < 18) & (z > 12) & (z < 48)
    hu[vertebra] += 170
    hu[vertebra & ((distance > 14) | (z < 16) | (z > 44))] += 500
    hu[vessel | branch] += level - 50
    return np.rint(hu).astype(np.int16), vessel | branch, vertebra


@pytest.mark.parametrize("level", [300, 450, 600])
def test_a_bright_vessel_is_no_bone(level: int) -> None:
    hu, vessel, vertebra = scene(level)
    tissue = tissue_from_hu(hu, np.ones(hu.shape, bool), MM)
    assert (tissue[vessel] == T.VESSEL).mean() > 0.95
    assert (tissue[vertebra] == T.VESSEL).mean() < 0.02


def test_without_contrast_agent_there_is_none() -> None:
    hu, _, vertebra = scene(50)
    assert blood_with_contrast(hu, MM) is None
    assert (tissue_from_hu(hu, np.ones(hu.shape, bool), MM)[vertebra] == T.BONE).mean() > 0.5


def test_a_real_aorta_in_the_arterial_phase(shared_data: Path) -> None:
    """At most 6 % of it is bone (3.5 % is the metal of a stent); T12 keeps its 57 %; the heart is blood."""
    ct = read_nifti(shared_data / "ct_aorta" / "ct.nii.gz")
    masks = read_nifti(shared_data / "ct_aorta" / "masks.nii.gz").voxels
    tissue = tissue_from_hu(ct.voxels, body_mask(ct.voxels, ct.ct_from_voxel), ct.ct_from_voxel)
    assert (tissue[masks == 1] == T.BONE).mean() < 0.06
    assert (tissue[masks == 1] == T.VESSEL).mean() > 0.75
    assert (tissue[(masks == 2) | (masks == 3)] == T.VESSEL).mean() > 0.9
    assert (tissue[masks == 4] == T.BONE).mean() > 0.56
    assert (tissue[masks == 4] == T.VESSEL).mean() < 0.02
    heart = tissue[35:95, 20:55, 60]  # the chambers; their muscle stays soft
    bright = ct.voxels[35:95, 20:55, 60] > 300
    assert (heart[bright] == T.VESSEL).mean() > 0.95


@pytest.mark.parametrize("name", ["ct_abdomen/ct.nii.gz"])
def test_a_real_scan_without_agent_has_none(shared_data: Path, name: str) -> None:
    ct = read_nifti(shared_data / name)
    assert blood_with_contrast(ct.voxels.astype(np.int16), ct.ct_from_voxel) is None

"""A small patient with what the tasks look for, in a folder that environments map."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.patients import HU, grid_points, patient_of

from us_sim.core.patient.patient import Patient
from us_sim.core.tissue import TissueClass as T
from us_sim.gym.patients import save_patient

KIDNEY = np.array([20.0, 20.0, 0.0])  # its middle, mm
NECK = np.array([-22.0, 20.0, 18.0])  # of the gallbladder: its end at the portal vein
PORTA = np.array([-20.0, 0.0, 20.0])  # the portal vein, mm


def kidney_patient() -> Patient:
    """A cube of liver under skin, with a kidney that is long along z, a portal vein, a vena cava and a gallbladder."""
    points = grid_points()
    reach = np.abs(points).max(axis=-1)
    tissue = np.full(reach.shape, T.BACKGROUND, dtype=np.uint8)
    tissue[reach <= 64] = T.SKIN
    tissue[reach <= 60] = T.LIVER
    for organ, centre, axes in (
        (T.KIDNEY, KIDNEY, (14, 14, 28)),
        (T.VESSEL, PORTA, (8, 8, 8)),
        (T.FLUID, (-22, 20, -4), (8, 8, 24)),
    ):
        tissue[(((points - centre) / axes) ** 2).sum(axis=-1) <= 1] = organ
    cava = (np.hypot(points[..., 0] - 20, points[..., 1] + 36) <= 8) & (reach <= 60)
    tissue[cava] = T.VESSEL
    return patient_of(np.array([HU.get(c, 0) for c in T])[tissue], tissue)


@pytest.fixture(scope="session")
def patient() -> Patient:
    return kidney_patient()


@pytest.fixture(scope="session")
def folder(patient: Patient, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_patient(patient, tmp_path_factory.mktemp("patient") / "kidney"))

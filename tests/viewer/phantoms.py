"""A patient whose kidneys' lengths are known."""

from __future__ import annotations

import numpy as np

from us_sim.core.patient.patient import Patient
from us_sim.core.patient.surface import skin_of
from us_sim.core.patient.volume import CtVolume
from us_sim.core.tissue import TissueClass

LENGTH = 100.0  # mm, of both kidneys, along the body


def torso() -> Patient:
    """An ellipsoid of soft tissue with two kidneys, upright, the right one at x = 50 mm."""
    axes = [np.arange(-100.0, 101.0, 4.0), np.arange(-80.0, 81.0, 4.0), np.arange(-120.0, 121.0, 4.0)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    body = (x / 95) ** 2 + (y / 75) ** 2 + (z / 115) ** 2 <= 1
    tissue = np.where(body, TissueClass.SOFT, TissueClass.BACKGROUND).astype(np.uint8)
    for side in (-50.0, 50.0):
        tissue[((x - side) / 18) ** 2 + (y / 18) ** 2 + (z / (LENGTH / 2)) ** 2 <= 1] = TissueClass.KIDNEY
    ct_from_voxel = np.diag([4.0, 4.0, 4.0, 1.0])
    ct_from_voxel[:3, 3] = -100.0, -80.0, -120.0
    hu = np.where(body, 40, -1000).astype(np.int16)
    volume = CtVolume(hu=hu, tissue=tissue, ct_from_voxel=ct_from_voxel, name="torso", sha256="70" * 32)
    return Patient(volume, skin_of(volume))

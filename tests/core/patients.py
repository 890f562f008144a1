"""Tiny patients whose every voxel is known, and poses on them; built in memory, without files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from us_sim.core.geometry.transforms import Matrix, pose_on_skin
from us_sim.core.patient.patient import Patient
from us_sim.core.patient.surface import skin_of
from us_sim.core.patient.volume import CtVolume
from us_sim.core.tissue import TissueClass

SIZE, SPACING = 40, 4.0  # voxels and mm along each axis
HALF_BOX, SKIN = 64.0, 4.0  # mm
ANTERIOR, LEFT = (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)

HU = {
    TissueClass.BACKGROUND: -1000,
    TissueClass.SKIN: 30,
    TissueClass.LIVER: 60,
    TissueClass.VESSEL: 45,
    TissueClass.BONE: 700,
    TissueClass.GAS: -950,
}


def volume_of(hu: ArrayLike, tissue: ArrayLike | None = None, ct_from_voxel: ArrayLike | None = None) -> CtVolume:
    """A CT from its arrays; all soft tissue and 1 mm voxels, if not said otherwise."""
    voxels = np.ascontiguousarray(hu, dtype=np.int16)
    classes = np.full(voxels.shape, TissueClass.SOFT) if tissue is None else np.asarray(tissue)
    affine = np.eye(4) if ct_from_voxel is None else np.asarray(ct_from_voxel, dtype=np.float64)
    return CtVolume(voxels, np.ascontiguousarray(classes, dtype=np.uint8), affine, "synthetic", "0" * 64)


def grid_points() -> NDArray[np.float64]:
    """(40, 40, 40, 3) mm of the voxel centres; the middle of the grid is the origin."""
    axis = (np.arange(SIZE) - 0.5 * (SIZE - 1)) * SPACING
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def box_patient(noise: float = 8.0) -> Patient:
    """A cube of liver of 128 mm under 4 mm of skin; a vessel, a bone and a gas bubble, on no axis of symmetry."""
    points = grid_points()
    reach = np.abs(points).max(axis=-1)
    tissue = np.full(reach.shape, TissueClass.BACKGROUND, dtype=np.uint8)
    tissue[reach <= HALF_BOX] = TissueClass.SKIN
    tissue[reach <= HALF_BOX - SKIN] = TissueClass.LIVER
    for organ, centre, radius in (
        (TissueClass.VESSEL, (10, 20, 5), 12.0),
        (TissueClass.BONE, (-22, 34, -4), 10.0),
        (TissueClass.GAS, (24, -16, 12), 14.0),
    ):
        tissue[np.linalg.norm(points - centre, axis=-1) <= radius] = organ
    hu = np.array([HU.get(c, 0) for c in TissueClass])[tissue]
    grain = np.random.default_rng(5).normal(0, noise, hu.shape) * (tissue > 0)
    return patient_of(np.rint(hu + grain), tissue)


def patient_of(hu: ArrayLike, tissue: ArrayLike) -> Patient:
    """A patient on the grid of `grid_points`, with its skin."""
    ct_from_voxel = np.diag([SPACING, SPACING, SPACING, 1.0])
    ct_from_voxel[:3, 3] = -0.5 * (SIZE - 1) * SPACING
    volume = volume_of(hu, tissue, ct_from_voxel)
    return Patient(volume, skin_of(volume))


def on_the_box(x: float = 0.0, z: float = 0.0, pressed: float = 3.0) -> Matrix:
    """Pose at (x, z) on the box's anterior side, the beam to posterior, the image's right to the patient's left."""
    return pose_on_skin((x, HALF_BOX - pressed, z), ANTERIOR, LEFT)


def rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random (3, 3) rotation, from the QR decomposition of a normal matrix."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return np.asarray(q * np.linalg.det(q))


def affine(matrix: ArrayLike, translation: ArrayLike) -> NDArray[Any]:
    """The 4×4 of any (3, 3) matrix and translation."""
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = matrix, translation
    return out

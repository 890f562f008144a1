"""A patient holds together volume, skin and meshes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from us_sim.core.errors import PatientError
from us_sim.core.patient.patient import Patient, builtin_patient, load_patient
from us_sim.core.patient.surface import SKIN_FACES, alignment_error
from us_sim.core.tissue import TissueClass


@pytest.fixture(scope="module")
def builtin() -> Patient:
    return builtin_patient()


def test_builtin_patient_is_the_phantom(builtin: Patient) -> None:
    assert builtin.name == "phantom-0"
    assert builtin.sha256 == builtin.volume.sha256
    assert builtin.warnings == builtin.volume.warnings
    inside = builtin.volume.ct_from_voxel @ [*(np.array(builtin.volume.hu.shape) / 2), 1]
    assert builtin.skin.distance_at(inside[:3]) < -30


def test_meshes_are_made_once_and_lie_on_the_volume(builtin: Patient) -> None:
    assert builtin.skin_mesh is builtin.skin_mesh
    assert builtin.organ_meshes is builtin.organ_meshes
    assert builtin.skin_mesh.is_watertight
    assert len(builtin.skin_mesh.faces) < SKIN_FACES
    assert alignment_error(builtin.skin_mesh, builtin.volume) < 1.5
    assert TissueClass.LIVER in builtin.organ_meshes


def test_a_mesh_beside_its_ct_is_reported(builtin: Patient) -> None:
    """The CT moved by 20 mm under a skin that stays: the message gives about that distance."""
    assert builtin.misalignment() is None
    moved = builtin.volume.ct_from_voxel.copy()
    moved[:3, 3] += 20.0, 0.0, 0.0
    apart = Patient(replace(builtin.volume, ct_from_voxel=moved), builtin.skin)
    found = apart.misalignment()
    assert found is not None
    assert re.fullmatch(r"skin mesh and CT of phantom-0 lie [12]\d\.\d mm apart; expected at most 2\.0 mm", found)


def test_loaded_patient(shared_data: Path) -> None:
    folder = shared_data / "ct_abdomen"
    patient = load_patient(folder / "ct.nii.gz", folder / "labels.nii.gz")
    assert patient.name == patient.volume.name == "ct"
    assert patient.misalignment() is None
    assert TissueClass.KIDNEY in patient.organ_meshes


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PatientError, match=r"nobody\.nii\.gz"):
        load_patient(tmp_path / "nobody.nii.gz")

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Patients to draw from: opened once a process, or kept in a folder that all processes map into memory."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from us_sim.core.errors import PatientError
from us_sim.core.files import atomic_write
from us_sim.core.patient.patient import Patient, builtin_patient, load_patient
from us_sim.core.patient.surface import Skin
from us_sim.core.patient.volume import CtVolume

ABOUT = "patient.json"
KEPT = 8  # patients a process holds open


@lru_cache(maxsize=KEPT)
def open_patient(source: int | str, detail: bool = False) -> Patient:
    """Return the phantom of a seed, or the patient of a CT file, DICOM folder or folder from `save_patient`.

    Raises:
        PatientError: the patient cannot be used.
    """
    if isinstance(source, int):
        return builtin_patient(source, detail)
    if (Path(source) / ABOUT).exists():
        return mapped_patient(Path(source))
    return load_patient(source, detail=detail)


def save_patient(patient: Patient, folder: Path) -> Path:
    """Write a patient so that any number of processes open it in no time, and share its memory; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    volume, skin = patient.volume, patient.skin
    arrays = {"hu": volume.hu, "tissue": volume.tissue, "echo": volume.echo, "distance": skin.distance}
    for name, array in arrays.items():
        if array is not None:
            with atomic_write(folder / f"{name}.npy") as partial, partial.open("wb") as stream:
                np.save(stream, np.asarray(array))
    about = {
        "name": volume.name, "sha256": volume.sha256, "ct_from_voxel": volume.ct_from_voxel.tolist(),
        "ct_from_grid": skin.ct_from_grid.tolist(), "arrays": [n for n, array in arrays.items() if array is not None],
    }  # fmt: skip
    with atomic_write(folder / ABOUT) as partial:
        partial.write_text(json.dumps(about, indent=1) + "\n")
    return folder


def mapped_patient(folder: Path) -> Patient:
    """Return a patient from `save_patient`; its arrays are pages of the files, which processes share.

    Raises:
        PatientError: the folder holds no such patient.
    """
    try:
        about = json.loads((folder / ABOUT).read_text())
        # Copy on write: pages are shared until written, and loops compiled for writable arrays take them.
        arrays = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in about["arrays"]}
        affines = [np.array(about[name], dtype=np.float64) for name in ("ct_from_voxel", "ct_from_grid")]
        name, sha256 = str(about["name"]), str(about["sha256"])
        volume = CtVolume(arrays["hu"], arrays["tissue"], affines[0], name, sha256, echo=arrays.get("echo"))
        return Patient(volume, Skin(arrays["distance"], affines[1]))
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise PatientError(f"{folder} holds no patient of save_patient ({error}); save it again") from None

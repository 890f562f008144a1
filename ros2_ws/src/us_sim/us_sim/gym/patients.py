# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Patients to draw from: opened once a process, or kept in a folder that all processes map into memory."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from us_sim.core.patient.kept import ABOUT, mapped, write_kept
from us_sim.core.patient.patient import Patient, builtin_patient, load_patient

KEPT = 8  # patients a process holds open


@lru_cache(maxsize=KEPT)
def open_patient(source: int | str | Path, detail: bool = False) -> Patient:
    """Return the phantom of a seed, or the patient of a CT file, DICOM folder or folder from `save_patient`.

    Raises:
        PatientError: the patient cannot be used.
    """
    if isinstance(source, (int, np.integer)):
        return builtin_patient(int(source), detail)
    if (Path(source) / ABOUT).exists():
        return mapped_patient(Path(source))
    return load_patient(source, detail=detail)


def save_patient(patient: Patient, folder: Path) -> Path:
    """Write a patient so that any number of processes open it in no time, and share its memory; return the folder."""
    write_kept(patient.volume, patient.skin, folder)
    return folder


def mapped_patient(folder: Path) -> Patient:
    """Return a patient from `save_patient`; its arrays are pages of the files, which processes share.

    Raises:
        PatientError: the folder holds no such patient.
    """
    return Patient(*mapped(folder))

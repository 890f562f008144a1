# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Compile what frames are made of ahead of the first one: python -m us_sim.offline.compile

The set-up runs it. Compiled loops are kept on disk beside the sources (or in NUMBA_CACHE_DIR); what changes is compiled
again when it is first used.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel
import numpy as np

from us_sim.core.assembly import open_generator
from us_sim.core.command import as_command
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.geometry.probe import preset
from us_sim.core.patient.patient import builtin_patient, load_patient
from us_sim.core.robot.motion import motion
from us_sim.core.simulator import Simulator

GENERATOR = "abdomen_lite"  # its loops are those of every shipped one


def compile_all() -> None:
    """Render what takes every loop: rigid, pressed and breathing; thin and thick slices; each renderer."""
    patient, probe = builtin_patient(0), preset("c5_2")
    pose = next(iter(motion("liver_sweep", patient, 1)))
    moving = Simulator(patient, probe, device="cpu", mechanics=MechanicsSettings(breathing_amplitude=10.0))
    for renderer in ("physics", "ct"):
        moving.render(pose, renderer=renderer, times=[1.0])
    moving.render(pose, image=False, ct_slice=False)
    thick = moving.replace(probe=replace(probe, elevation_planes=3), generator=open_generator(GENERATOR, "cpu"))
    thick.render(pose, renderer="generator")
    moving.touch(np.asarray(pose))
    with TemporaryDirectory() as folder:
        prepare_ct(Path(folder))


def prepare_ct(folder: Path) -> None:
    """Prepare a ball of liver as a CT with labels and without: the loops between the files and the patient."""
    reach = np.linalg.norm(np.indices((40, 40, 40)).T - 19.5, axis=-1)
    for name, voxels in (("ct", np.where(reach < 17, 60, -1000)), ("liver", reach < 12)):
        dtype = np.int16 if name == "ct" else np.uint8
        nibabel.save(nibabel.Nifti1Image(voxels.astype(dtype), np.diag([3.0, 3, 3, 1])), folder / f"{name}.nii")
    load_patient(folder / "ct.nii", folder / "liver.nii")
    load_patient(folder / "ct.nii", seed=1)


@as_command("us_sim.offline.compile")
def main(argv: list[str] | None = None) -> int:
    """Compile, and say how long it took."""
    argparse.ArgumentParser(prog="us_sim.offline.compile", description=(__doc__ or "").splitlines()[0]).parse_args(argv)
    start = time.perf_counter()
    compile_all()
    print(f"compiled loops are ready, {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

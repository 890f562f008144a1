# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What a large CT takes to load, for the first time and again: python -m us_sim.bench.loading

An ellipsoid with a liver in it and noise, as NIfTI with labels; each load in a process of its own, with an empty cache.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import nibabel
import numpy as np

from us_sim.core.command import as_command

SHAPE = (512, 512, 600)
SPACING = (0.7, 0.6, 0.55)  # mm
_LOAD = """
import resource, sys, time
from us_sim.core.patient.patient import load_patient
cpu, wall = time.process_time(), time.perf_counter()
patient = load_patient(*sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
print(patient.origin.partition(" ")[0], cpu, wall, peak)
"""


def write_ct(folder: Path, shape: tuple[int, int, int] = SHAPE) -> tuple[Path, Path]:
    """Write a CT and its labels; return their paths."""
    x, y, z = (np.linspace(-1, 1, size, dtype=np.float32) for size in shape)
    rng = np.random.default_rng(0)
    hu, labels = np.empty(shape, dtype=np.int16), np.empty(shape, dtype=np.uint8)
    for i in range(shape[0]):
        reach = (x[i] / 0.9) ** 2 + (y[:, None] / 0.8) ** 2 + 0 * z
        liver = ((x[i] - 0.3) / 0.4) ** 2 + (y[:, None] / 0.4) ** 2 + (z / 0.4) ** 2 < 1
        hu[i] = np.where(reach < 1, np.where(liver, 60, np.where(reach > 0.8, -90, 40)), -1000)
        hu[i] += np.rint(rng.normal(0, 12, shape[1:])).astype(np.int16)
        labels[i] = liver
    for name, voxels in (("ct", hu), ("liver", labels)):
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*SPACING, 1.0])), folder / f"{name}.nii.gz")
    return folder / "ct.nii.gz", folder / "liver.nii.gz"


class Load(NamedTuple):
    """What a load took: CPU time and elapsed time in s, peak memory in MB; and where the patient came from."""

    origin: str
    cpu: float
    elapsed: float
    peak: float

    def __str__(self) -> str:
        return f"{self.origin:<8} {self.cpu:6.1f} s CPU {self.elapsed:6.1f} s {self.peak:6.0f} MB"


def loads(shape: tuple[int, int, int] = SHAPE) -> Iterator[Load]:
    """Yield what the first and the second load of a CT take."""
    with TemporaryDirectory() as folder:
        files = write_ct(Path(folder), shape)
        for _ in range(2):
            yield loaded(*files, Path(folder) / "cache")


def loaded(ct: Path, labels: Path, cache: Path) -> Load:
    """Load it in a new process; return what it took."""
    environment = {**os.environ, "US_SIM_CACHE": str(cache)}
    command = [sys.executable, "-c", _LOAD, str(ct), str(labels)]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    origin, *figures = said.split()
    return Load(origin, *map(float, figures))


@as_command("us_sim.bench.loading")
def main(argv: list[str] | None = None) -> int:
    """Write the CT, load it twice, and print what each load took."""
    parser = argparse.ArgumentParser(prog="us_sim.bench.loading", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE, help="voxels along each axis (512 512 600)")
    shape = parser.parse_args(argv).shape
    for load in loads((shape[0], shape[1], shape[2])):
        print(load, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

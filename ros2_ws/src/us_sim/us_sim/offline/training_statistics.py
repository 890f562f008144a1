# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Learn what is usual for a generator and keep it in its file: python -m us_sim.offline.training_statistics FILE

Slices of phantoms like those of its training, and of others that are held out, are seen along every motion; of a CT
that it was trained on, every other slice is held out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from us_sim.core.command import as_command
from us_sim.core.generator.artifact import Generator, load_generator, save_generator
from us_sim.core.generator.motion_slices import motion_slices
from us_sim.core.generator.out_of_distribution import learned
from us_sim.core.patient.patient import Patient, builtin_patient, load_patient

TRAINING, HELD_OUT = range(8), range(2000, 2004)  # seeds of phantoms
VIEWS = 12  # poses of each motion


@torch.inference_mode()
def seen(generator: Generator, patients: Iterable[tuple[int, Patient]]) -> Tensor:
    """Return the bottleneck, (N, 2 F), at slices of patients, each with the seed of its scatterers."""
    return torch.cat([
        generator.network.drawn(one.read()).bottleneck
        for seed, patient in patients
        for one in motion_slices(generator, patient, seed, VIEWS)
    ])  # fmt: skip


@as_command("us_sim.offline.training_statistics")
def main(argv: list[str] | None = None) -> int:
    """Look at the phantoms, and write the file again with what was found."""
    parser = argparse.ArgumentParser(
        prog="us_sim.offline.training_statistics", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("generator", type=Path, help="artifact, .safetensors; it is written anew")
    parser.add_argument("--patient", nargs=2, metavar=("CT", "LABELS"), help="a CT that it was trained on as well")
    given = parser.parse_args(argv)
    file, generator = given.generator, load_generator(given.generator)
    training, others = (
        seen(generator, ((s, builtin_patient(s, keep=False)) for s in seeds)) for seeds in (TRAINING, HELD_OUT)
    )
    if given.patient:
        real = seen(generator, [(0, load_patient(*given.patient))])
        training, others = torch.cat([training, real[::2]]), torch.cat([others, real[1::2]])
    statistics = learned(training, others)
    save_generator(file, generator.network, generator.card, statistics, generator.heads)
    print(f"{file}: {len(training)} slices, {len(others)} held out, limit {float(statistics.limit):.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

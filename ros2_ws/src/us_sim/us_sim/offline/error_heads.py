# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Fit what tells a generator's error, and keep it in its file: python -m us_sim.offline.error_heads FILE

Phantoms that no generator was trained on are seen along every motion; the error is the difference between what is
drawn and the physics frame of the same scatterers. Others give the factor, and others again show what it is worth.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from us_sim.core.command import as_command
from us_sim.core.generator.artifact import Generator, load_generator, save_generator
from us_sim.core.generator.encoding import decode
from us_sim.core.generator.motion_slices import motion_slices
from us_sim.core.generator.uncertainty import WITHIN, ErrorHeads, calibrated, fitted, moments
from us_sim.core.patient.patient import builtin_patient

FITTED, CALIBRATED, SHOWN = range(2100, 2108), range(2000, 2004), range(2004, 2008)  # seeds of phantoms
VIEWS = 4  # poses of each motion
BINS = 5


@torch.inference_mode()
def seen(generator: Generator, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield last features, (1, F, h, w), and errors, (1, h, w) grey levels, NaN outside the fan, along a phantom."""
    card = generator.card
    fan = torch.ones(card.size, dtype=torch.bool) if card.grid == "polar" else torch.tensor(card.probe.fan_mask)
    for one in motion_slices(generator, builtin_patient(seed), seed, VIEWS):
        read = one.read()
        error = decode(generator.network(read)) - one.physics()
        yield generator.network.last_features(read), torch.where(fan, error, torch.nan)


def told(generator: Generator, heads: ErrorHeads, seeds: range) -> tuple[Tensor, Tensor]:
    """Return what the heads tell and the errors, (N,) of all pixels of phantoms."""
    found = []
    for seed in seeds:
        for features, errors in seen(generator, seed):
            known = errors.isfinite()
            found.append((heads.told(features)[known], errors[known].abs()))
    expected, errors = (torch.cat(column) for column in zip(*found, strict=True))
    return expected, errors


def table(expected: Tensor, errors: Tensor) -> Table:
    """Return, for fifths of the pixels by what is told of them, what is told and what is true."""
    made = Table("pixels", "told, grey levels", "68 % of errors below", "share of errors below what is told")
    parts = np.array_split(expected.argsort().numpy(), BINS)
    for name, part in [*((f"fifth {n + 1}", part) for n, part in enumerate(parts)), ("all", np.concatenate(parts))]:
        own, error = expected[part], errors[part].sort().values
        below = float((errors[part] < own).float().mean())
        made.add_row(name, f"{float(own.mean()):.1f}", f"{float(error[int(WITHIN * len(error))]):.1f}", f"{below:.2f}")
    return made


@as_command("us_sim.offline.error_heads")
def main(argv: list[str] | None = None) -> int:
    """Fit and calibrate the heads, write the file again with them, and print how well they tell."""
    parser = argparse.ArgumentParser(prog="us_sim.offline.error_heads", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("generator", type=Path, help="artifact, .safetensors; it is written anew")
    given = parser.parse_args(argv)
    generator = load_generator(given.generator)
    patients = []
    for seed in FITTED:
        both = [torch.cat(column) for column in zip(*seen(generator, seed), strict=True)]
        patients.append(moments(*both))
    heads = fitted(patients)
    heads = calibrated(heads, *told(generator, heads, CALIBRATED))
    save_generator(given.generator, generator.network, generator.card, generator.statistics, heads)
    Console(width=100).print(table(*told(generator, heads, SHOWN)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

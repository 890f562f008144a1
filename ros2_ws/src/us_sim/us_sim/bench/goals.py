# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What the project wants to be fast at beside what this machine shows, one table: python -m us_sim.bench.goals

Ratios compare what takes turns in one run. Times are those of this machine: leave it alone while it measures. The limit
is what its cores would reach if all worked without a pause, from the CPU time or the arithmetic of the same run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from us_sim.bench import against, batch, frame_profile, generators, loading, suite
from us_sim.bench.timing import machine, milliseconds
from us_sim.core.assembly import open_generator
from us_sim.core.command import as_command
from us_sim.core.compute.cores import cores
from us_sim.core.generator.backend import CPU
from us_sim.core.generator.inference import accelerated
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.robot.motion import motion
from us_sim.core.simulator import Simulator

LARGE = 512  # rows and columns of a large frame


class Goal(NamedTuple):
    """One row: what was found and what is wanted, both in `unit`; `least`: more is better; `limit` of this machine."""

    what: str
    found: float
    wanted: float
    unit: str
    least: bool = True
    limit: str = ""

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.found >= self.wanted if self.least else self.found <= self.wanted


def physics(other: Path | None, poses: int) -> Iterator[Goal]:
    """A physics frame against another checkout, CPU time on one thread."""
    if other is None:
        Console(stderr=True).print("physics frame left out: --other gives a checkout to compare it with")
        return
    then, now = map(np.array, against.compared(other.resolve(), ["physics"], poses)["physics"])
    yield Goal("physics frame", float(np.median(then / now)), 1.8, "times the other checkout")


def batches(other: Path | None, repeats: int) -> Iterator[Goal]:
    """A batch of 64 against single calls of this version, and of the other checkout."""
    rows = batch.rows(repeats, None if other is None else other.resolve())
    for (_, alone), (name, row) in zip(*[iter(rows.items())] * 2, strict=True):
        limit = f"{row['most']:.1f}: {alone['cpu']:.2f} ms of CPU alone, {row['cpu']:.2f} in a batch"
        yield Goal(name, row["over_single"], 2.5, "times single calls", limit=limit)
        if "over_other" in row:
            yield Goal(name, row["over_other"], 2.5, "times the other's")


def planes(repeats: int) -> Iterator[Goal]:
    """Random planes of a large CT against other libraries."""
    rows = suite.slices(repeats)
    ours = rows["us_sim reslice, random planes"]
    for library, wanted in (("scipy map_coordinates", 8.0), ("VTK vtkImageReslice", 2.5)):
        if (row := rows.get(f"{library}, random planes")) is not None:
            limit = f"{row['cpu']:.2f} ms of CPU there, {ours['cpu']:.2f} here"
            yield Goal(f"random planes over {library}", row["median"] / ours["median"], wanted, "times", limit=limit)


def learned(repeats: int) -> Iterator[Goal]:
    """Frames of generators: all but the network, at 512×512, and the paper's network."""
    patient = builtin_patient(0)
    rows = generators.frames("abdomen", open_generator("abdomen", "cpu"), patient, repeats)
    besides = next(row for name, row in rows.items() if name.endswith("labels, all but the network"))
    limit = f"{besides['cpu'] / cores():.1f}: {besides['cpu']:.1f} ms of CPU"
    yield Goal("abdomen, all but the network", besides["median"], 5.0, "ms", least=False, limit=limit)
    lite = open_generator("abdomen_lite", "cpu")
    large = replace(lite.card.probe, width=LARGE, height=LARGE)
    simulator = Simulator(patient, large, renderer="generator", generator=lite, device="cpu")
    image = partial(simulator.render, ct_slice=False, labels=False)
    row = milliseconds(image, list(motion("liver_sweep", patient, repeats)))
    yield Goal(f"abdomen_lite, {LARGE}x{LARGE}", 1e3 / row["median"], 30.0, "frames a second")


def paper(repeats: int) -> Iterator[Goal]:
    """The paper-sized network on the best backend of the CPU."""
    made = generators.random_generator(generators.RANDOM[generators.PAPER])
    slices = generators.seen(made, builtin_patient(0), repeats)
    with torch.inference_mode():
        row = milliseconds(partial(generators.waited, accelerated(made, CPU).backend), slices.split(1))
    work, rate = made.network.flop(*made.card.size), 2 * frame_profile.arithmetic(CPU, torch.bfloat16)
    limit = f"{rate / work:.0f}: {work / 1e9:.1f} GFLOP at {rate / 1e9:.0f} GFLOP/s, twice the rate of 16 bits"
    yield Goal("paper-sized network", 1e3 / row["median"], 30.0, "frames a second", limit=limit)


def loads() -> Iterator[Goal]:
    """A CT of 512×512×600 with labels, for the first time and again."""
    first, again = loading.loads()
    yield Goal("512x512x600 CT with labels, first load", first.cpu, 12.0, "s of CPU", least=False)
    yield Goal("the same, peak memory", first.peak / 1e3, 2.0, "GB", least=False)
    yield Goal("the same, second load", again.elapsed, 2.0, "s", least=False)


def starts(count: int) -> Iterator[Goal]:
    """`make sim` to its first frame; nothing where ROS is missing. It runs as a command: what needs ROS stays there."""
    command = [sys.executable, "-m", "us_sim.bringup.start_time", "--starts", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        Console(stderr=True).print(f"start left out: {last}", markup=False)
        return
    yield Goal("make sim, second start to the first frame", float(done.stdout.split()[-2]), 8.0, "s", least=False)


def shown(goals: Iterator[Goal], table: Table) -> None:
    """Add the goals to the table as they are found."""
    for goal in goals:
        sign = "at least" if goal.least else "at most"
        met = "met" if goal.met else "missed"
        table.add_row(goal.what, f"{goal.found:.2f} {goal.unit}", f"{sign} {goal.wanted:g}", met, goal.limit)


@as_command("us_sim.bench.goals")
def main(argv: list[str] | None = None) -> int:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(prog="us_sim.bench.goals", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--other", type=Path, help="checkout of an earlier version, for physics frames and batches")
    parser.add_argument("--repeats", type=int, default=30, help="poses of each measurement (30)")
    given = parser.parse_args(argv)
    table = Table("what", "here", "goal", "", "limit here")
    for goals in (
        physics(given.other, given.repeats), batches(given.other, given.repeats), planes(given.repeats),
        learned(given.repeats), paper(given.repeats), loads(), starts(3),
    ):  # fmt: skip
        shown(goals, table)
    console = Console(width=150)
    console.print(suite.described(machine()))
    console.print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

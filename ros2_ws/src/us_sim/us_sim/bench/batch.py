# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What a batch of poses gains over single calls, and how many steps a second many environments make.

python -m us_sim.bench.batch             # 64 poses in a batch against 64 single calls
python -m us_sim.bench.batch --other ../other   # and against those of another checkout, in turns
python -m us_sim.bench.batch --steps 20  # steps of 1 to 256 environments, in three minutes
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from us_sim.bench import against
from us_sim.bench.timing import Row, in_turns
from us_sim.core.command import as_command
from us_sim.core.compute.cores import cores
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.robot.motion import motion

if TYPE_CHECKING:
    from us_sim import Simulator
    from us_sim.core.patient.patient import Patient

POSES = 64


def simulators(patient: Patient) -> Iterator[tuple[str, Simulator, dict[str, Any]]]:
    """Name, simulator and outputs of each row; the patient is deformed under the probe. Any version runs this text."""
    from us_sim import Simulator, open_generator
    from us_sim.core.contact.mechanics import MechanicsSettings
    from us_sim.core.geometry.probe import preset
    from us_sim.gym.config import EpisodeConfig  # of an extra

    mechanics, labels, image = (
        MechanicsSettings(),
        {"image": False, "ct_slice": False},
        {"ct_slice": False, "labels": False},
    )
    for kind, outputs, sizes in (("labels", labels, (64, 256)), ("physics", image, (64, 128))):
        for size in sizes:
            probe = EpisodeConfig(size=size).geometry
            yield f"{kind} {size}x{size}", Simulator(patient, probe, mechanics=mechanics), outputs
    lite = open_generator("abdomen_lite")
    yield "lite", Simulator(patient, preset("c5_2"), renderer="generator", generator=lite, mechanics=mechanics), image


def serve(count: int) -> None:
    """Answer the name of a row once so many single calls are done; any version runs this text."""
    from us_sim import builtin_patient, motion

    patient = builtin_patient(0)
    poses = list(motion("liver_sweep", patient, count))
    made = {name: (simulator, outputs) for name, simulator, outputs in simulators(patient)}
    print("ready", flush=True)
    for line in sys.stdin:
        simulator, outputs = made[line.strip()]
        for pose in poses:
            simulator.render(pose, **outputs)
        print("done", flush=True)


def rows(repeats: int, other: Path | None = None) -> dict[str, Row]:
    """Time a batch of POSES against as many single calls, in turns, ms a frame.

    `over_single` is what it gains, `over_other` over single calls of another checkout, and `most` what it would gain if
    it used all cores to the full. Nothing where Gymnasium is missing.
    """
    patient = builtin_patient(0)
    poses = np.stack(list(motion("liver_sweep", patient, POSES)))
    made: dict[str, Row] = {}
    try:
        cases = list(simulators(patient))
    except ImportError as error:
        Console(stderr=True).print(f"batches left out: {error}")
        return made
    with ExitStack() as stack:
        theirs = None
        if other is not None:
            work = against.text_of(simulators, serve, call=f"serve({POSES})")
            theirs = stack.enter_context(against.started(other / against.SOURCES, work))
            stack.callback(theirs.kill)
            against.asked(theirs, "")
        for name, simulator, outputs in cases:
            made |= compared(name, simulator, outputs, poses, max(3, repeats // 12), theirs)
    return made


def compared(
    name: str, simulator: Simulator, outputs: dict[str, Any], poses: Matrix, repeats: int,
    theirs: Popen[str] | None = None,
) -> dict[str, Row]:  # fmt: skip
    """The rows of one simulator, and of the other version that answers; contact is part of all."""

    def single(_: int) -> None:
        for pose in poses:
            simulator.render(pose, **outputs)

    def batch(_: int) -> None:
        simulator.render_batch(poses, **outputs)

    works: list[Callable[[int], object]] = [single, batch]
    if theirs is not None:
        works.append(lambda _: against.asked(theirs, name))
    found = [{what: ms / len(poses) for what, ms in row.items()} for row in in_turns(works, range(repeats))]
    alone, together, *others = found
    together["over_single"] = alone["median"] / together["median"]
    together["most"] = alone["median"] * cores() / together["cpu"]
    for row in others:
        together["over_other"] = row["median"] / together["median"]
    return {f"single call, {name}": alone, f"batch of {len(poses)}, {name}": together}


def steps(
    repeats: int, counts: tuple[int, ...] = (1, 8, 64, 256), sizes: tuple[int, ...] = (64, 256)
) -> dict[str, Row]:
    """Time a step of `UsSimVectorEnv`, ms an environment, by number of environments, observation and renderer.

    Each does so many steps, large ones fewer: their steps are of many frames.
    """
    from us_sim.gym.vector import UsSimVectorEnv

    made = {}
    kinds: dict[str, dict[str, Any]] = {"labels": {"views": ("labels",)}, "physics": {"views": ("image",)}}
    kinds["lite"] = {"views": ("image",), "renderer": "generator", "probe": "c5_2", "depth": 180.0}
    for name, options in kinds.items():
        for size in sizes if name != "lite" else sizes[-1:]:
            for count in counts:
                envs = UsSimVectorEnv("UsSim/Reach-v0", count, size=size, **options)
                envs.reset(seed=0)
                made[f"{count} environments, {name} {size}x{size}"] = _step(envs, max(1, min(repeats, 64 // count)))
    return made


def _step(envs: Any, repeats: int) -> Row:
    envs.action_space.seed(0)
    work: Callable[[Any], object] = partial(envs.step)
    row = in_turns([work], [envs.action_space.sample() for _ in range(repeats)])[0]
    return {what: value / envs.num_envs for what, value in row.items()}


@as_command("us_sim.bench.batch")
def main(argv: list[str] | None = None) -> int:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(prog="us_sim.bench.batch", description=__doc__)
    parser.add_argument("--repeats", type=int, default=36, help="as of make bench (36)")
    parser.add_argument("--steps", type=int, default=0, help="time so many steps of environments instead (0)")
    parser.add_argument("--other", type=Path, help="checkout of an earlier version, for its single calls")
    options = parser.parse_args(argv)
    figures = steps(options.steps) if options.steps else rows(options.repeats, options.other)
    table = Table("what", "median ms", "CPU ms", "a second", "over single calls", "over the other's", "at most")
    for name, row in figures.items():
        gains = [f"{row[key]:.1f}" if key in row else "" for key in ("over_single", "over_other", "most")]
        table.add_row(name, f"{row['median']:.2f}", f"{row['cpu']:.2f}", f"{1e3 / row['median']:.0f}", *gains)
    table.columns[0].no_wrap = True
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

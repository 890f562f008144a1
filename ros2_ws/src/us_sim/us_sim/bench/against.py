# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""This version beside another checkout, taking turns: python -m us_sim.bench.against FOLDER

Each version runs in a process of its own, and both render one pose after the other. What is compared is the CPU time of
a frame on one thread: other work on the machine changes it little, and both sides alike.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from us_sim.core.command import as_command
from us_sim.core.errors import ConfigError

CASES = ("physics", "ct", "abdomen_lite", "abdomen")
SOURCES = Path("ros2_ws/src/us_sim")
HERE = Path(__file__).resolve().parents[2]  # our sources
ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
Pair = tuple[list[float], list[float]]  # ms of a frame, of the other version and of this one


def serve(poses: int) -> None:
    """Answer lines `case pose` with the ms of CPU that the frame took; any version runs this text."""
    from us_sim import Simulator, builtin_patient, motion, open_generator

    patient = builtin_patient(0)
    sweep = list(motion("liver_sweep", patient, poses))
    simulators: dict[str, Simulator] = {}
    print("ready", flush=True)
    for line in sys.stdin:
        case, number = line.split()
        if case not in simulators:
            plain = case in ("physics", "ct")
            simulators[case] = Simulator(
                patient, device="cpu", renderer=case if plain else "generator",
                generator=None if plain else open_generator(case, "cpu"),
            )  # fmt: skip
            simulators[case].render(sweep[0])  # compiles
        start = time.process_time()
        simulators[case].render(sweep[int(number)])
        print(json.dumps(1e3 * (time.process_time() - start)), flush=True)


def started(sources: Path, work: str, **environment: str) -> subprocess.Popen[str]:
    """Start a version from its sources, on a text, for the other version may lack what a module of this one imports."""
    return subprocess.Popen(
        [sys.executable, "-c", work], env={**os.environ, "PYTHONPATH": str(sources), **environment},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def text_of(*functions: Callable[..., Any], call: str) -> str:
    """Return a program of some functions that import what they need, and a call of one."""
    parts = ["from __future__ import annotations", "import json, sys, time", *map(inspect.getsource, functions), call]
    return "\n".join(parts)


def asked(process: subprocess.Popen[str], line: str) -> str:
    """Send a line, if any, and return the answer.

    Raises:
        ConfigError: the version has ended.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    if line:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise ConfigError("a version ended before it answered, its error is above; expected one that exports Simulator")
    return answer


def compared(other: Path, cases: list[str], poses: int) -> dict[str, Pair]:
    """Return the times of both versions in every case, pose by pose."""
    found: dict[str, Pair] = {}
    with ExitStack() as stack:
        both = []
        for sources in (other / SOURCES, HERE):
            both.append(stack.enter_context(started(sources, text_of(serve, call=f"serve({poses})"), **ONE_THREAD)))
            asked(both[-1], "")
        for case in cases:
            times = [[float(asked(one, f"{case} {number}")) for one in both] for number in range(poses)]
            found[case] = [row[0] for row in times], [row[1] for row in times]
        for process in both:
            assert process.stdin is not None
            process.stdin.close()
    return found


def row(case: str, pair: Pair) -> tuple[str, str, str, str]:
    """Return a line of the table: medians, and the median of the ratios pose by pose."""
    then, now = np.array(pair[0]), np.array(pair[1])
    return case, f"{np.median(then):.1f}", f"{np.median(now):.1f}", f"{np.median(then / now):.2f}"


@as_command("us_sim.bench.against")
def main(argv: list[str] | None = None) -> int:
    """Compare and print the table."""
    parser = argparse.ArgumentParser(prog="us_sim.bench.against", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("other", type=Path, help="checkout of another version, for example by `git worktree add`")
    parser.add_argument("--poses", type=int, default=20, help="poses of each case (20)")
    parser.add_argument("--cases", nargs="*", default=list(CASES), help="renderers and shipped generators")
    given = parser.parse_args(argv)
    if not (given.other / SOURCES).is_dir():
        raise ConfigError(f"{given.other} holds no {SOURCES}; give a checkout of this repository")
    table = Table("frame with slice and labels", "other, CPU ms", "this, CPU ms", "times faster")
    for case, pair in compared(given.other.resolve(), given.cases, given.poses).items():
        table.add_row(*row(case, pair))
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

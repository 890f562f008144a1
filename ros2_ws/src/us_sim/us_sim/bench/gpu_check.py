# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What only a GPU shows, in one run: python -m us_sim.bench.gpu_check

Frames beside those of the CPU, their latency alone and in batches, memory, the operations of one frame, and the way
back to the CPU when the GPU has no memory left. Without a GPU the parts run on the CPU, and those that need one say so.
`scripts/gpu_check.sh` runs this, the tests that need a GPU, the round trip through ROS and a step of training.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from skimage.metrics import structural_similarity

from us_sim.bench.generators import PAPER, RANDOM, random_generator
from us_sim.bench.timing import machine, milliseconds
from us_sim.core.assembly import open_generator
from us_sim.core.command import as_command
from us_sim.core.compute.device import Device, choose_device, with_fall_back
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.errors import DeviceError
from us_sim.core.files import atomic_write
from us_sim.core.frame import Frame
from us_sim.core.generator.artifact import Generator
from us_sim.core.generator.inference import accelerated
from us_sim.core.geometry.probe import preset
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.patient import Patient, builtin_patient
from us_sim.core.robot.motion import motion
from us_sim.core.simulator import Simulator

BATCHES = (1, 8, 64)
COMPARED = 4  # poses beside the CPU
SHORT, LONG = 6, 100  # poses of a latency
SHIPPED = ("abdomen_lite", "abdomen")
NEEDS_GPU = "needs CUDA: left out"
IMAGE = {"ct_slice": False, "labels": False}

Row = tuple[str, str]
Cases = dict[str, Simulator]


def cases(device: Device, patient: Patient) -> Cases:
    """Return simulators by name: physics, shipped generators and the paper's size, all of them with deformation."""
    drawing: dict[str, Generator | None] = {"ct": None, "physics": None}
    drawing |= {name: open_generator(name, device) for name in SHIPPED}
    drawing[PAPER] = accelerated(random_generator(RANDOM[PAPER]), device.torch_device, calibrate=False)
    return {
        name: Simulator(
            patient, generator.card.probe if generator else preset("c5_2"), device=device, generator=generator,
            renderer="generator" if generator else name, mechanics=MechanicsSettings(),
        )
        for name, generator in drawing.items()
    }  # fmt: skip


def agreement(here: Cases, there: Cases, poses: Sequence[Matrix]) -> dict[str, dict[str, float]]:
    """Return least SSIM, greatest mean difference in grey, and least share of equal labels, against the CPU."""
    found = {}
    for name, simulator in here.items():
        pairs = [(simulator.render(pose), there[name].render(pose)) for pose in poses[:COMPARED]]
        rows = np.array([compared(*pair) for pair in pairs])
        found[name] = {"ssim": rows[:, 0].min(), "grey": rows[:, 1].max(), "labels": rows[:, 2].min()}
    return found


def compared(one: Frame, other: Frame) -> tuple[float, float, float]:
    """Return SSIM, mean difference in grey, and share of equal labels of two frames of one pose."""
    assert one.image is not None
    assert other.image is not None
    likeness = structural_similarity(one.image, other.image, data_range=255)
    apart = np.abs(one.image.astype(int) - other.image).mean()
    return float(likeness), float(apart), float(np.mean(one.labels == other.labels))


def latencies(here: Cases, poses: Sequence[Matrix]) -> dict[str, dict[str, float]]:
    """Return ms of the first frame, which records the graph, and of those after it, from pose to image on the host."""
    found = {}
    for name, simulator in here.items():
        start = time.perf_counter()
        simulator.render(poses[0], **IMAGE)  # type: ignore[arg-type]
        first = 1e3 * (time.perf_counter() - start)
        found[name] = {"first": first, **milliseconds(partial(simulator.render, **IMAGE), poses)}  # type: ignore[arg-type]
    return found


def batches(here: Cases, poses: Sequence[Matrix], sizes: Sequence[int]) -> dict[str, dict[str, float]]:
    """Return frames a second in batches of each size."""
    found: dict[str, dict[str, float]] = {}
    for name, simulator in here.items():
        found[name] = {}
        for size in sizes:
            many = np.stack([poses[n % len(poses)] for n in range(size)])
            row = milliseconds(partial(simulator.render_batch, **IMAGE), [many] * 4)  # type: ignore[arg-type]
            found[name][str(size)] = 1e3 * size / row["median"]
    return found


def memory() -> dict[str, float] | str:
    """Return MiB that torch has held at most, and holds now."""
    if not torch.cuda.is_available():
        return NEEDS_GPU
    return {"most": torch.cuda.max_memory_allocated() / 2**20, "reserved": torch.cuda.memory_reserved() / 2**20}


def operations(simulator: Simulator, pose: Matrix) -> str:
    """Return torch's profile of one frame."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    simulator.render(pose, **IMAGE)  # type: ignore[arg-type]
    with torch.profiler.profile(activities=kinds) as profile:
        simulator.render(pose, **IMAGE)  # type: ignore[arg-type]
    by = "cuda_time_total" if torch.cuda.is_available() else "cpu_time_total"
    return str(profile.key_averages().table(sort_by=by, row_limit=15, max_name_column_width=60))


def fall_back(simulator: Simulator, poses: Sequence[Matrix]) -> dict[str, Any] | str:
    """Let a frame meet a GPU without memory; return what it said, and how long the CPU took to go on, s."""
    if not torch.cuda.is_available():
        return NEEDS_GPU
    fresh = simulator.replace(generator=None, renderer="physics", seed=1)  # a graph that is still to be recorded
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    start = time.perf_counter()
    try:
        frame, after = with_fall_back(lambda one: one.render(poses[0]), fresh, lambda error: fresh.on_cpu(str(error)))
    except DeviceError as error:
        return f"not caught: {error}"
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert frame.image is not None
    return {"reason": after.device.reason, "seconds": time.perf_counter() - start, "drawn on": after.device.name}


def parts(short: bool) -> dict[str, Callable[[], Any]]:
    """Return what is checked, in its order; each part stands alone."""
    device, patient = choose_device("auto"), builtin_patient(0)
    poses = list(motion("liver_sweep", patient, SHORT if short else LONG))
    here = cases(device, patient)
    there = here if device.is_cpu else cases(Device.cpu("the reference"), patient)
    sizes = BATCHES[:2] if short else BATCHES
    return {
        "agreement": lambda: NEEDS_GPU if device.is_cpu else agreement(here, there, poses),
        "latency, ms": lambda: latencies(here, poses),
        "frames a second in batches": lambda: batches(here, poses, sizes),
        "memory, MiB": memory,
        "out of memory": lambda: fall_back(here["physics"], poses),
        "operations": lambda: operations(here["physics"], poses[0]),
    }


def lines(part: str, found: Any) -> list[Row]:
    """Return the rows of the table of one part."""
    if not isinstance(found, dict):
        return [(part, str(found))]
    rows = []
    for name, row in found.items():
        whole = row if isinstance(row, dict) else {"": row}
        told = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in whole.items()
        )
        rows.append((f"{part}: {name}", told.strip()))
    return rows


@as_command("us_sim.bench.gpu_check")
def main(argv: list[str] | None = None) -> int:
    """Check, print the table, and write JSON where asked; 1 if a part failed."""
    parser = argparse.ArgumentParser(prog="us_sim.bench.gpu_check", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="few poses and small batches")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    given = parser.parse_args(argv)
    console, report, failed = Console(width=150), dict[str, Any](machine=machine()), 0
    table = Table("what", "found", title=f"on {choose_device('auto').name}")
    for part, work in parts(given.short).items():
        try:
            report[part] = work()
        except Exception as error:  # the other parts are still worth the machine's time
            report[part], failed = f"failed: {type(error).__name__}: {error}", 1
        if part == "operations":
            console.print(report[part], markup=False)
            continue
        for row in lines(part, report[part]):
            table.add_row(*row)
        if given.json:
            with atomic_write(given.json) as whole:
                whole.write_text(json.dumps(report, indent=1, default=float) + "\n")
    console.print(table)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())

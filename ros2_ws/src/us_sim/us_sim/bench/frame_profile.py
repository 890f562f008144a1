# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Where each millisecond of one frame goes: python -m us_sim.bench.frame_profile

The real pipeline runs under Python's profiler; a stage is what its function takes with all that it calls. On a GPU
that is the time to launch the work; waiting for it falls to the way back to the host. The limits beside the stages are
measured in the same run: the rate of a matrix product and the bandwidth of a copy.
"""

from __future__ import annotations

import argparse
import cProfile
import inspect
import pstats
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from us_sim.bench.timing import machine, milliseconds
from us_sim.core.assembly import open_generator
from us_sim.core.command import as_command
from us_sim.core.compute.device import on_host
from us_sim.core.contact.deformation import displacements, sources, tables_of
from us_sim.core.contact.force import wrench
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.contact.touch import touches_at
from us_sim.core.frame import Views
from us_sim.core.generator.artifact import Generator
from us_sim.core.generator.composition import Composition
from us_sim.core.generator.encoding import encode
from us_sim.core.patient.breathing import Mobility
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.physics import speckle
from us_sim.core.robot.motion import motion
from us_sim.core.sampling.sampler import CpuSampler
from us_sim.core.sampling.tensor_sampler import TensorSampler
from us_sim.core.simulator import Simulator

SIDE = 2048  # of the matrices whose product shows the rate of arithmetic
COPIED = 1 << 26  # numbers of 4 bytes, far more than the caches hold
SAMPLE = 8 * 2 + 1 + 3 * 4 + 4 + 1  # bytes a pixel of the slice: 8 HU and a class read, its place, both written


def stages(generator: Generator) -> dict[str, list[Callable[..., Any]]]:
    """Return the functions whose times make up each stage; none of them calls another one's."""
    return {
        "contact and force": [touches_at, wrench],
        "deformation": [displacements, tables_of, sources, Mobility.sources],
        "slice: HU and classes": [CpuSampler.slice, TensorSampler.slice],
        "acoustic properties, scatterers": [CpuSampler.anatomy, TensorSampler.anatomy],
        "speckle channel": [speckle.texture],
        "encoding": [encode],
        "network": [type(generator.backend).__call__],
        "onto the frame, gain, uncoupled lines": [Composition.__call__],
        "to the host": [on_host],
    }


def profiled(simulator: Simulator, poses: list[Any], outputs: Views) -> dict[str, float]:
    """Return ms a frame of every stage, of the rest, and of the whole."""
    assert simulator.generator is not None
    profile = cProfile.Profile()
    for pose in poses:
        profile.runcall(partial(simulator.render, pose, **outputs))
    taken = pstats.Stats(profile).stats  # type: ignore[attr-defined]

    def mean(function: Callable[..., Any]) -> float:
        code = inspect.unwrap(function).__code__
        entry = taken.get((code.co_filename, code.co_firstlineno, code.co_name))
        return 1e3 * entry[3] / len(poses) if entry else 0.0

    found = {name: sum(map(mean, functions)) for name, functions in stages(simulator.generator).items()}
    whole = mean(Simulator.render)
    return {**found, "the rest": whole - sum(found.values()), "whole frame": whole}


def limits(generator: Generator) -> dict[str, str]:
    """Return what arithmetic and memory allow, ms, for the stages that have such a limit."""
    device, (height, width) = generator.device, generator.card.size
    kind = torch.float16 if device.type == "cuda" else torch.bfloat16
    rate, bandwidth = arithmetic(device, kind), copying(device)
    work, moved = generator.network.flop(height, width), traffic(generator)
    by_work = f"arithmetic {1e3 * work / rate:.2f} ({work / 1e9:.1f} GFLOP at {rate / 1e9:.0f} GFLOP/s in 16 bits)"
    by_memory = f"memory {1e3 * moved / bandwidth:.2f} ({moved / 1e6:.0f} MB at {bandwidth / 1e9:.0f} GB/s)"
    return {
        "slice: HU and classes": f"memory {1e3 * height * width * SAMPLE / bandwidth:.2f}",
        "network": f"{by_work}, {by_memory}",
    }


def arithmetic(device: torch.device, kind: torch.dtype) -> float:
    """Return additions and multiplications a second in a matrix product."""
    matrix = torch.randn(SIDE, SIDE).to(device, kind)
    return 2 * SIDE**3 / (1e-3 * milliseconds(partial(_waited, torch.mm, matrix), [matrix] * 7)["median"])


def copying(device: torch.device) -> float:
    """Return bytes a second, read and written, in a copy that leaves the caches."""
    numbers = torch.zeros(COPIED, device=device)
    into = torch.empty_like(numbers)
    return 8 * COPIED / (1e-3 * milliseconds(partial(_waited, into.copy_), [numbers] * 5)["median"])


def traffic(generator: Generator) -> int:
    """Return the bytes that the convolutions of a frame read and write in 16 bits if no layer stays in a cache."""
    total = 0

    def add(layer: nn.Module, given: tuple[Tensor], drawn: Tensor) -> None:
        nonlocal total
        total += 2 * (given[0].numel() + drawn.numel() + sum(p.numel() for p in layer.parameters()))

    layers = [m for m in generator.network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    with torch.inference_mode():
        generator.network(torch.zeros(1, generator.card.channels, *generator.card.size))
    for hook in hooks:
        hook.remove()
    return total


@as_command("us_sim.bench.frame_profile")
def main(argv: list[str] | None = None) -> int:
    """Profile frames of a generator and print the table."""
    parser = argparse.ArgumentParser(prog="us_sim.bench.frame_profile", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--generator", default="", help="artifact or name of a shipped one (the default one)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    parser.add_argument("--frames", type=int, default=100, help="poses of a sweep over the phantom (100)")
    parser.add_argument("--image-only", action="store_true", help="without ~/ct_slice and ~/labels")
    given = parser.parse_args(argv)
    generator, patient = open_generator(given.generator, given.device), builtin_patient(0)
    simulator = Simulator(
        patient, generator.card.probe, renderer="generator", generator=generator, device=given.device,
        mechanics=MechanicsSettings(),
    )  # fmt: skip
    outputs = Views(ct_slice=not given.image_only, labels=not given.image_only)
    poses = list(motion("liver_sweep", patient, given.frames))
    plain = milliseconds(partial(simulator.render, **outputs), poses)
    found, allowed = profiled(simulator, poses, outputs), limits(generator)
    table = Table("stage", "mean ms", "limit, ms")
    for name, value in found.items():
        table.add_row(name, f"{value:.2f}", allowed.get(name, ""))
    console = Console(width=150)
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()))
    console.print(f"generator {generator.name} on {generator.backend.name}: {generator.backend.reason}")
    console.print(table)
    console.print(f"without the profiler: median {plain['median']:.2f} ms, 95 % {plain['p95']:.2f} ms")
    return 0


def _waited(work: Callable[..., Tensor], *operands: Tensor) -> None:
    if work(*operands).is_cuda:
        torch.cuda.synchronize()


if __name__ == "__main__":
    raise SystemExit(main())

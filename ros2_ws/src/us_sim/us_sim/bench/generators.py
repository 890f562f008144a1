# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The generator's part of `make bench`: every backend against eager PyTorch in the same run, and whole frames."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from us_sim.bench.timing import Row, in_turns, milliseconds, summary
from us_sim.core.assembly import open_generator
from us_sim.core.compute.device import choose_device
from us_sim.core.config import SOFT_WINDOW, ImageSettings
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.generator.artifact import Generator, build, load_generator
from us_sim.core.generator.backend import GeneratorBackend, TorchBackend
from us_sim.core.generator.backend_cuda import CudaBackend
from us_sim.core.generator.backend_openvino import OpenVinoBackend, converted
from us_sim.core.generator.card import Card
from us_sim.core.generator.encoding import decode
from us_sim.core.generator.inference import accelerated
from us_sim.core.generator.quantisation import calibration_slices, kept, made
from us_sim.core.generator.renderer import LearnedRenderer
from us_sim.core.generator.shipped import shipped
from us_sim.core.generator.unet import Drawn
from us_sim.core.geometry.probe import preset
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.patient import Patient, builtin_patient, load_patient
from us_sim.core.robot.motion import motion
from us_sim.core.sampling.reslice import elevation_beam
from us_sim.core.sampling.sampler import sampler_on
from us_sim.core.simulator import Simulator

LINES = partial(replace, preset("c5_2"))
WINDOWS = (SOFT_WINDOW, (-1000.0, 1000.0))
LITE = partial(Card, encoding="rich", grid="polar", windows=WINDOWS, classes=tuple(range(10)), width=0.25, norm="batch")
PAPER = "paper-sized, 256 x 256"
RANDOM = {  # sizes that are measured with random weights: speed does not depend on them
    PAPER: Card(preset("c5_2"), norm="batch"),
    "quarter width, 384 x 160": LITE(LINES(scan_lines=160, samples=384)),
    "quarter width, 192 x 128": LITE(LINES(scan_lines=128, samples=192)),
}
COMPARED = 12  # slices that a backend is compared with fp32 on
STATISTICS = 6  # slices that batch statistics of random weights are taken from
BATCH = 64


def rows(repeats: int) -> dict[str, Row]:
    """Time every backend of every size on every device, and frames of the shipped generators."""
    patient, found = builtin_patient(0), {}
    real = real_patient()
    random = {name: random_generator(card) for name, card in RANDOM.items()}
    loaded = ((name, replace(load_generator(file), file=None)) for name, file in shipped().items())  # no file beside it
    for name, generator in (*random.items(), *loaded):
        slices = seen(generator, patient, repeats)
        compared = seen(generator, real, COMPARED) if real is not None else None
        for backend, row in measured(generator, slices, compared).items():
            found[f"generator {name}, {backend}"] = row
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        drawing = {PAPER: accelerated(random[PAPER], choose_device(device).torch_device)}
        for name, generator in (drawing | {name: open_generator(name, device) for name in shipped()}).items():
            found.update(frames(name, generator, patient, repeats))
    return found


def measured(generator: Generator, slices: Tensor, compared: Tensor | None) -> dict[str, Row]:
    """Return the row of each backend by its name, the reference first."""
    every = list(backends(generator))
    with torch.inference_mode():
        rows = in_turns([partial(waited, backend) for backend in every], slices.split(1))
        for row in rows:
            row["eager"] = rows[0]["median"] / row["median"]
        if compared is not None:
            drawn = [torch.cat([decode(waited(b, x)).cpu() for x in compared.split(1)]).numpy() for b in every]
            for row, pictures in zip(rows, drawn, strict=True):
                row["ssim"] = likeness(pictures, drawn[0], generator.card)
    return {backend.name: row for backend, row in zip(every, rows, strict=True)}


def backends(generator: Generator) -> Iterator[GeneratorBackend]:
    """Yield all backends that can run here, the reference first."""
    yield TorchBackend(generator.network)
    card = generator.card
    model = converted(generator.network, (card.channels, *card.size))
    yield OpenVinoBackend(model, "bf16", "measured")
    yield OpenVinoBackend(kept(generator) or made(generator, model), "int8", "measured")
    if torch.cuda.is_available():
        yield CudaBackend(generator.network, torch.device("cuda:0"), "measured")


def frames(name: str, generator: Generator, patient: Patient, repeats: int) -> dict[str, Row]:
    """Time whole frames of a generator: pose in, arrays on the host out."""
    probe, device, timed = generator.card.probe, generator.device.type, Timed(generator.backend)
    simulator = Simulator(patient, probe, renderer="generator", generator=generator, device=device)
    poses = list(motion("liver_sweep", patient, repeats))
    what = f"frame by {name}, {generator.backend.name}"
    found = {
        what: milliseconds(partial(simulator.render, ct_slice=False, labels=False), poses),
        f"{what}, with slice and labels": milliseconds(simulator.render, poses),
    }
    if device == "cpu":
        measuring = simulator.replace(generator=replace(generator, backend=timed))
        found[f"{what}, with slice and labels, all but the network"] = besides(measuring, timed, poses)
        deforming = measuring.replace(mechanics=MechanicsSettings())
        found[f"{what}, with tissue deformation, all but the network"] = besides(deforming, timed, poses)
    else:
        batches = [motion("liver_sweep", patient, BATCH)] * max(2, repeats // BATCH)
        row = milliseconds(partial(simulator.render_batch, ct_slice=False, labels=False), batches)
        found[f"{what}, of a batch of {BATCH}"] = {key: value / BATCH for key, value in row.items()}
    return found


class Timed:
    """A backend that remembers how long its last call took, and of all threads' CPU, s."""

    def __init__(self, backend: GeneratorBackend) -> None:
        self.name, self.reason, self.device = backend.name, backend.reason, backend.device
        self._backend, self.taken, self.cpu = backend, 0.0, 0.0

    def __call__(self, x: Tensor) -> Drawn:
        start, spent = time.perf_counter(), time.process_time()
        drawn = self._backend(x)
        self.taken, self.cpu = time.perf_counter() - start, time.process_time() - spent
        return drawn


def besides(simulator: Simulator, network: Timed, poses: list[Matrix]) -> Row:
    """Time whole frames, each less what its network took; the caches are as the network leaves them."""
    times, cpu = np.zeros((2, 1 + len(poses)))
    for n, pose in enumerate([poses[0], *poses]):
        start, spent = time.perf_counter(), time.process_time()
        simulator.render(pose)
        times[n] = 1e3 * (time.perf_counter() - start - network.taken)
        cpu[n] = 1e3 * (time.process_time() - spent - network.cpu)
    return summary(times[1:]) | {"cpu": float(np.median(cpu[1:]))}


def random_generator(card: Card) -> Generator:
    """Random weights; batch statistics from slices of the phantom, without which the picture would be empty."""
    torch.manual_seed(0)
    network = build(card).eval().requires_grad_(False)
    generator = Generator(network, card, "random", "", TorchBackend(network))
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.momentum = None  # a plain mean
        layer.train()
    for one in calibration_slices(generator, STATISTICS):
        network(torch.from_numpy(one[None]))
    network.eval()
    weights = b"".join(value.numpy().tobytes() for value in network.state_dict().values())
    return replace(generator, sha256=hashlib.sha256(weights).hexdigest())


def seen(generator: Generator, patient: Patient, count: int) -> Tensor:
    """Return (count, C, H, W), what a generator is fed along a sweep over a patient."""
    probe, sampler = generator.card.probe, sampler_on(torch.device("cpu"), patient, 0)
    learned = LearnedRenderer(generator, probe, ImageSettings(), 0)
    beam = elevation_beam(probe.slice_thickness, probe.elevation_planes)
    poses = motion("liver_sweep", patient, count)
    with torch.inference_mode():
        return torch.cat([learned.read(sampler, pose[None], beam) for pose in poses])


def real_patient() -> Patient | None:
    """The CT of an abdomen in the folder that US_SIM_DATA names, if there is one."""
    folder = Path(os.environ.get("US_SIM_DATA", "")) / "ct_abdomen"
    return load_patient(folder / "ct.nii.gz", folder / "labels.nii.gz") if folder.is_dir() else None


def likeness(drawn: NDArray[np.float32], expected: NDArray[np.float32], card: Card) -> float:
    """Return the least of the structural similarities inside the fan of (B, H, W) grey levels; Wang et al. 2004."""
    fan = np.ones(card.size, bool) if card.grid == "polar" else card.probe.fan_mask
    maps = [structural_similarity(*pair, data_range=255, full=True)[1] for pair in zip(drawn, expected, strict=True)]
    return float(min(one[fan].mean() for one in maps))


def waited(backend: GeneratorBackend, x: Tensor) -> Tensor:
    """Draw (B, 3, H, W), and return once the picture is there: a GPU works on while Python goes ahead."""
    drawn = backend(x.to(backend.device)).image
    if drawn.is_cuda:
        torch.cuda.synchronize(drawn.device)
    return drawn

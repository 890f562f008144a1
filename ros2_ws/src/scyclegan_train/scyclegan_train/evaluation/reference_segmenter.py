# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A small segmenter, independent of any generator: for Dice, and with its encoder's features for the KID."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from scyclegan_train.data.patient_source import phantom_cases, physics_frames
from scyclegan_train.data.samples import UsBatch
from scyclegan_train.evaluation.held_out import PROBE
from scyclegan_train.method import feeding, losses
from scyclegan_train.method.networks import segmenter
from us_sim.core.generator.card import RELATIVE, Card
from us_sim.core.generator.unet import UNet
from us_sim.core.tissue import TissueClass as T

SEEDS = range(3000, 3016)  # phantoms that it is trained on; generators never see them
SHRUNK = (4, 2)  # samples and scan lines averaged: it looks at 128 × 96
WIDTH, BATCH, RATE = 0.25, 4, 2e-3
CLASSES = tuple(int(c) for c in (T.BACKGROUND, T.LIVER, T.KIDNEY, T.SPLEEN, T.PANCREAS, T.VESSEL, T.FLUID, T.BONE,
                                 T.GAS, T.LUNG))  # fmt: skip
LINES = Card(PROBE, grid="polar", classes=CLASSES, norm="batch", width=WIDTH)
# For frames of any scanner: what is said of them must not hang on their tone.
ANY_SCANNER = replace(LINES, architecture=RELATIVE)
CELLS = (4, 3)  # cells of a frame whose features are averaged
FULL = 0.75  # share of a cell that has to count

Kind = TypeVar("Kind", bound=np.generic)
Altering = Callable[[Tensor, torch.Generator], Tensor]


class ReferenceSegmenter:
    """Predicts classes and features from (B, S, L) grey levels along PROBE's scan lines."""

    def __init__(self, network: UNet) -> None:
        self.network = network.eval().requires_grad_(False)

    @torch.no_grad()
    def classes(self, frames: NDArray[np.float64]) -> NDArray[np.uint8]:
        """(B, S/4, L/2) tissue classes."""
        index = torch.cat([self.network(seen(torch.from_numpy(f)[None])).argmax(dim=1) for f in frames])
        return np.array(CLASSES, np.uint8)[index.numpy()]

    @torch.no_grad()
    def features(self, frames: NDArray[np.float64], where: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
        """Of each frame, (n, d) features of its cells that count for the most part."""
        found = []
        for frame, counts in zip(frames, where, strict=True):
            x = seen(torch.where(torch.from_numpy(counts), torch.from_numpy(frame), 0.0)[None])
            for level, block in enumerate(self.network.down):
                x = block(x if level == 0 else F.max_pool2d(x, 2))
            cells = F.adaptive_avg_pool2d(x, CELLS)[0].flatten(1).T
            share = F.adaptive_avg_pool2d(torch.from_numpy(counts).float()[None], CELLS)[0].flatten()
            found.append(cells[share > FULL].double().numpy())
        return found


def shrunk(classes: NDArray[Kind]) -> NDArray[Kind]:
    """(..., S, L) on the grid that the reference segmenter answers on."""
    return classes[..., SHRUNK[0] // 2 :: SHRUNK[0], SHRUNK[1] // 2 :: SHRUNK[1]]


def open_reference(
    folder: Path, steps: int, frames: int = 256, say: Callable[[str], None] = print
) -> ReferenceSegmenter:
    """Train the reference segmenter, or read the one that an earlier evaluation left in the folder.

    Args:
        folder: of the report.
        steps: of the training.
        frames: different physics frames that it is trained on.
        say: called with lines of progress.
    """
    file = folder / f"segmenter-{steps}-{frames}.safetensors"
    if file.is_file():
        network = segmenter(LINES, WIDTH)
        network.load_state_dict(load_file(file))
    else:
        network = trained(steps, frames, say)
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, file)
    return ReferenceSegmenter(network)


def trained(steps: int, count: int, say: Callable[[str], None] = print) -> UNet:
    """Return the reference segmenter's network, trained for some steps on some different physics frames."""
    say(f"segmenter: {count} physics frames of phantoms {SEEDS[0]} to {SEEDS[-1]}")
    torch.manual_seed(0)
    network = segmenter(LINES, WIDTH)
    frames = physics_frames(phantom_cases(SEEDS), count, LINES, randomised=True)
    train(network, *prepared(frames), steps, say)
    return network


def train(
    network: UNet, image: Tensor, tissue: Tensor, where: Tensor, steps: int, say: Callable[[str], None] = print,
    alter: Altering | None = None,
) -> None:  # fmt: skip
    """Fit (N, 3, h, w) images to (N, h, w) classes where (N, h, w) counts; `alter` changes each batch before."""
    optimizer = torch.optim.AdamW(network.parameters(), RATE, fused=True)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, max(2, steps))
    rng, random = np.random.default_rng(0), torch.Generator().manual_seed(0)
    fan = torch.ones(tissue.shape[1:], dtype=torch.bool)
    network.train()
    for step in range(steps):
        rows = torch.from_numpy(rng.integers(len(image), size=BATCH))
        seen, classes, counts = (x[rows].flip(-1) if step % 2 else x[rows] for x in (image, tissue, where))
        if alter is not None:
            seen = alter(seen, random)
        loss = losses.segmentation(network(seen), feeding.one_hot(LINES, classes, fan), counts)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        falling.step()
        if (step + 1) % 50 == 0:
            say(f"segmenter: step {step + 1} of {steps}, loss {float(loss.detach()):.3f}")
    network.eval()


def prepared(batch: UsBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Images, classes and what counts, on the segmenter's grid, of frames along LINES."""
    tissue, where = (torch.from_numpy(shrunk(part.numpy()).copy()) for part in (batch.tissue, batch.valid))
    return seen(batch.image), tissue, where


def seen(grey: Tensor) -> Tensor:
    """(B, S, L) grey levels -> (B, 3, S/4, L/2) in [−1, 1]."""
    return feeding.us_image(F.avg_pool2d(grey.float()[:, None], SHRUNK)[:, 0]).contiguous()

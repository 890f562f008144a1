# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Downstream task: segmenters of real ultrasound trained on synthetic frames (the experiment of CT2US).

One segmenter learns from real frames alone, one from synthetic frames alone, one from synthetic frames and then from
real ones; all are tested on unseen real frames. CT2US: Song et al. 2022, Ultrasonics 122, 106706.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scyclegan_train.data.aus_rus import AusRus
from scyclegan_train.data.faults import DataError
from scyclegan_train.evaluation import held_out, metrics, reference_segmenter
from scyclegan_train.evaluation.held_out import ORGANS
from scyclegan_train.evaluation.reference_segmenter import LINES, SEEDS, ReferenceSegmenter
from scyclegan_train.method import feeding
from scyclegan_train.method.networks import segmenter
from us_sim.core.generator.artifact import Generator

REAL_ALONE, SYNTHETIC, TUNED = "real frames alone", "synthetic alone", "synthetic, then real"


@dataclass(frozen=True, eq=False)
class Masked:
    """(N, 3, h, w) images as the reference segmenter reads them, (N, n, h, w) one-hot masks, (N, h, w) what counts."""

    image: Tensor
    mask: Tensor
    where: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def part(self, rows: slice) -> Masked:
        """Return some of the frames."""
        return Masked(self.image[rows], self.mask[rows], self.where[rows])


def masked_frames(root: Path) -> tuple[Masked, Masked]:
    """Read the real frames that have masks, RUS: those to train on and those to test on.

    As published, only test frames have masks: two thirds of them, drawn at random, are then used for training.

    Raises:
        DataError: no such data set, or fewer than 3 real frames with masks.
    """
    parts = []
    for split in ("train", "test"):
        source = AusRus(root, split, LINES, part="RUS")
        batch = source.batch(range(len(source)))
        parts.append(_shrunk(*(x[batch.has_mask] for x in (batch.image, batch.tissue, batch.valid))))
    train, test = parts
    if not len(train):
        cut = 2 * len(test) // 3
        train, test = test.part(slice(None, cut)), test.part(slice(cut, None))
    if not len(train) or not len(test):
        raise DataError(f"{root}: RUS has {len(train) + len(test)} frames with masks; expected 3 or more to train and "
                        "test segmenters")  # fmt: skip
    return train, test


def _shrunk(grey: Tensor, tissue: Tensor, where: Tensor) -> Masked:
    classes, counts = (torch.from_numpy(reference_segmenter.shrunk(part.numpy()).copy()) for part in (tissue, where))
    paper = torch.where(torch.isin(classes, torch.tensor([int(o) for o in ORGANS])), classes, 0)
    mask = feeding.one_hot(LINES, paper, torch.ones(paper.shape[1:], dtype=torch.bool))
    return Masked(reference_segmenter.seen(grey), mask, counts)


def synthetic_frames(generator: Generator | None, count: int, seeds: Sequence[int] = SEEDS) -> Masked:
    """`count` frames of phantoms by a generator, or with None by the physics renderer, and their masks."""
    parts = []
    for number in range(-(-count // 8)):
        one = held_out.phantom_scene(seeds[number % len(seeds)], min(8, count - 8 * number))
        grey = held_out.along_lines(held_out.drawn(one.simulator, one.poses, generator))
        parts.append(_shrunk(torch.from_numpy(grey), torch.from_numpy(one.line_tissue),
                             torch.from_numpy(one.line_visible)))  # fmt: skip
    return Masked(*(torch.cat([getattr(p, name) for p in parts]) for name in ("image", "mask", "where")))


def experiment(
    real: tuple[Masked, Masked], synthetic: dict[str, Masked], steps: int, say: Callable[[str], None] = print
) -> dict[str, float]:
    """Mean Dice of organs on the real test frames, by training data.

    Args:
        real: training and test frames.
        synthetic: frames by renderer.
        steps: of each training; a fine-tuned segmenter gets as many again on real frames.
    """
    train, test = real
    found = {REAL_ALONE: _dice(_trained(None, train, steps, say), test)}
    for name, frames in synthetic.items():
        alone = _trained(None, frames, steps, say)
        found[f"{name}: {SYNTHETIC}"] = _dice(alone, test)
        found[f"{name}: {TUNED}"] = _dice(_trained(alone, train, steps, say), test)
    return found


def _trained(
    start: ReferenceSegmenter | None, frames: Masked, steps: int, say: Callable[[str], None]
) -> ReferenceSegmenter:
    torch.manual_seed(0)
    network = start.network.requires_grad_(True) if start is not None else segmenter(LINES, reference_segmenter.WIDTH)
    reference_segmenter.train(network, frames.image, frames.mask, frames.where, steps, say)
    return ReferenceSegmenter(network)


@torch.no_grad()
def _dice(segmenter: ReferenceSegmenter, test: Masked) -> float:
    place = {int(organ): reference_segmenter.CLASSES.index(int(organ)) for organ in ORGANS}
    seen = segmenter.network(test.image).argmax(dim=1).numpy().astype(np.uint8)
    wanted, where = test.mask.argmax(dim=1).numpy().astype(np.uint8), test.where.numpy()
    return float(np.nanmean([metrics.dice(seen, wanted, where, index) for index in place.values()]))

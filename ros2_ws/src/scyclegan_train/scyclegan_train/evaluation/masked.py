# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Frames with masks, real and synthetic, as the small segmenter reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scyclegan_train.data.aus_rus import AusRus, folder_of
from scyclegan_train.data.faults import DataError
from scyclegan_train.data.frame_files import digest
from scyclegan_train.data.grid_renderer import DRAWN
from scyclegan_train.data.patient_source import phantom_cases, physics_frames
from scyclegan_train.data.samples import PHYSICS, UsBatch, joined
from scyclegan_train.data.splits import series_of
from scyclegan_train.evaluation import held_out, reference_segmenter
from scyclegan_train.evaluation.reference_segmenter import LINES, SEEDS
from us_sim.core.generator.artifact import Generator
from us_sim.core.tissue import TissueClass as T

# What the data set's annotations name; a gallbladder is fluid.
ORGANS = (T.LIVER, T.KIDNEY, T.SPLEEN, T.PANCREAS, T.VESSEL, T.FLUID)
FEWEST = 3  # people: one to test on, and two to train on


@dataclass(frozen=True, eq=False)
class Masked:
    """Frames on the segmenter's grid.

    Attributes:
        image: (N, 3, h, w) in [−1, 1].
        tissue: (N, h, w) uint8 classes; those of ORGANS, the rest is background.
        where: (N, h, w) bool, what counts.
        people: (N,) whom or which series each frame is of.
    """

    image: Tensor
    tissue: Tensor
    where: Tensor
    people: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.image)

    def rows(self, chosen: NDArray[np.bool_]) -> Masked:
        """Return some of the frames."""
        kept = torch.from_numpy(chosen)
        people = tuple(p for p, one in zip(self.people, chosen, strict=True) if one)
        return Masked(self.image[kept], self.tissue[kept], self.where[kept], people)


def masked_frames(root: Path) -> Masked:
    """Read the real frames that have masks, RUS, from both of its splits; of the same frame twice only the first.

    Raises:
        DataError: no such data set, or frames of fewer than 3 people.
    """
    annotations = folder_of(root, "RUS") / "annotations"
    sources = [AusRus(root, split, LINES, part="RUS") for split in ("train", "test") if (annotations / split).is_dir()]
    places = [[i for i, item in enumerate(source.items) if item.mask is not None] for source in sources]
    files = [s.items[i].image for s, members in zip(sources, places, strict=True) for i in members]
    twins = [digest(path) for path in files]
    first = [i for i, twin in enumerate(twins) if twins.index(twin) == i]
    people = tuple(series_of(files[i].stem) for i in first)
    if len(set(people)) < FEWEST:
        raise DataError(f"{root}: RUS has {len(first)} frames with masks, by their names of {len(set(people))} people "
                        f"or series; expected {FEWEST} or more, named by letter and number as a12.png")  # fmt: skip
    batches = [s.in_order(members) for s, members in zip(sources, places, strict=True) if members]
    return _masked(joined(batches).pick(first), people)


def synthetic_frames(generator: Generator | None, count: int, seeds: Sequence[int] = SEEDS) -> Masked:
    """`count` frames of phantoms by a generator, or with None by the physics renderer, and their masks."""
    parts = []
    for number in range(-(-count // 8)):
        one = held_out.phantom_scene(seeds[number % len(seeds)], min(8, count - 8 * number))
        grey = torch.from_numpy(held_out.along_lines(held_out.drawn(one.simulator, one.poses, generator)))
        known, source = torch.ones(len(grey), dtype=torch.bool), torch.full((len(grey),), PHYSICS)
        tissue, valid = torch.from_numpy(one.line_tissue), torch.from_numpy(one.line_visible)
        parts.append(UsBatch(grey, tissue, known, valid, source))
    return _masked(joined(parts))


def drawn_frames(count: int, seeds: Sequence[int] = SEEDS) -> Masked:
    """`count` physics frames of phantoms, each of an invented scanner."""
    return _masked(physics_frames(phantom_cases(seeds), count, LINES, at_once=1, scanner=DRAWN))


def _masked(batch: UsBatch, people: tuple[str, ...] = ()) -> Masked:
    image, tissue, where = reference_segmenter.prepared(batch)
    named = torch.isin(tissue, torch.tensor([int(organ) for organ in ORGANS]))
    return Masked(image, tissue * named, where, people or ("",) * len(image))

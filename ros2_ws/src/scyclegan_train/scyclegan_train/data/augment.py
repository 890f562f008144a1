# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Random flips and rotations of whole samples: image, classes and masks alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from scyclegan_train.data.samples import CtBatch, UsBatch
from scyclegan_train.data.sources import Source
from us_sim.core.generator.card import Card
from us_sim.core.patient.volume import AIR_HU

AnyBatch = TypeVar("AnyBatch", CtBatch, UsBatch)


class Augmented(Generic[AnyBatch]):
    """A source whose samples are flipped left to right half of the time, and turned about the fan's centre.

    What is turned in from outside the fan is not valid. A sample depends on (seed, epoch, index) alone.

    Args:
        source: of CT or ultrasound.
        card: its grid; the probe has a fan, not parallel lines.
        rotation: largest angle, rad.
        seed: of flips and angles.
    """

    def __init__(
        self, source: Source[AnyBatch], card: Card, *, rotation: float = math.radians(10), seed: int = 0
    ) -> None:
        self._source: Source[AnyBatch] = source
        self._card, self._rotation, self._seed = card, rotation, seed

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, indices: Sequence[int], epoch: int = 0) -> AnyBatch:
        """Return the source's samples, each in its own way."""
        rngs = [np.random.default_rng([self._seed, epoch, index, 7]) for index in indices]
        flipped = torch.tensor([rng.random() < 0.5 for rng in rngs])
        angles = torch.tensor([rng.uniform(-self._rotation, self._rotation) for rng in rngs])
        batch = self._source.batch(indices, epoch)
        places = _places(self._card, angles)

        def changed(name: str, value: Tensor) -> Tensor:
            if value.ndim < 3:
                return value
            turned = _sampled(value, places, float(AIR_HU) if name == "hu" else 0.0)
            chosen = flipped.to(value.device)[:, None, None]
            return torch.where(chosen, turned.flip(-1), turned)

        values: dict[str, Any] = {f.name: getattr(batch, f.name) for f in fields(batch)}
        return replace(batch, **{name: changed(name, value) for name, value in values.items() if value is not None})


def _places(card: Card, angles: Tensor) -> Tensor:
    """(B, H, W, 2) where each pixel of a sample turned by an angle comes from, as grid_sample wants it."""
    height, width = card.size
    if card.grid == "polar":
        lines = torch.arange(width)[None] - (angles / card.probe.field_of_view * width).round()[:, None]
        x = ((2 * lines + 1) / width - 1)[:, None].expand(-1, height, -1)
        y = ((2 * torch.arange(height) + 1) / height - 1)[None, :, None].expand_as(x)
        return torch.stack([x, y], dim=-1).float()
    points = torch.tensor(card.probe.pixel_points)
    across, along = points[..., 0], points[..., 2] + card.probe.apex
    cosine, sine = angles.cos()[:, None, None], angles.sin()[:, None, None]
    x, z = across * cosine - along * sine, across * sine + along * cosine - card.probe.apex
    (dx, dz), (x0, z0) = card.probe.pixel_spacing, card.probe.first_pixel
    column, row = (x - x0) / dx, (z - z0) / dz
    return torch.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], dim=-1).float()


def _sampled(value: Tensor, places: Tensor, outside: float) -> Tensor:
    """Nearest neighbour, which keeps speckle and classes as they are; `outside` where nothing comes from."""
    moved = torch.nn.functional.grid_sample(
        (value.float() - outside)[:, None], places.to(value.device), mode="nearest", align_corners=False
    )
    return (moved[:, 0] + outside).to(value.dtype)

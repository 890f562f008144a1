# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A trained generator as teacher for distillation, after Hinton et al. 2015."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from scyclegan_train.data.grid_renderer import GridRenderer
from us_sim.core.errors import ConfigError
from us_sim.core.generator.artifact import Generator
from us_sim.core.generator.card import Card
from us_sim.core.generator.encoding import decode, encode
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.sampling.sampler import Sampler


class Teacher:
    """Renders the student's targets at the same poses, on the student's grid.

    Args:
        generator: the teacher, on the device of the batches.
        student: card of the student.

    Raises:
        ConfigError: the teacher has another kind of grid or another fan, or is fed physics frames.
    """

    def __init__(self, generator: Generator, student: Card) -> None:
        card = generator.card
        refused = card.refusal(student.probe)
        if refused is None and card.probe.depth != student.probe.depth:
            refused = f"it draws to {card.probe.depth:g} mm, the student to {student.probe.depth:g} mm"
        if refused is None and (card.grid != student.grid or card.source != "ct"):
            refused = f"it has grid {card.grid} and source {card.source}; expected {student.grid} and ct"
        if refused is not None:
            raise ConfigError(f"teacher {generator.name!r} cannot teach this generator: {refused}")
        self._generator, self._size = generator, student.size
        self._renderer = GridRenderer(card, generator.device)

    @torch.no_grad()
    def draw(self, scanned: Sampler, poses: Matrix) -> Tensor:
        """Return (B, H, W) grey levels on the student's grid for (B, 4, 4) poses on a CT."""
        card = self._generator.card
        ct = self._renderer.plain(scanned, poses)
        drawn = decode(self._generator.network(encode(card, ct.hu, ct.tissue, ct.scatter, self._renderer.fan)))
        return F.interpolate(drawn[:, None], self._size, mode="bilinear", antialias=True)[:, 0]

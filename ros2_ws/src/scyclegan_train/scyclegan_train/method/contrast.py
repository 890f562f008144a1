# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Contrastive loss: a patch of the fake resembles the patch of the physics frame at its place more than any other.

After Park et al. 2020 (Contrastive learning for unpaired image-to-image translation) and, with the simulated image as
the target, Tomar et al. 2022 (arXiv 2302.10698); the features are fixed filters at coarse levels, which see structures
and hardly speckle.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scyclegan_train.method.filter_bank import FilterBank

LEVELS = (2, 4)  # pixels averaged before the filters
PATCHES = 64  # drawn of each frame and level
TEMPERATURE = 0.07


class PatchContrast(nn.Module):
    """InfoNCE of the fakes' patches against those of their paired frames; other places of the frame are negatives."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = FilterBank()

    def forward(self, fake: Tensor, twin: Tensor, where: Tensor, random: torch.Generator) -> Tensor:
        """Compare (B, 3, H, W) fakes in [−1, 1] with their paired frames, where (B, H, W) counts; `random` draws."""
        total = fake.new_zeros(())
        for level in LEVELS:
            a, b = (F.avg_pool2d(image.mean(dim=1, keepdim=True), level) for image in (fake, twin))
            counts = F.avg_pool2d(where[:, None].float(), level)[:, 0] == 1
            for frame, inside in enumerate(counts):
                chances = inside.flatten().float() + 1e-12
                places = torch.multinomial(chances, PATCHES, generator=random) + frame * inside.numel()
                seen, wanted = (F.normalize(self.bank.at(image, places), dim=0) for image in (a, b))
                own = torch.arange(PATCHES, device=fake.device)
                total = total + inside.any() * F.cross_entropy(seen.T @ wanted / TEMPERATURE, own)
        return total / (len(LEVELS) * len(fake))

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Style without an adversary: sliced Wasserstein distance between filter responses of two sets of frames, by depth.

After Heitz et al. 2021 (A sliced Wasserstein loss for neural texture synthesis), with fixed filters for the network's
features and separate distributions for each depth: what TGC, attenuation and focus do to tone and grain is matched
where it happens, while the anatomy is free.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scyclegan_train.method.filter_bank import CHANNELS, REACH, FilterBank

BANDS = 6  # of depth: 30 mm each at 180 mm
LEVELS = 2  # the image, and the same at half the resolution
DIRECTIONS = 32  # onto which responses are projected, the filters themselves among them
PIXELS = 512  # drawn of each set and band
LEAST_SD = 0.02  # of a projection, in units of the image: below it, real frames show nothing to measure by


class StyleDistance(nn.Module):
    """Distance of the fakes' distribution to that of real frames, in units of the real SD; 0: the same style."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = FilterBank()
        random = torch.Generator().manual_seed(0)
        mixed = F.normalize(torch.randn(DIRECTIONS - CHANNELS, CHANNELS, generator=random), dim=1)
        self.register_buffer("directions", torch.cat([torch.eye(CHANNELS), mixed]), persistent=False)

    def forward(
        self, fake: Tensor, fake_where: Tensor, real: Tensor, real_where: Tensor, random: torch.Generator
    ) -> Tensor:
        """Compare two sets of frames.

        Args:
            fake, real: (B, 3, H, W) in [−1, 1].
            fake_where, real_where: (B, H, W) bool, what counts; a band without any on either side counts as 0.
            random: draws the pixels.
        """
        total = fake.new_zeros(())
        sets = [(fake.mean(dim=1, keepdim=True), fake_where), (real.mean(dim=1, keepdim=True), real_where)]
        for level in range(LEVELS):
            if level:
                sets = [(F.avg_pool2d(image, 2), _halved(where)) for image, where in sets]
            inner = [_inner(where) for _, where in sets]
            for band in range(BANDS):
                drawn = [_drawn(where, band, random) for where in inner]
                a, b = (self._sorted(image, places) for (image, _), (places, _) in zip(sets, drawn, strict=True))
                scale = b.std(dim=1).clamp(min=LEAST_SD)
                counted = drawn[0][1] & drawn[1][1]
                total = total + counted * ((a - b).abs().mean(dim=1) / scale).mean()
        return total / (LEVELS * BANDS)

    def _sorted(self, image: Tensor, places: Tensor) -> Tensor:
        """(DIRECTIONS, PIXELS) projected responses in ascending order: the quantiles."""
        directions: Tensor = self.directions  # type: ignore[assignment]
        return (directions @ self.bank.at(image, places)).sort(dim=1).values


def _drawn(where: Tensor, band: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """(PIXELS,) places in the flattened (B, H, W) that count and lie in a band of depth; and whether there are any."""
    height = where.shape[1]
    rows = torch.arange(height, device=where.device)
    inside = where & ((rows >= height * band // BANDS) & (rows < height * (band + 1) // BANDS))[:, None]
    chances = inside.flatten().float() + 1e-12  # none counts: any will do, the distance is then left out
    return torch.multinomial(chances, PIXELS, replacement=True, generator=random), inside.any()


def _inner(where: Tensor) -> Tensor:
    """(B, H, W) pixels whose filters see only what counts."""
    outside = (~where)[:, None].float()
    for size in ((2 * REACH + 1, 1), (1, 2 * REACH + 1)):
        outside = F.max_pool2d(outside, size, stride=1, padding=(size[0] // 2, size[1] // 2))
    return outside[:, 0] == 0


def _halved(where: Tensor) -> Tensor:
    """(B, H/2, W/2) pixels of the coarser image that are made of pixels that count alone."""
    return F.max_pool2d((~where)[:, None].float(), 2)[:, 0] == 0

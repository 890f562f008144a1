# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Differentiable discriminator augmentation: flips, gain across scan lines, TGC over depth (Zhao et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from us_sim.core.config import ImageSettings

LINE_GAIN, DEPTH_GAIN = 6.0, 3.0  # dB
LINES, DEPTHS = 8, 6  # knots across and down


def augmented(image: Tensor, where: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Flip (B, 3, H, W) images in [−1, 1] and their (B, H, W) pixels that count, and draw smooth gains."""
    image = torch.where(where[:, None], gained(image, random), image)
    flip = torch.rand(len(image), generator=random, device=random.device).to(image.device) < 0.5
    image = torch.where(flip[:, None, None, None], image.flip(-1), image)
    return image, torch.where(flip[:, None, None], where.flip(-1), where)


def gained(image: Tensor, random: torch.Generator) -> Tensor:
    """Draw a gain that changes smoothly across the lines and over the depth of (B, C, H, W) images in [−1, 1]."""
    count, size, device = len(image), image.shape[-2:], image.device

    def drawn(rows: int, columns: int, gain: float) -> Tensor:
        knots = 2 * torch.rand((count, 1, rows, columns), generator=random, device=random.device).to(device) - 1
        return F.interpolate(gain * knots, size, mode="bilinear", align_corners=True)

    level = 2 / ImageSettings().dynamic_range  # of the image to a dB
    return image + level * (drawn(1, LINES, LINE_GAIN) + drawn(DEPTHS, 1, DEPTH_GAIN))

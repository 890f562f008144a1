# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Frames altered as scanners and people alter them: domain randomisation on top of that of the physics renderer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from scyclegan_train.method.augmentation import gained

LINE_GAIN, DEPTH_GAIN = 8.0, 10.0  # dB: what lies deep is dark because it is deep, not because it is fluid
GAMMA = 0.5  # largest logarithm of the exponent on the grey map
BLUR, BLURRED = 1.6, 0.6  # cells, largest standard deviation of a blur along either side; share of the frames blurred
GRAIN, COARSEST = 0.25, 2.0  # largest relative strength of another scanner's speckle, and its size in cells
TAPS = 5  # cells to either side that a blur reads
NOISE = 0.1  # largest standard deviation of grain that is added, of the grey scale
WRITTEN = 0.4  # share of the frames with something burnt in
LETTERS = (2, 8)  # rows and columns of what is burnt in, at most: text and callipers in the fan


def appearance(image: Tensor, random: torch.Generator) -> Tensor:
    """Change grain, tone, gain by place and sharpness of (B, 3, H, W) frames in [−1, 1], and write over them.

    Args:
        image: three times the same grey.
        random: decides everything.
    """
    count = len(image)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand((count, 1, 1, 1), generator=random)

    seen = gained(_regrained(image[:, :1], random), random, LINE_GAIN, DEPTH_GAIN)
    grey = ((seen + 1) / 2).clamp(0, 1) ** torch.exp(uniform(-GAMMA, GAMMA))
    soft = F.avg_pool2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), 3, 1)
    grey = torch.lerp(grey, soft, uniform(-0.5, 1.0))
    grey = grey + uniform(0, NOISE) * torch.randn(grey.shape, generator=random)
    grey = torch.maximum(grey, _writing(grey.shape, random))
    return (2 * grey.clamp(0, 1) - 1).expand(-1, 3, -1, -1)


def _regrained(image: Tensor, random: torch.Generator) -> Tensor:
    """(B, 1, H, W) frames blurred, then under speckle of another size: the grain is that of no one scanner."""
    count = len(image)
    blurred = (torch.rand(count, 1, generator=random) < BLURRED).float()
    soft = _blurred(image, BLUR * blurred * torch.rand(count, 2, generator=random))
    speckle = torch.randn(image.shape, generator=random)
    speckle = _blurred(speckle, 0.3 + (COARSEST - 0.3) * torch.rand(count, 2, generator=random))
    speckle = speckle / speckle.std(dim=(2, 3), keepdim=True)
    strength = GRAIN * torch.rand(count, 1, 1, 1, generator=random)
    return ((soft + 1) * torch.exp(strength * speckle) - 1).clamp(-1, 1)


def _blurred(image: Tensor, sigma: Tensor) -> Tensor:
    """Blur each of (B, 1, H, W) by Gaussians of its own, (B, 2) cells down and across; 0 leaves it as it is."""
    place = torch.arange(-TAPS, TAPS + 1, dtype=image.dtype)
    weights = torch.exp(-0.5 * (place / sigma.clamp(min=0.1)[..., None]).square())
    weights = weights / weights.sum(dim=-1, keepdim=True)
    together = F.pad(image.transpose(0, 1), (TAPS,) * 4, mode="replicate")
    together = F.conv2d(together, weights[:, None, 0, :, None], groups=len(image))
    return F.conv2d(together, weights[:, None, 1, None, :], groups=len(image)).transpose(0, 1)


def _writing(shape: torch.Size, random: torch.Generator) -> Tensor:
    """(B, 1, H, W) bright dots in a small box at any place of some frames, 0 elsewhere."""
    written = torch.zeros(shape)
    for one in written:
        if float(torch.rand((), generator=random)) < WRITTEN:
            size = [int(torch.randint(1, most + 1, (), generator=random)) for most in LETTERS]
            top, left = (int(torch.randint(n - m, (), generator=random)) for n, m in zip(shape[2:], size, strict=True))
            dots = (torch.rand(size, generator=random) < 0.6).float()
            one[0, top : top + size[0], left : left + size[1]] = dots
    return written

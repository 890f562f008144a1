# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A fixed bank of oriented band-pass filters at several scales: untrained features of speckle and interfaces.

Gabor filters in even and odd phase (Daugman 1985). They are the features of the style distance and of the projected
discriminator: features learned from photographs ignore speckle, these do not.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCALES = (1.0, 2.0)  # SD of the envelopes, pixels
ORIENTATIONS = 4
WAVELENGTH = 3.5  # in units of the scale
REACH = 6  # pixels from the middle of a kernel to its edge: 3 SD of the widest


class FilterBank(nn.Module):
    """(B, 1, H, W) image -> (B, CHANNELS, H, W): the image itself, then the responses of all filters."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernels", kernels(), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        bank: Tensor = self.kernels  # type: ignore[assignment]
        return F.conv2d(image, bank, padding=REACH)

    def at(self, image: Tensor, places: Tensor) -> Tensor:
        """(CHANNELS, N) what `forward` gives at (N,) places in the flattened (B, 1, H, W) image, for a few pixels."""
        h, w = image.shape[-2:]
        padded = F.pad(image, [REACH] * 4)
        rows, columns = h + 2 * REACH, w + 2 * REACH
        corner = places // (h * w) * (rows * columns) + places % (h * w) // w * columns + places % w
        side = torch.arange(2 * REACH + 1, device=image.device)
        offsets = (side[:, None] * columns + side).flatten()
        bank: Tensor = self.kernels  # type: ignore[assignment]
        return bank.flatten(1) @ padded.flatten()[corner + offsets[:, None]]


def kernels() -> Tensor:
    """(CHANNELS, 1, k, k) float32: the pixel itself, then filters of zero mean and unit norm."""
    pixel = torch.zeros(2 * REACH + 1, 2 * REACH + 1)
    pixel[REACH, REACH] = 1
    phases = (0.0, -math.pi / 2)
    found = [_gabor(s, p, math.pi * i / ORIENTATIONS) for s in SCALES for p in phases for i in range(ORIENTATIONS)]
    return torch.stack([pixel, *found])[:, None]


CHANNELS = 1 + len(SCALES) * 2 * ORIENTATIONS


def _gabor(scale: float, phase: float, angle: float) -> Tensor:
    y, x = torch.meshgrid(*[torch.arange(-REACH, REACH + 1.0)] * 2, indexing="ij")
    envelope = torch.exp(-0.5 * (x**2 + y**2) / scale**2)
    along = x * math.cos(angle) + y * math.sin(angle)
    wave = envelope * torch.cos(2 * math.pi * along / (WAVELENGTH * scale) + phase)
    wave = wave - envelope * (wave.sum() / envelope.sum())
    return wave / wave.norm()

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""How unlike two frames are, where neither gain nor attenuation is known: correlation in a window about each pixel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from us_sim.core.geometry.probe import ProbeGeometry

FLOOR = 3.0  # grey levels of standard deviation that count as none


class LocalCorrelation:
    """Compares frames with a target by correlation in Gaussian windows, weighed by the contrast of the target there.

    Args:
        target: (H, W) grey levels.
        probe: whose fan the frame is.
        smooth: standard deviation over which both are smoothed before, mm.
        window: standard deviation of the window, mm.
    """

    def __init__(self, target: Tensor, probe: ProbeGeometry, smooth: float, window: float) -> None:
        self._fan = torch.tensor(probe.fan_mask).to(target)
        dx, dz = probe.pixel_spacing
        self._smooth, self._window = ([bell(size / d, target) for d in (dz, dx)] for size in (smooth, window))
        self._target = self._mean(target[None], self._smooth)
        self._middle, self._spread = self._moments(self._target)

    def __call__(self, frames: Tensor) -> Tensor:
        """Return (B,) 1 − correlation of (B, H, W) frames, 0 for the same up to gain and offset."""
        smooth = self._mean(frames, self._smooth)
        middle, spread = self._moments(smooth)
        common = self._mean(smooth * self._target, self._window) - middle * self._middle
        alike = common / ((spread + FLOOR**2) * (self._spread + FLOOR**2)).sqrt()
        weight = self._spread.sqrt() * self._fan
        return 1 - (alike * weight).sum(dim=(-2, -1)) / weight.sum().clamp(min=1e-6)

    def _moments(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        middle = self._mean(frames, self._window)
        return middle, (self._mean(frames.square(), self._window) - middle.square()).clamp(min=0)

    def _mean(self, frames: Tensor, bells: list[Tensor]) -> Tensor:
        """Mean of (B, H, W) frames over the part of the bell that lies in the fan, 0 outside."""
        return self._fan * blurred(frames * self._fan, bells) / blurred(self._fan[None], bells).clamp(min=1e-3)


def bell(sigma: float, like: Tensor) -> Tensor:
    """(2 n + 1,) Gaussian weights of sum 1, to 2.5 standard deviations, in pixels."""
    reach = max(1, int(2.5 * sigma))
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).to(like) / max(sigma, 1e-3)) ** 2)
    return weights / weights.sum()


def blurred(frames: Tensor, bells: list[Tensor]) -> Tensor:
    """(B, H, W) under the weights of rows and of columns, with zeros beyond the border."""
    rows, columns = bells
    tall = conv2d(frames[:, None], rows[None, None, :, None], padding=(len(rows) // 2, 0))
    return conv2d(tall, columns[None, None, None, :], padding=(0, len(columns) // 2))[:, 0]

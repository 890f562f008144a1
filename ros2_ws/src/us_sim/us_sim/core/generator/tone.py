# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Gain, TGC and dynamic range of a generator's output: grey levels back to dB, then compressed again as a scanner does.

Black is no echo of a known level: there gain raises electronic noise alone.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from us_sim.core.config import ImageSettings
from us_sim.core.physics.imaging import NEPER, Formation, slider_gain, tgc
from us_sim.core.physics.scanner import GENERIC, Scanner
from us_sim.core.physics.speckle import compound


def is_trained(settings: ImageSettings) -> bool:
    """Whether gain, TGC and dynamic range are those that generators are trained at: frequency and focus stay so."""
    usual = ImageSettings()
    return replace(settings, frequency=usual.frequency, focus=usual.focus) == usual


def gain_over_depth(depths: Tensor, deepest: float, settings: ImageSettings) -> Tensor | float:
    """Return the gain in dB over the training's at depths in mm, of any shape, in a fan that is `deepest` mm deep.

    The TGC's slope is that of the frequency that generators are trained at, which is what they draw.
    """
    usual = ImageSettings()
    gain = settings.gain - usual.gain + slider_gain(depths, deepest, settings)
    if settings.tgc != usual.tgc:
        gain = gain + tgc(depths, replace(usual, tgc=settings.tgc)) - tgc(depths, usual)
    return gain


def noise_floor(form: Formation) -> Tensor:
    """Return (L, S) amplitude of the electronic noise after TGC, as the training's settings show it."""
    usual = ImageSettings()
    return compound(form.noise) * torch.exp(NEPER * (form.tgc + form.scanner.sensitivity + usual.gain))


def recompressed(
    grey: Tensor, noise: Tensor, gain: Tensor | float, dynamic_range: float, scanner: Scanner = GENERIC
) -> Tensor:
    """Return the grey levels, 0 to 255, of other settings.

    Args:
        grey: at the training's settings.
        noise: of the same shape but for leading axes, from `noise_floor`.
        gain: over the training's, dB: one, or of the shape of the noise.
        dynamic_range: to show, dB.
        scanner: whose grey map drew it.
    """
    usual = ImageSettings()
    black = math.exp(-NEPER * usual.dynamic_range)  # the amplitude that is just black
    share = ((grey - scanner.black) / (255 - scanner.black)).clamp(0, 1) ** (1 / scanner.gamma)
    echo = torch.exp(NEPER * usual.dynamic_range * (share - 1))
    power = (echo.square() - black**2).clamp(min=0) + noise.clamp(max=black).square()
    level = 0.5 * torch.log(power.clamp(min=1e-18)) / NEPER + gain
    shown = (1 + level / dynamic_range).clamp(0, 1) ** scanner.gamma
    return scanner.black + (255 - scanner.black) * shown

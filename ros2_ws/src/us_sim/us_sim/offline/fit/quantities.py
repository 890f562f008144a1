# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""How far two scanners lie apart, in what frames can tell of them.

Sensitivity, gamma and dynamic range compensate for one another, and so do TGC, its limit, attenuation and frequency:
compared are the grey level of liver and of noise by depth, the beam's width in mm, and the fan.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from us_sim.core.physics.imaging import beam_width, tgc
from us_sim.core.physics.scanner_file import ScannerPreset
from us_sim.core.tissue import TissueClass

FIRST, LAST = 0.12, 0.85  # of the fan's depth, between which scanners are compared
ECHOES = torch.linspace(-15.0, 10.0, 26)  # dB to liver
RAYLEIGH = 20 * math.log10(math.sqrt(math.pi / 2))  # mean envelope of noise to the SD of its parts, dB


@dataclass(frozen=True)
class Quantity:
    """What is compared between a true scanner and the one found.

    Attributes:
        unit: of the difference.
        bound: within which it counts as recovered.
        gap: between the true one and another.
    """

    unit: str
    bound: float
    gap: Callable[[ScannerPreset, ScannerPreset], float]


def depths_of(scanner: ScannerPreset) -> Tensor:
    """(D,) mm at which a scanner is compared."""
    return torch.linspace(FIRST, LAST, 25) * scanner.probe.depth


def grey(level: Tensor, scanner: ScannerPreset) -> Tensor:
    """Grey of an amplitude in dB after TGC, to the echo of a perfect reflector at the face."""
    own = scanner.constants
    shown = 1 + (level + own.sensitivity + scanner.image.gain) / scanner.image.dynamic_range
    return own.black + (255 - own.black) * shown.clamp(0, 1) ** own.gamma


def tone(scanner: ScannerPreset, depths: Tensor) -> Tensor:
    """(D, E) grey of ECHOES through liver."""
    gained = tgc(depths, scanner.image, scanner.constants)
    lost = 0.2 * scanner.tissues[TissueClass.LIVER].attenuation * scanner.image.frequency * depths
    return grey(scanner.constants.speckle_level + ECHOES + (gained - lost)[:, None], scanner)


def noise(scanner: ScannerPreset, depths: Tensor) -> Tensor:
    """(D,) mean grey of electronic noise alone."""
    return grey(scanner.constants.noise_level + RAYLEIGH + tgc(depths, scanner.image, scanner.constants), scanner)


def apart(of: Callable[[ScannerPreset, Tensor], Tensor]) -> Callable[[ScannerPreset, ScannerPreset], float]:
    """Return the mean absolute difference of a function of depth."""
    return lambda true, other: float((of(other, depths_of(true)) - of(true, depths_of(true))).abs().mean())


def beam_gap(true: ScannerPreset, other: ScannerPreset) -> float:
    """Mean ratio of the beams' widths over depth, as a share."""
    widths = [beam_width(depths_of(true), one.image, one.constants) for one in (true, other)]
    return float((widths[1] / widths[0]).log().abs().mean().exp() - 1)


def by(of: Callable[[ScannerPreset], float]) -> Callable[[ScannerPreset, ScannerPreset], float]:
    """Return the absolute difference of one value."""
    return lambda true, other: abs(of(other) - of(true))


QUANTITIES = {
    "depth": Quantity("mm", 4.0, by(lambda one: one.probe.depth)),
    "field of view": Quantity("°", 1.5, by(lambda one: math.degrees(one.probe.field_of_view))),
    "tone of liver by depth": Quantity("grey", 10.0, apart(tone)),
    "tone of noise by depth": Quantity("grey", 10.0, apart(noise)),
    "black": Quantity("grey", 4.0, by(lambda one: one.constants.black)),
    "pulse length": Quantity("mm", 0.2, by(lambda one: one.constants.pulse_length)),
    "beam width": Quantity("share", 0.25, beam_gap),
    "looks": Quantity("looks", 2.0, by(lambda one: one.constants.looks)),
    "lateral fall-off": Quantity("dB", 5.0, by(lambda one: one.constants.edge_loss)),
}

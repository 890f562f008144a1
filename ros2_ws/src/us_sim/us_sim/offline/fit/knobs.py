# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The fitted parameters: fields of the image settings and of `Scanner`, the body wall's echo; their ranges."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from us_sim.core.config import ImageSettings
from us_sim.core.physics.scanner import GENERIC, Scanner
from us_sim.core.tissue import TissueClass

WALL = (TissueClass.FAT, TissueClass.MUSCLE, TissueClass.SKIN)

# Where a value is looked for: narrower than what it may be. Left out is what no frame tells apart from these: gain and
# speckle level (sensitivity), frequency (pulse and beam).
SPANS: dict[str, tuple[float, float]] = {
    "dynamic_range": (40.0, 90.0), "tgc": (0.0, 2.0), "focus": (30.0, 150.0),
    "sensitivity": (-35.0, 20.0), "gamma": (0.8, 2.5), "black": (0.0, 20.0), "tgc_limit": (20.0, 100.0),
    "noise_level": (-125.0, -60.0), "looks": (1.0, 6.0), "pulse_length": (0.2, 1.6), "beam_ratio": (0.01, 0.06),
    "edge_loss": (0.0, 20.0), "ring_level": (-45.0, -3.0), "ring_length": (0.3, 4.0), "specular_level": (-15.0, 15.0),
    "side_lobe_level": (-45.0, -10.0), "shadow_level": (-60.0, -32.0), "shadow_length": (5.0, 60.0),
    "wall": (-10.0, 10.0),
}  # fmt: skip
NAMES = tuple(SPANS)
_LOW, _HIGH = (np.array(bounds) for bounds in zip(*SPANS.values(), strict=True))
_SETTINGS = {item.name for item in fields(ImageSettings)}


@dataclass(frozen=True)
class Guess:
    """One scanner of the search.

    Attributes:
        settings, scanner: of image formation.
        wall: dB that fat, muscle and skin scatter more than the table says.
    """

    settings: ImageSettings = field(default_factory=ImageSettings)
    scanner: Scanner = GENERIC
    wall: float = 0.0

    def value(self, name: str) -> float:
        """Return one of NAMES."""
        if name == "wall":
            return self.wall
        return float(getattr(self.settings if name in _SETTINGS else self.scanner, name))


def to_unit(guess: Guess) -> NDArray[np.float64]:
    """Return the guess as a point of the unit cube, (NAMES,); values beyond their span go to its end."""
    values = np.array([guess.value(name) for name in NAMES])
    return np.clip((values - _LOW) / (_HIGH - _LOW), 0.0, 1.0)


def from_unit(point: NDArray[np.float64]) -> Guess:
    """Return the guess at a point of the unit cube."""
    values = dict(zip(NAMES, (_LOW + np.clip(point, 0, 1) * (_HIGH - _LOW)).tolist(), strict=True))
    wall = values.pop("wall")
    of_settings = {name: values.pop(name) for name in _SETTINGS & values.keys()}
    looks = round(values.pop("looks"))
    scanner = replace(GENERIC, looks=looks, **values)
    return Guess(replace(ImageSettings(), **of_settings), scanner, wall)

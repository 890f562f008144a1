# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Domain randomisation: what each episode draws, from which ranges, and the simulator that follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from us_sim.core.config import ImageSettings
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.errors import ConfigError
from us_sim.core.faults import FaultSettings
from us_sim.core.faulty_simulator import FaultySimulator
from us_sim.core.physics.scanner import GENERIC
from us_sim.core.physics.scanner_file import ScannerPreset
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TISSUES, Tissue, TissueClass

Range = tuple[float, float]

# Whose setting a range is of, by the name of its field.
IMAGE, MECHANICS, FAULTS = ({"settings": kind} for kind in (ImageSettings, MechanicsSettings, FaultSettings))


@dataclass(frozen=True)
class Randomisation:
    """Ranges (low, high) of uniform draws; None keeps the setting's default.

    Attributes:
        patients: seeds of built-in phantoms, CT files, or folders from `patients.save_patient`; each equally likely.
        detail: draw finer vessels, walls and layers into them; takes longer to open.
        seeds: of speckle and of what faults hit, each equally likely.
        attenuation: factor on the attenuation of every tissue; needs the renderer `physics`.
        speckle_level: dB, as of a scanner; needs the renderer `physics`.
        flip: probability that images are mirrored.

    The others are ranges of the settings of their names. `fault_position` and `fault_angle` are the calibration error.

    Raises:
        ConfigError: a range whose low end lies above its high one, or that leaves the setting's own.
    """

    patients: tuple[int | str | Path, ...] = (0,)
    detail: bool = False
    seeds: tuple[int, ...] = (0,)
    breathing_amplitude: Range | None = field(default=None, metadata=MECHANICS)
    breathing_period: Range | None = field(default=None, metadata=MECHANICS)
    stiffness: Range | None = field(default=None, metadata=MECHANICS)
    friction: Range | None = field(default=None, metadata=MECHANICS)
    gain: Range | None = field(default=None, metadata=IMAGE)
    dynamic_range: Range | None = field(default=None, metadata=IMAGE)
    frequency: Range | None = field(default=None, metadata=IMAGE)
    fault_position: Range | None = field(default=None, metadata=FAULTS)
    fault_angle: Range | None = field(default=None, metadata=FAULTS)
    fault_dead: Range | None = field(default=None, metadata=FAULTS)
    fault_gel: Range | None = field(default=None, metadata=FAULTS)
    fault_drop: Range | None = field(default=None, metadata=FAULTS)
    attenuation: Range | None = None
    speckle_level: Range | None = None
    flip: float = 0.0

    def __post_init__(self) -> None:
        _check_several("patients", self.patients, (int, np.integer, str, Path), "phantoms' seeds, files or folders")
        _check_several("seeds", self.seeds, (int, np.integer), "whole numbers from 0 on")
        for name, span in self.ranges.items():
            _check_range(name, span)
        for end in (0, 1):
            values = {name: span[end] for name, span in self.ranges.items()}
            _settings(values)
            _scanner(values)
        low, high = self.attenuation or (1.0, 1.0)
        if not (low >= 0 and high <= 5):
            raise ConfigError(f"attenuation is ({low:g}, {high:g}); expected factors from 0 to 5")
        if not isinstance(self.flip, Real) or not 0 <= self.flip <= 1:
            raise ConfigError(f"flip is {self.flip!r}; expected a probability, 0 to 1")

    @property
    def ranges(self) -> dict[str, Range]:
        """Every range that is given, by name."""
        known = {item.name for item in fields(self)} - {"patients", "detail", "seeds", "flip"}
        return {name: span for name in sorted(known) if (span := getattr(self, name)) is not None}

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Return what an episode is made with: `patient`, `seed`, `flip`, and a value of each range."""
        drawn: dict[str, Any] = {
            "patient": self.patients[int(rng.integers(len(self.patients)))],
            "seed": self.seeds[int(rng.integers(len(self.seeds)))],
            "flip": bool(rng.random() < self.flip),
        }
        return drawn | {name: float(rng.uniform(*span)) for name, span in self.ranges.items()}


def _check_several(name: str, given: Any, kinds: tuple[type, ...], expected: str) -> None:
    if isinstance(given, (str, Path)) or not isinstance(given, Iterable):
        raise ConfigError(f"{name} is {given!r}; expected a tuple of {expected}")
    if not tuple(given):
        raise ConfigError(f"{name} is empty; expected one or more to draw from")
    for one in given:
        if not isinstance(one, kinds) or (isinstance(one, (int, np.integer)) and one < 0):
            raise ConfigError(f"{name} holds {one!r}; expected {expected}")


def _check_range(name: str, span: Any) -> None:
    if not isinstance(span, Sequence) or len(span) != 2 or not all(isinstance(end, Real) for end in span):
        raise ConfigError(f"{name} is {span!r}; expected a range, (low, high)")
    low, high = span
    if not low <= high:
        raise ConfigError(f"{name} is ({low:g}, {high:g}); expected a low end that is not above the high one")


def simulator_of(base: Simulator, drawn: Mapping[str, Any]) -> FaultySimulator:
    """Return the simulator that an episode's values describe; what they do not touch is shared with `base`.

    Raises:
        ConfigError: attenuation or speckle for a generator, which draws as it was trained.
    """
    image, mechanics, faults = _settings(drawn)
    simulator = base.replace(settings=image, mechanics=mechanics, seed=drawn["seed"], scanner=_scanner(drawn))
    return FaultySimulator(simulator, replace(faults, fault_flip=drawn["flip"]))


def _settings(values: Mapping[str, Any]) -> tuple[ImageSettings, MechanicsSettings, FaultSettings]:
    """The settings that hold these values, those by default where there are none."""
    groups: dict[type[Any], dict[str, Any]] = {ImageSettings: {}, MechanicsSettings: {}, FaultSettings: {}}
    for item in fields(Randomisation):
        if "settings" in item.metadata and item.name in values:
            groups[item.metadata["settings"]][item.name] = values[item.name]
    image, mechanics, faults = (kind(**given) for kind, given in groups.items())
    return image, mechanics, faults


def _scanner(drawn: Mapping[str, Any]) -> ScannerPreset | None:
    """The generic scanner with another attenuation or speckle; None if it is as it was."""
    if not {"attenuation", "speckle_level"} & set(drawn):
        return None
    constants = replace(GENERIC, speckle_level=drawn.get("speckle_level", GENERIC.speckle_level))
    factor = drawn.get("attenuation", 1.0)
    tissues: dict[TissueClass, Tissue] = {
        kind: replace(tissue, attenuation=factor * tissue.attenuation) for kind, tissue in TISSUES.items()
    }
    return ScannerPreset(name="drawn", constants=constants, tissues=tissues)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Settings with defaults, ranges and descriptions: node parameters, flags and tables derive from here."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from us_sim.core.errors import ConfigError

RENDERERS = ("generator", "physics", "ct")
DEVICES = ("auto", "cpu", "cuda")
MOTION_NAMES = ("liver_sweep", "fan_tilt", "rotation")  # what `robot.motion.motion` makes
SOFT_WINDOW = (-150.0, 250.0)  # HU shown as black and white


def setting(
    default: Any, description: str, low: float | None = None, high: float | None = None, choices: tuple[str, ...] = ()
) -> Any:
    """Return a dataclass field that carries its description and its range or choices."""
    return field(
        default=default,
        metadata={"description": description, "low": low, "high": high, "choices": choices},
    )


def again(config: type[Any], name: str, description: str, **changes: Any) -> Any:
    """Return a dataclass field that is declared in another settings dataclass, with a description for this one.

    Args:
        config: where default, range and choices are declared.
        name: of the field.
        description: of what it means here.
        changes: other `default` or `choices` than there.
    """
    item = config.__dataclass_fields__[name]
    rule = {key: item.metadata[key] for key in ("low", "high", "choices")}
    return setting(**{"default": item.default, **rule, "description": description, **changes})


@dataclass(frozen=True)
class ImageSettings:
    """Controls of the scanner's front panel; all change live.

    Raises:
        ConfigError: a value outside its range, named with the range.
    """

    gain: float = setting(0.0, "overall gain, dB", -40.0, 40.0)
    dynamic_range: float = setting(55.0, "dynamic range of the log compression, dB", 20.0, 120.0)
    frequency: float = setting(3.5, "transmit centre frequency, MHz", 1.0, 15.0)
    focus: float = setting(70.0, "depth of the transmit focus, mm", 10.0, 400.0)
    tgc: float = setting(1.2, "time gain compensation (TGC): tissue attenuation compensated for, dB/(cm MHz)", 0.0, 2.0)
    tgc_1: float = setting(0.0, "TGC slider 1 of 8: gain in the first eighth of the depth, dB", -20.0, 20.0)
    tgc_2: float = setting(0.0, "TGC slider 2: gain in the second eighth of the depth, dB", -20.0, 20.0)
    tgc_3: float = setting(0.0, "TGC slider 3, dB", -20.0, 20.0)
    tgc_4: float = setting(0.0, "TGC slider 4, dB", -20.0, 20.0)
    tgc_5: float = setting(0.0, "TGC slider 5, dB", -20.0, 20.0)
    tgc_6: float = setting(0.0, "TGC slider 6, dB", -20.0, 20.0)
    tgc_7: float = setting(0.0, "TGC slider 7, dB", -20.0, 20.0)
    tgc_8: float = setting(0.0, "TGC slider 8: gain in the last eighth of the depth, dB", -20.0, 20.0)

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def tgc_sliders(self) -> tuple[float, ...]:
        """Gain of the eight TGC sliders, from the face down, dB."""
        return tuple(getattr(self, name) for name in TGC_SLIDERS)


TGC_SLIDERS = tuple(f"tgc_{number}" for number in range(1, 9))


@dataclass(frozen=True)
class SimConfig:
    """How the simulator starts. Every field is a launch argument and a node parameter of the same name.

    Raises:
        ConfigError: a value outside its range or choices.
    """

    ct: str = setting(
        "",
        "CT volume: file (NIfTI, NRRD, MetaImage, …) or DICOM folder; empty for the built-in phantom of `seed`, "
        "phantom:7 for that of seed 7",
    )
    labels: str = setting("", "segmentation of the CT: file or folder of masks; empty to classify tissue by HU")
    label_scheme: str = setting("", "label scheme of the segmentation; empty to detect it")
    labels_map: str = setting("", "YAML file that maps label values or names to classes; overrides label_scheme")
    detail: bool = setting(True, "add anatomy below CT resolution (vessels, walls, layers) to the organs, by seed")
    generator: str = setting("", "generator artifact (.safetensors), or a shipped one: abdomen (default), abdomen_lite")
    renderer: str = setting("generator", "renderer of ~/image", choices=RENDERERS)
    device: str = setting("auto", "compute device", choices=DEVICES)
    probe: str = setting("c5_2", "probe preset, or path of a YAML file with the probe's geometry")
    scanner: str = setting(
        "", "scanner preset, or a YAML file from us_sim_fit: probe, image settings, constants; empty for none"
    )
    depth: float = setting(0.0, "imaging depth, mm; 0 for the preset's default", 0.0, 400.0)
    slice_thickness: float = setting(0.0, "elevational beam width, mm; 0 for the preset's default", 0.0, 20.0)
    rows: int = setting(0, "rows of the frame, columns in proportion; 0 for the probe's own", 0, 1024)
    sector: float = setting(1.0, "sector width: share of the scan lines, around the middle, that is shown", 0.2, 1.0)
    elevation_planes: int = setting(1, "elevational planes averaged over the slice thickness, odd", 1, 21)
    seed: int = setting(0, "random seed of scatterers, noise, faults, detail and the built-in phantom", 0, 2**31 - 1)

    def __post_init__(self) -> None:
        check_ranges(self)


def check_ranges(settings: Any) -> None:
    """Compare every field of a settings dataclass with its range or choices.

    Raises:
        ConfigError: naming field, value and what was expected.
    """
    for item in fields(settings):
        value, rule = getattr(settings, item.name), item.metadata
        if rule["choices"] and value not in rule["choices"]:
            raise ConfigError(f"{item.name} is {value!r}; expected one of {', '.join(rule['choices'])}")
        if rule["low"] is not None and not rule["low"] <= value <= rule["high"]:
            raise ConfigError(f"{item.name} is {value}; expected {rule['low']:.10g} to {rule['high']:.10g}")

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A scanner as a YAML file: probe, image settings, constants of image formation, acoustic table.

    name: my_scanner            # display name
    source: where it comes from # frames it was fitted to, and their licence
    probe: {kind: convex, radius_of_curvature: 60.0, field_of_view: 1.2, depth: 160.0}  # `ProbeGeometry`; mm, rad
    image: {dynamic_range: 60.0, tgc: 0.9}        # `ImageSettings`
    constants: {pulse_length: 0.6, looks: 4}      # `Scanner`
    tissues: {fat: {backscatter: 6.0}}            # `Tissue`: impedance, attenuation, backscatter, …

What is left out keeps its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml

from us_sim.core.config import ImageSettings
from us_sim.core.errors import ConfigError, ProbeError
from us_sim.core.geometry.probe import ProbeGeometry, preset
from us_sim.core.geometry.probe_file import probe_of
from us_sim.core.physics.scanner import GENERIC, Scanner
from us_sim.core.tissue import TISSUES, Tissue, TissueClass
from us_sim.core.user_files import home, read_yaml

DEFAULT_PROBE = "c5_2"
SECTIONS = ("name", "source", "probe", "image", "constants", "tissues")
ACOUSTIC = {  # what a file may change of a tissue, and within which limits
    "impedance": (1e-4, 20.0),
    "attenuation": (0.0, 100.0),
    "backscatter": (-80.0, 30.0),
    "heterogeneity": (0.0, 10.0),
    "specularity": (0.0, 1.0),
}
Settings = TypeVar("Settings", ImageSettings, Scanner)


@dataclass(frozen=True)
class ScannerPreset:
    """A scanner to simulate.

    Attributes:
        name, source: what it is called, and where its values come from.
        probe: its fan.
        image: initial settings; all change live.
        constants: of image formation.
        tissues: the acoustic table, all classes.
    """

    name: str = "generic"
    source: str = ""
    probe: ProbeGeometry = field(default_factory=lambda: preset(DEFAULT_PROBE))
    image: ImageSettings = field(default_factory=ImageSettings)
    constants: Scanner = GENERIC
    tissues: Mapping[TissueClass, Tissue] = field(default_factory=lambda: TISSUES)


def scanners() -> dict[str, Path]:
    """Return the shipped scanners' files by name."""
    folder = Path(str(files("us_sim") / "resources" / "scanners"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_scanner(name: str) -> ScannerPreset:
    """Return a shipped scanner by name, or the one that a YAML file describes.

    Raises:
        ConfigError: unknown name; a file that is missing, no YAML, has unknown keys or values out of range.
    """
    known = scanners()
    if name not in known and not name.endswith((".yaml", ".yml")):
        raise ConfigError(f"unknown scanner {name!r}; expected one of {', '.join(known)}, or a path that ends in .yaml")
    path = known.get(name, home(name))
    content = read_yaml(path, ConfigError)
    try:
        return _scanner(content, path.stem)
    except (ConfigError, ProbeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def save_scanner(scanner: ScannerPreset, path: Path, remarks: str = "") -> None:
    """Write a scanner to YAML; of the acoustic table only what differs from the default.

    Args:
        scanner: what to write.
        path: where.
        remarks: lines of comment at the top.
    """
    probe = {key: value for key, value in asdict(scanner.probe).items() if value is not None}
    changed = {
        tissue.name.lower(): {
            key: getattr(own, key) for key in ACOUSTIC if getattr(own, key) != getattr(TISSUES[tissue], key)
        }
        for tissue, own in scanner.tissues.items()
    }
    content = {
        "name": scanner.name, "source": scanner.source,
        "probe": {**probe, "kind": scanner.probe.kind.name.lower()},
        "image": asdict(scanner.image), "constants": asdict(scanner.constants),
        "tissues": {name: values for name, values in changed.items() if values},
    }  # fmt: skip
    head = "".join(f"# {line}\n" for line in remarks.splitlines())
    path.write_text(head + yaml.safe_dump(content, sort_keys=False, width=110))


def tissues_of(changes: Mapping[str, Any]) -> dict[TissueClass, Tissue]:
    """Return the acoustic table with some properties of some classes changed.

    Raises:
        ConfigError: an unknown class or property, or a value out of range, named with what was expected.
    """
    table, names = dict(TISSUES), {one.name.lower(): one for one in TissueClass}
    for name, values in _mapping("tissues", changes).items():
        _known("tissues", [name], names)
        of_class = _mapping(f"tissues: {name}", values)
        _known(f"tissues: {name}", of_class, ACOUSTIC)
        for key, value in of_class.items():
            low, high = ACOUSTIC[key]
            if not _is_number(value) or not low <= value <= high:
                raise ConfigError(f"tissues: {name}: {key} is {value!r}; expected {low:g} to {high:g}")
        table[names[name]] = replace(table[names[name]], **of_class)
    return table


def _scanner(content: object, name: str) -> ScannerPreset:
    if not isinstance(content, dict):
        raise ConfigError(f"holds {type(content).__name__}; expected the sections {', '.join(SECTIONS)}")
    _known("the file", content, SECTIONS)
    return ScannerPreset(
        str(content.get("name", name)),
        str(content.get("source", "")),
        probe_of(_mapping("probe", content["probe"])) if "probe" in content else preset(DEFAULT_PROBE),
        _settings(ImageSettings, "image", content.get("image")),
        _settings(Scanner, "constants", content.get("constants")),
        tissues_of(content.get("tissues") or {}),
    )


def _settings(kind: type[Settings], section: str, content: object) -> Settings:
    values = _mapping(section, content or {})
    defaults: dict[str, Any] = {item.name: item.default for item in fields(kind)}
    _known(section, values, defaults)
    for key, value in values.items():
        whole = isinstance(defaults[key], int)
        if not _is_number(value) or (whole and value != int(value)):
            raise ConfigError(f"{section}: {key} is {value!r}; expected a {'whole ' if whole else ''}number")
    try:
        return kind(**{key: type(defaults[key])(value) for key, value in values.items()})
    except ConfigError as error:
        raise ConfigError(f"{section}: {error}") from error


def _mapping(section: str, content: object) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise ConfigError(f"{section} holds {content!r}; expected lines of the form `name: value`")
    return {str(key): value for key, value in content.items()}


def _known(section: str, found: Any, known: Any) -> None:
    unknown = sorted(map(str, set(found) - set(known)))
    if unknown:
        raise ConfigError(f"{section}: unknown {', '.join(unknown)}; expected some of {', '.join(known)}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

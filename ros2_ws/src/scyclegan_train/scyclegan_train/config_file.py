# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A run's configuration as YAML: read, checked, and saved with the run."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from scyclegan_train.config import Config
from us_sim.core.errors import ConfigError
from us_sim.core.user_files import parse_yaml, read_yaml

CONFIGS = Path(__file__).parent / "configs"
Section = TypeVar("Section")


def load_config(path: str | Path, changes: typing.Sequence[str] = ()) -> Config:
    """Read a run's configuration.

    Args:
        path: a YAML file, or the name of a shipped one, like `paper.yaml`.
        changes: `section.name=value` each, as on the command line; they win over the file.

    Raises:
        ConfigError: no such file, no YAML, an unknown name, a value of the wrong type or outside its range.
    """
    file = Path(path) if Path(path).is_file() else CONFIGS / Path(path).name
    if not file.is_file():
        shipped = ", ".join(sorted(p.name for p in CONFIGS.glob("*.yaml")))
        raise ConfigError(f"{path}: no such file; give a path or one of {shipped}")
    data = read_yaml(file, ConfigError) or {}
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: found {data!r}; expected names and values")
    for change in changes:
        _apply(data, change)
    return from_mapping(Config, data, str(file))


def config_of(text: str, where: str) -> Config:
    """Return the configuration that a run wrote as YAML.

    Args:
        text: of `to_yaml`.
        where: it comes from, for the message.

    Raises:
        ConfigError: as `load_config`.
    """
    return from_mapping(Config, parse_yaml(text, where, ConfigError), where)


def to_yaml(config: Config) -> str:
    """Return a configuration as YAML that `load_config` reads back to the same."""
    text: str = yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False, allow_unicode=True)
    return text


def from_mapping(section: type[Section], data: Any, where: str) -> Section:
    """Build a section from plain values, checking names and types.

    Raises:
        ConfigError: naming the place, what was found, and what was expected.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: found {data!r}; expected names and values")
    hints = typing.get_type_hints(section)
    known = [f.name for f in dataclasses.fields(section)]  # type: ignore[arg-type]
    for name in data:
        if name not in known:
            raise ConfigError(f"{where}: unknown name {name!r}; expected one of {', '.join(known)}")
    try:
        return section(**{name: _value(hints[name], value, f"{where}: {name}") for name, value in data.items()})
    except ConfigError as error:
        raise error if str(error).startswith(where) else ConfigError(f"{where}: {error}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) is tuple:
        return _tuple(typing.get_args(hint), value, where)
    if hint is float:
        value = _number(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where} is {value!r}; expected a value of type {hint.__name__}")
    return value


def _number(value: Any) -> Any:
    """A whole number as a float, and what YAML 1.1 reads as text: 1e-4, a number without its point."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) else value


def _tuple(hints: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where} is {value!r}; expected a list")
    if hints[-1] is Ellipsis:
        hints = (hints[0],) * len(value)
    if len(hints) != len(value):
        raise ConfigError(f"{where} is {value!r}; expected {len(hints)} values")
    return tuple(_value(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(hints, value, strict=True)))


def _apply(data: dict[str, Any], change: str) -> None:
    """Put `section.name=value` into nested plain values."""
    path, found, text = change.partition("=")
    if not found:
        raise ConfigError(f"--set {change}: expected section.name=value")
    *sections, name = path.split(".")
    here: Any = data
    for section in sections:
        here = _inner(here, section, change)
    value = parse_yaml(text, f"--set {change}", ConfigError)
    if isinstance(here, list):
        here[_place(here, name, change)] = value
    else:
        here[name] = value


def _inner(here: Any, section: str, change: str) -> Any:
    found = here[_place(here, section, change)] if isinstance(here, list) else here.setdefault(section, {})
    if not isinstance(found, dict | list):
        raise ConfigError(f"--set {change}: {section} holds no names")
    return found


def _place(here: list[Any], name: str, change: str) -> int:
    if not name.isdigit() or int(name) >= len(here):
        raise ConfigError(f"--set {change}: {name} is no place in a list of {len(here)}, counted from 0")
    return int(name)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value

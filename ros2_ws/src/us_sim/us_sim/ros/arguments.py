"""The arguments of `make sim` and of the launch file: one table, derived from the settings dataclasses.

An argument left out is not passed on: each node has the same default of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from us_sim.core.config import check_ranges, setting
from us_sim.core.errors import ConfigError
from us_sim.ros.parameters import CONFIGS
from us_sim.viewer.config import ViewerConfig

Value = bool | int | float | str


@dataclass(frozen=True)
class LaunchConfig:
    """What is started beside the node, and where."""

    motion: str = setting("liver_sweep", "how the demo moves the probe", choices=(
        "liver_sweep", "fan_tilt", "rotation", "none"))
    rate: float = setting(30.0, "poses per second: of the demo, or taken from TF (pose_source tf), Hz", 1.0, 200.0)
    period: float = setting(12.0, "duration of one round of the demo motion, s", 1.0, 600.0)
    viewer: bool = setting(True, "serve a page that shows everything and takes the probe by the mouse")
    rviz: bool = setting(False, "show everything in rviz2 (needs a ROS 2 installation)")
    namespace: str = setting("", "namespace of the nodes, for several simulators at once")
    world_from_ct: str = setting(
        "", "pose of the CT in frame world: 'x y z yaw pitch roll', m and rad (needs tf2_ros); empty for none")
    use_sim_time: bool = setting(False, "take the time from /clock")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.world_from_ct:
            numbers(self.world_from_ct)


@dataclass(frozen=True)
class Argument:
    """One `name:=value`; its type is that of the default."""

    name: str
    default: Value
    description: str
    choices: tuple[str, ...]
    config: type

    @property
    def text(self) -> str:
        """The default as one would write it; empty where the namespace decides (frames)."""
        if self.name.endswith("_frame_id"):
            return ""
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)


_ALL: tuple[type[Any], ...] = (*CONFIGS, LaunchConfig, ViewerConfig)

ARGUMENTS = {
    item.name: Argument(
        item.name, getattr(config, item.name), item.metadata["description"], item.metadata["choices"], config
    )
    for config in _ALL
    for item in fields(config)
}

NODE = {"use_sim_time", *(item.name for config in CONFIGS for item in fields(config))}
VIEWER = {"use_sim_time", *(item.name for item in fields(ViewerConfig))}
MOTION = {"motion", "rate", "period", "ct_frame_id", "ct", "labels", "label_scheme", "seed", "use_sim_time"}


def parse(words: Iterable[str]) -> dict[str, Value]:
    """Return the values of `name:=value` words.

    Raises:
        ConfigError: not of that form, an unknown name, or a value of the wrong type, range or choice.
    """
    pairs = [word.partition(":=") for word in words]
    for name, sign, _ in pairs:
        if not sign:
            raise ConfigError(f"{name!r} is not an argument; expected name:=value, as in renderer:=physics")
    return convert({name: text for name, _, text in pairs})


def convert(texts: dict[str, str]) -> dict[str, Value]:
    """Return typed values of arguments given as text; an empty one counts as left out.

    Raises:
        ConfigError: an unknown name, or a value of the wrong type, range or choice.
    """
    for name in texts:
        if name not in ARGUMENTS:
            raise ConfigError(f"unknown argument {name!r}; known are {', '.join(sorted(ARGUMENTS))}")
    values = {name: _typed(ARGUMENTS[name], text) for name, text in texts.items() if text}
    for config in {ARGUMENTS[name].config for name in values}:
        config(**{name: value for name, value in values.items() if ARGUMENTS[name].config is config})
    return values


def given(values: dict[str, Value], names: set[str]) -> dict[str, Value]:
    """Return the part of the values that one node understands."""
    return {name: value for name, value in values.items() if name in names}


def numbers(world_from_ct: str) -> list[float]:
    """Return x, y, z, yaw, pitch, roll in m and rad.

    Raises:
        ConfigError: not six finite numbers.
    """
    try:
        found = [float(word) for word in world_from_ct.split()]
    except ValueError:
        found = []
    if len(found) != 6 or not all(map(math.isfinite, found)):
        raise ConfigError(f"world_from_ct is {world_from_ct!r}; expected six numbers: x y z yaw pitch roll")
    return found


def _typed(argument: Argument, text: str) -> Value:
    kind = type(argument.default)
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        expected = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise ConfigError(f"{argument.name} is {text!r}; expected {expected}") from None

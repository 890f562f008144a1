# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The arguments of `make sim` and of the launch file: one table, derived from the settings dataclasses.

An argument left out is not passed on: each node has the same default of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from us_sim.client.igtl_config import IgtlConfig
from us_sim.control.config import ScanConfig, ServoConfig
from us_sim.core.config import MOTION_NAMES, again, check_ranges, setting
from us_sim.core.errors import ConfigError
from us_sim.core.robot.placement import HOLDER_ORDER, TABLE_ORDER, six_numbers
from us_sim.ros.motion_config import PATIENT, ArmConfig, MotionConfig
from us_sim.ros.parameters import CONFIGS
from us_sim.viewer.config import ViewerConfig

Value = bool | int | float | str
_NAMESPACE = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*/?", re.ASCII)


@dataclass(frozen=True)
class LaunchConfig:
    """What is launched besides the node."""

    motion: str = again(MotionConfig, "motion", "demo motion of the probe", choices=(*MOTION_NAMES, "none"))
    rate: float = again(MotionConfig, "rate", "pose rate of the demo motion, or of the TF lookup (pose_source tf), Hz")
    period: float = again(MotionConfig, "period", "period of the demo motion, s")
    viewer: bool = setting(True, "serve the browser view, with mouse control of the probe")
    controllers: bool = setting(False, "start us_sim_scan and us_sim_servo too; they wait for a goal, or for ~/start")
    igtl: bool = setting(False, "serve the frames by OpenIGTLink to this computer, for 3D Slicer (extra igtl)")
    rviz: bool = setting(False, "start rviz2 with its configuration (needs a ROS 2 installation)")
    namespace: str = setting("", "namespace of the nodes, for several simulators at once")
    arm: bool = setting(False, "a simulated seven-axis arm carries the probe along the demo motion")
    world_from_ct: str = again(
        ArmConfig,
        "world_from_ct",
        f"pose of the CT in frame world: '{TABLE_ORDER}', m and rad (without arm it needs tf2_ros); empty for none",
        default="",
    )
    flange_frame_id: str = setting("", "frame id of your arm's flange, to which the probe is mounted (needs tf2_ros)")
    flange_calibration: str = again(
        ArmConfig,
        "flange_calibration",
        f"hand-eye calibration: pose of the probe in the flange, '{HOLDER_ORDER}', m and rad",
    )
    preset: str = setting("none", "emulate the ROS driver of a scanner", choices=("none", "clarius"))
    companion_ends: str = setting(
        "go_on",
        "when the demo, the arm or the browser view exits: the others go on, it is restarted (3 times at "
        "most), or all end",
        choices=("go_on", "restart", "end_all"),
    )
    end_with_launch: bool = setting(
        True, "the nodes end when the process that launched them is gone, even if it was killed"
    )
    use_sim_time: bool = setting(False, "use the time of /clock")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.world_from_ct:
            six_numbers("world_from_ct", self.world_from_ct, TABLE_ORDER)
        six_numbers("flange_calibration", self.flange_calibration, HOLDER_ORDER)
        if self.namespace and not _NAMESPACE.fullmatch(self.namespace):
            raise ConfigError(
                f"namespace is {self.namespace!r}; expected names of letters, digits and _, as in left or room/left"
            )
        if self.arm and self.motion == "none":
            raise ConfigError("arm is true, but motion is 'none'; choose a motion for the arm, or leave the arm out")


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


_ALL: tuple[type[Any], ...] = (*CONFIGS, LaunchConfig, ViewerConfig, IgtlConfig)

ARGUMENTS = {
    item.name: Argument(
        item.name, getattr(config, item.name), item.metadata["description"], item.metadata["choices"], config
    )
    for config in _ALL
    for item in fields(config)
}


def _understood(*configs: type[Any]) -> set[str]:
    """Names of the parameters of a node with these settings; rclpy gives every node its clock's."""
    return {"use_sim_time", *(item.name for config in configs for item in fields(config))}


NODE = _understood(*CONFIGS)
VIEWER = _understood(ViewerConfig)
IGTL = _understood(IgtlConfig)
MOTION = {*_understood(MotionConfig), *PATIENT}
SCAN = _understood(ScanConfig)
SERVO = _understood(ServoConfig)
ARM = {*_understood(ArmConfig), *PATIENT}
# What clarius_ros2 (github.com/idra-lab/clarius_ros2) calls its image, its frame and the service that stops it.
CLARIUS_FRAME = "clarius_probe"
CLARIUS_NAMES = {
    "us_sim/image": "us_image",
    "us_sim/image/compressed": "us_image/compressed",
    "us_sim/freeze": "enable_freeze",
}


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
    return _as_a_scanner(values) if values.get("preset") == "clarius" else values


def remappings(values: dict[str, Value]) -> dict[str, str]:
    """Return the new names, by the old ones, that hold for all nodes."""
    return CLARIUS_NAMES if values.get("preset") == "clarius" else {}


def _as_a_scanner(values: dict[str, Value]) -> dict[str, Value]:
    """Set what the preset says wherever the default, which `ros2 launch` writes out, stands."""
    frame = f"{str(values.get('namespace', '')).strip('/')}/{CLARIUS_FRAME}".strip("/")
    said: dict[str, Value] = {"image_encoding": "bgra8", "probe_frame_id": frame}
    return {
        **values,
        **{name: value for name, value in said.items() if values.get(name) in (None, ARGUMENTS[name].default)},
    }


def given(values: dict[str, Value], names: set[str]) -> dict[str, Value]:
    """Return the part of the values that one node understands."""
    return {name: value for name, value in values.items() if name in names}


def _typed(argument: Argument, text: str) -> Value:
    kind = type(argument.default)
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        expected = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise ConfigError(f"{argument.name} is {text!r}; expected {expected}") from None

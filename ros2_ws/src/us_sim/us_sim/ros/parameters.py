# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Node parameters, declared from the settings dataclasses."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import Field, dataclass, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from us_sim.core.config import ImageSettings, SimConfig, again, check_ranges, setting
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.errors import ConfigError
from us_sim.core.faults import FaultSettings
from us_sim.ros.motion_config import MotionConfig


@dataclass(frozen=True)
class RosConfig:
    """Settings of the node alone: source of poses, frame ids, encodings.

    Raises:
        ConfigError: a value outside its range or choices.
    """

    autostart: bool = setting(True, "configure and activate at start; false under a lifecycle manager")
    data_folders: str = setting(
        "", "folders that ~/load_* may read, separated by ':'; empty: home, working directory and the parameters' files"
    )
    load_timeout: float = setting(300.0, "time limit of ~/load_*, s", 1.0, 3600.0)
    pose_source: str = setting("topic", "source of probe poses", choices=("topic", "tf"))
    ct_frame_id: str = again(
        MotionConfig, "ct_frame_id", "frame id of the patient; default prefixed by the node's namespace"
    )
    probe_frame_id: str = setting("probe", "frame id of the probe; default prefixed by the node's namespace")
    image_encoding: str = setting("mono8", "encoding of ~/image", choices=("mono8", "bgra8"))
    compressed_format: str = setting("jpeg", "encoding of ~/image/compressed", choices=("jpeg", "png"))
    publish_tf: bool = setting(
        True, "broadcast on TF (with tf2_ros) the plane of the image and, with pose_source topic, the probe's pose"
    )
    tf_timeout: float = setting(0.05, "timeout of the transform lookup for a pose, s", 0.0, 1.0)
    rate: float = again(MotionConfig, "rate", "rate at which poses are looked up in TF (pose_source tf), Hz")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class AnalysisConfig:
    """Where ~/analysis reads the organs.

    Raises:
        ConfigError: a value outside its choices, or a source that is not there.
    """

    analysis_source: str = setting(
        "labels", "source of the organs in ~/analysis: true labels, or the image", choices=("labels", "segmenter")
    )
    segmenter: str = setting("organs", "segmenter artifact (.safetensors), or the shipped one, organs; empty for none")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.analysis_source == "segmenter" and not self.segmenter:
            raise ConfigError(
                "analysis_source is 'segmenter', but segmenter is empty; start with segmenter 'organs', or an artifact "
                "that `scyclegan_train export --segmenter` wrote, or use 'labels'"
            )


Settings = TypeVar("Settings")
CONFIGS: tuple[type[Any], ...] = (SimConfig, ImageSettings, MechanicsSettings, FaultSettings, RosConfig, AnalysisConfig)
LIVE = {
    "renderer", "depth", "slice_thickness", "rows", "sector", "elevation_planes", "analysis_source",
    *(f.name for config in (ImageSettings, MechanicsSettings, FaultSettings) for f in fields(config)),
}  # fmt: skip
_HINTS = {
    "ct": "call ~/load_patient",
    "labels": "call ~/load_patient",
    "label_scheme": "call ~/load_patient",
    "labels_map": "call ~/load_patient with it as label_scheme",
    "generator": "call ~/load_generator",
}


def declare(node: Node, config: type[Any], names: Iterable[str] | None = None) -> None:
    """Declare one parameter for every field of a settings dataclass, or for those named.

    Default frames are prefixed by the namespace (`left/probe`), so that several simulators share one TF tree.
    """
    namespace = node.get_namespace().strip("/")
    for item in fields(config):
        if names is not None and item.name not in names:
            continue
        default = item.default
        if item.name.endswith("_frame_id") and namespace:
            default = f"{namespace}/{default}"
        node.declare_parameter(item.name, default, _descriptor(item))


def read(node: Node, config: type[Settings]) -> Settings:
    """Return the parameters' values as an instance of their dataclass.

    Raises:
        ConfigError: a value outside its range.
    """
    anything: Any = config  # a type variable cannot say that it stands for dataclasses
    return anything(**{item.name: node.get_parameter(item.name).value for item in fields(anything)})


def changes_of(config: type[Any], parameters: Iterable[Parameter]) -> dict[str, Any]:
    """Return name and value of those parameters that are fields of a settings dataclass."""
    names = {item.name for item in fields(config)}
    return {p.name: p.value for p in parameters if p.name in names}


def fix(node: Node, names: Iterable[str]) -> None:
    """Refuse changes of declared parameters that a node reads at its start alone; their own value is no change."""
    fixed = frozenset(names)

    def check(parameters: list[Parameter]) -> SetParametersResult:
        changed = next(_changed(node, parameters, fixed), None)
        if changed is None:
            return consent()
        return refusal(f"{changed} is read when {node.get_name()} starts; stop it and start it with {changed}")

    node.add_on_set_parameters_callback(check)


def check_live(node: Node, parameters: Iterable[Parameter]) -> None:
    """Raise for a parameter that cannot change while the node is configured; its own value is no change.

    Raises:
        ConfigError: naming the parameter and the other way to change it.
    """
    known = {item.name for config in CONFIGS for item in fields(config)}
    for name in _changed(node, parameters, known - LIVE):
        remedy = _HINTS.get(name, "clean up the node, set it, and configure again")
        raise ConfigError(f"{name} is fixed while the node is configured; {remedy}")


def _changed(node: Node, parameters: Iterable[Parameter], names: Collection[str]) -> Iterator[str]:
    """Yield which of the parameters named would take another value."""
    return (p.name for p in parameters if p.name in names and p.value != node.get_parameter(p.name).value)


def consent() -> SetParametersResult:
    """Return the result of a callback that accepts a change."""
    return SetParametersResult(successful=True)


def refusal(reason: str) -> SetParametersResult:
    """Return the result of a callback that rejects a change."""
    return SetParametersResult(successful=False, reason=reason)


def _descriptor(item: Field[Any]) -> ParameterDescriptor:
    rule = item.metadata
    descriptor = ParameterDescriptor(description=rule["description"])
    if rule["choices"]:
        descriptor.additional_constraints = f"one of {', '.join(rule['choices'])}"
    if rule["low"] is not None and isinstance(item.default, float):
        # Step 0: rclpy refuses every value that is not a whole number of steps.
        span = FloatingPointRange(from_value=rule["low"], to_value=rule["high"], step=0.0)
        descriptor.floating_point_range = [span]
    elif rule["low"] is not None:
        descriptor.integer_range = [IntegerRange(from_value=rule["low"], to_value=rule["high"], step=1)]
    return descriptor

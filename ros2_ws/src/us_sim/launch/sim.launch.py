# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""ros2 launch us_sim sim.launch.py [name:=value ...]: simulator, demo motion, browser view; rviz and arm optional."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.events.process import ProcessExited
from launch.logging import launch_config
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from us_sim.bringup.arguments import (
    ARGUMENTS,
    ARM,
    IGTL,
    MOTION,
    NODE,
    SCAN,
    SERVO,
    VIEWER,
    Argument,
    Value,
    convert,
    given,
    remappings,
)
from us_sim.bringup.dds import profile_variables
from us_sim.bringup.processes import RESTARTS
from us_sim.bringup.rviz_layout import filled
from us_sim.core.generator.shipped import shipped_arm
from us_sim.core.robot.placement import HOLDER_ORDER, TABLE, TABLE_ORDER, six_numbers
from us_sim.ros.parent import PARENT


def generate_launch_description() -> LaunchDescription:
    """Return the arguments of the shared table, and what they start."""
    profile = profile_variables(os.environ, Path.cwd())
    return LaunchDescription(
        [
            *map(_declaration, ARGUMENTS.values()),
            *(SetEnvironmentVariable(name, value) for name, value in profile.items()),
            OpaqueFunction(function=_start),
        ]
    )


def _declaration(argument: Argument) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(
        argument.name,
        default_value=argument.text,
        description=argument.description,
        choices=list(argument.choices) or None,
    )


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = convert({name: context.launch_configurations[name] for name in ARGUMENTS})
    if values["arm"]:
        values = {"world_from_ct": TABLE, **values, "pose_source": "tf", "output": "tf"}
    launched = _Launched(values)
    return [*launched.nodes(), *launched.rviz(), *launched.transforms()]


class _Launched:
    """What is started with the values of the arguments."""

    def __init__(self, values: dict[str, Value]) -> None:
        self._values = values
        self._namespace = str(values.get("namespace", ""))
        self._prefix = f"{self._namespace.strip('/')}/".lstrip("/")
        self._ct_frame = str(values.get("ct_frame_id") or f"{self._prefix}ct")
        self._probe_frame = str(values.get("probe_frame_id") or f"{self._prefix}probe")
        self._common = {
            "namespace": self._namespace,
            "output": "screen",
            "emulate_tty": True,
            "remappings": list(remappings(values).items()),
            "sigterm_timeout": "3",
            "sigkill_timeout": "1",  # all is gone within 5 s of Ctrl-C
            "additional_env": {PARENT: str(os.getpid())} if values.get("end_with_launch", True) else {},
        }

    def nodes(self) -> list[Node]:
        """Return the simulator, what moves the probe, and the clients."""
        values = self._values
        started = [self._own("us_sim", NODE, LifecycleNode)]
        if values["arm"]:
            started += [self._own("fake_arm", ARM), self._robot_state_publisher()]
        elif values["motion"] != "none":
            started.append(self._own("probe_motion", MOTION))
        if values["viewer"]:
            started.append(self._own("us_sim_viewer", VIEWER))
        if values["controllers"]:  # the servo when the user starts it
            started += [self._own("us_sim_scan", SCAN), self._own("us_sim_servo", SERVO, autostart=False)]
        if values["igtl"]:
            started.append(self._own("us_sim_igtl", IGTL))
        return started

    def transforms(self) -> list[Node]:
        """Return the publishers of what does not move: arm and patient in `world`, the probe on the flange."""
        values, started = self._values, []
        if values["arm"]:
            started.append(self._static("world", f"{self._prefix}base_link", [0.0] * 6, TABLE_ORDER))
            if self._probe_frame != f"{self._prefix}probe":
                started.append(self._static(f"{self._prefix}probe", self._probe_frame, [0.0] * 6, TABLE_ORDER))
        if "world_from_ct" in values:
            placement = six_numbers("world_from_ct", str(values["world_from_ct"]), TABLE_ORDER)
            started.append(self._static("world", self._ct_frame, placement, TABLE_ORDER))
        if "flange_frame_id" in values:
            flange = str(values["flange_frame_id"])
            started.append(self._static(flange, self._probe_frame, _calibration(values), HOLDER_ORDER))
        return started

    def rviz(self) -> list[Node]:
        """Return rviz with its layout, if it is wanted."""
        if not self._values["rviz"]:
            return []
        arguments = ["--display-config", _layout(self._values, self._namespace, self._ct_frame)]
        return [Node(package="rviz2", executable="rviz2", arguments=arguments, **self._common)]

    def _own(self, executable: str, parameters: set[str], kind: type[Node] = Node, **fixed: Value) -> Node:
        return kind(
            package="us_sim",
            executable=executable,
            name=executable,
            parameters=[{**given(self._values, parameters), **fixed}],
            **_at_the_end(executable, str(self._values.get("companion_ends", "go_on"))),
            **self._common,
        )

    def _static(self, parent: str, child: str, numbers: Sequence[float], order: str) -> Node:
        pairs = zip(order.split(), numbers, strict=True)
        words = [word for name, number in pairs for word in (f"--{name}", str(number))]
        return Node(
            package="tf2_ros",
            executable="static_transform_publisher",
            arguments=["--frame-id", parent, "--child-frame-id", child, *words],
            on_exit=_end_all,  # poses would go on with half of their way unknown
            **self._common,
        )

    def _robot_state_publisher(self) -> Node:
        description = ParameterValue(shipped_arm(_calibration(self._values)), value_type=str)
        return Node(
            package="robot_state_publisher",
            executable="robot_state_publisher",
            parameters=[
                {
                    "robot_description": description,
                    "frame_prefix": self._prefix,
                    "publish_frequency": 1000.0,  # the most that it takes: its 20 Hz would drop every third pose
                    **given(self._values, {"use_sim_time"}),
                }
            ],
            **self._common,
        )


def _layout(values: dict[str, Value], namespace: str, ct_frame: str) -> str:
    """Return the path of the layout for this launch, beside its log files."""
    on_table = "world_from_ct" in values
    shipped = Path(__file__).resolve().parents[1] / "rviz" / ("arm.rviz" if on_table else "us_sim.rviz")
    frame, robot_has_probe = "world" if on_table else ct_frame, "flange_frame_id" not in values
    path = Path(launch_config.log_dir, "us_sim.rviz")
    path.write_text(filled(shipped.read_text(), namespace, frame, robot_has_probe=robot_has_probe))
    return str(path)


def _calibration(values: dict[str, Value]) -> list[float]:
    return six_numbers("flange_calibration", str(values["flange_calibration"]), HOLDER_ORDER)


def _at_the_end(executable: str, wish: str) -> dict[str, object]:
    """Return the action at the exit of a node: all end with the simulator, and optionally with the others."""
    if executable == "us_sim" or wish == "end_all":
        return {"on_exit": _end_all}
    if wish == "restart":
        return {"respawn": True, "respawn_delay": 1.0, "respawn_max_retries": RESTARTS}
    return {"on_exit": [LogInfo(msg=f"{executable} has ended; the others go on without it")]}


def _end_all(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
    # Ctrl-C is a shutdown already; launch_ros fails at a second one.
    return None if context.is_shutdown else [Shutdown(reason=f"{event.process_name} ended")]

"""ros2 launch us_sim sim.launch.py [name:=value ...]: simulator, demo motion, browser view; rviz where asked for."""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.substitutions import FindPackageShare

from us_sim.ros.arguments import ARGUMENTS, MOTION, NODE, VIEWER, Argument, convert, given, numbers


def generate_launch_description() -> LaunchDescription:
    """Return the arguments of the shared table, and what they start."""
    return LaunchDescription([*map(_declaration, ARGUMENTS.values()), OpaqueFunction(function=_start)])


def _declaration(argument: Argument) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(
        argument.name,
        default_value=argument.text,
        description=argument.description,
        choices=list(argument.choices) or None,
    )


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = convert({name: context.launch_configurations[name] for name in ARGUMENTS})
    namespace = str(values.get("namespace", ""))
    ct_frame = str(values.get("ct_frame_id") or f"{namespace}/ct".strip("/"))
    common = {
        "namespace": namespace, "output": "screen", "emulate_tty": True,
        "sigterm_timeout": "3", "sigkill_timeout": "1",  # all is gone within 5 s of Ctrl-C
    }
    started: list[LaunchDescriptionEntity] = [
        LifecycleNode(
            package="us_sim", executable="us_sim", name="us_sim", parameters=[given(values, NODE)],
            on_exit=_end_all, **common,
        )
    ]
    if values["motion"] != "none":
        started.append(Node(
            package="us_sim", executable="probe_motion", name="probe_motion", parameters=[given(values, MOTION)],
            on_exit=_end_all, **common,
        ))
    if values["viewer"]:
        started.append(Node(
            package="us_sim", executable="us_sim_viewer", name="us_sim_viewer", parameters=[given(values, VIEWER)],
            on_exit=_end_all, **common,
        ))
    if values["rviz"]:
        config = PathJoinSubstitution([FindPackageShare("us_sim"), "rviz", "us_sim.rviz"])
        arguments = ["--display-config", config, "--fixed-frame", ct_frame]
        started.append(Node(package="rviz2", executable="rviz2", arguments=arguments, **common))
    if "world_from_ct" in values:
        started.append(Node(
            package="tf2_ros", executable="static_transform_publisher", name="world_from_ct",
            arguments=_transform(str(values["world_from_ct"]), ct_frame), **common,
        ))
    return started


def _end_all(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
    # Ctrl-C is a shutdown already; launch_ros fails at a second one.
    return None if context.is_shutdown else [Shutdown(reason=f"{event.process_name} ended")]


def _transform(world_from_ct: str, ct_frame: str) -> list[str]:
    words = ["--frame-id", "world", "--child-frame-id", ct_frame]
    for name, number in zip(("x", "y", "z", "yaw", "pitch", "roll"), numbers(world_from_ct), strict=True):
        words += [f"--{name}", str(number)]
    return words

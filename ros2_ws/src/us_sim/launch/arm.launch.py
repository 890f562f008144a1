"""ros2 launch us_sim arm.launch.py [name:=value ...]: sim.launch.py with the arm that carries the probe."""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution, ThisLaunchFileDir


def generate_launch_description() -> LaunchDescription:
    """Return the launch of the simulator with `arm:=true`; all other arguments are passed on."""
    path = PathJoinSubstitution([ThisLaunchFileDir(), "sim.launch.py"])
    return LaunchDescription(
        [IncludeLaunchDescription(PythonLaunchDescriptionSource(path), launch_arguments={"arm": "true"}.items())]
    )

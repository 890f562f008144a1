# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

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

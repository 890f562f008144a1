# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Start node, demo motion and browser view without `ros2 launch`: python -m us_sim.bringup.sim [name:=value ...]

Takes the launch file's arguments. Ends everything when it is interrupted, or when the node ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from us_sim.bringup.arguments import (
    ARGUMENTS,
    ARM,
    IGTL,
    MOTION,
    NODE,
    SCAN,
    SERVO,
    VIEWER,
    Value,
    given,
    parse,
    remappings,
)
from us_sim.bringup.dds import profile_variables
from us_sim.bringup.processes import Companions, python_main, run
from us_sim.core.command import as_command
from us_sim.core.errors import ConfigError
from us_sim.ros.parent import die_with_named_parent

INSTALLATION = "needs a ROS 2 installation (rviz2, tf2_ros); source its setup file first"


def command(module: str, values: dict[str, Value], parameters: set[str]) -> list[str]:
    """Return the command line that runs `main` of a module as a node with those of the values that it understands."""
    words = [*python_main(module), "--ros-args"]
    if namespace := str(values.get("namespace", "")).strip("/"):
        words += ["-r", f"__ns:=/{namespace}"]
    for old, new in remappings(values).items():
        words += ["-r", f"{old}:={new}"]
    for name, value in given(values, parameters).items():
        # JSON is YAML: strings stay strings, floats floats.
        words += ["-p", f"{name}:={json.dumps(value, ensure_ascii=False)}"]
    return words


def processes(values: dict[str, Value]) -> dict[str, list[str]]:
    """Return name and command line of everything that these arguments start.

    Raises:
        ConfigError: rviz or a static transform is asked for.
    """
    for name in ("rviz", "flange_frame_id", *(() if values.get("arm") else ("world_from_ct",))):
        if values.get(name):
            raise ConfigError(f"{name} {INSTALLATION}")
    commands = {"us_sim": command("us_sim.ros.started", values, NODE)}
    if values.get("arm"):
        commands["fake_arm"] = command("us_sim.ros.fake_arm", values, ARM)
    elif values.get("motion") != "none":
        commands["probe_motion"] = command("us_sim.ros.probe_motion", values, MOTION)
    if values.get("viewer", True):
        commands["us_sim_viewer"] = command("us_sim.viewer.node", values, VIEWER)
    if values.get("controllers"):
        waiting = {**values, "autostart": False}  # until the user starts it
        commands["us_sim_scan"] = command("us_sim.control.scan", values, SCAN)
        commands["us_sim_servo"] = command("us_sim.control.servo", waiting, SERVO)
    if values.get("igtl"):
        commands["us_sim_igtl"] = command("us_sim.client.igtl", values, IGTL)
    return commands


def companions(values: dict[str, Value], names: Iterable[str]) -> Companions:
    """Return which of the processes may end without the others."""
    wish = values.get("companion_ends", "go_on")
    others = frozenset(names) - {"us_sim"} if wish != "end_all" else frozenset[str]()
    return Companions(others, restart=wish == "restart")


def greeting(values: dict[str, Value]) -> str:
    """Return the start-up text: patient, probe and topics."""
    value = {name: values.get(name, argument.default) for name, argument in ARGUMENTS.items()}
    namespace = f"/{str(value['namespace']).strip('/')}/".replace("//", "/")
    node, image = f"{namespace}us_sim", namespace + remappings(values).get("us_sim/image", "us_sim/image")
    page = "\nBrowser view: the address follows; drag the probe over the skin there." if value["viewer"] else ""
    mover = "fake_arm" if value["arm"] else "probe_motion"
    moved = "moved by you" if value["motion"] == "none" else f"moved by {mover} ({value['motion']})"
    return f"""\
Patient: {value["ct"] or "the built-in phantom"}. Probe: {value["probe"]}, {moved}. Image: {value["renderer"]}.
  {image:<{len(node) + 14}}B-mode frames (sensor_msgs/Image)
  {node}/ct_view      the CT slice under the probe; {node}/labels its tissue classes
  {node}/contact      coupling and penetration
  {node}/probe_pose   moves the probe (geometry_msgs/PoseStamped); with motion:=none you alone send poses{page}
The same topics in another terminal: source env.sh. Pictures as files, without ROS: us_sim_render --help.

Ctrl-C ends it."""


@as_command("us_sim")
def main(words: list[str] | None = None) -> int:
    """Run the simulator until it is interrupted; return the exit code, 2 for a wrong argument."""
    die_with_named_parent(signal.SIGTERM)
    values = parse(sys.argv[1:] if words is None else words)
    commands = processes(values)
    os.environ.update(profile_variables(os.environ, Path.cwd()))
    print(greeting(values), flush=True)
    return run(commands, companions(values, commands))


if __name__ == "__main__":
    sys.exit(main())

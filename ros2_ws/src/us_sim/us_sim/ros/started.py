# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The node as `make sim` starts it: one that cannot be configured ends at once, with the reason.

Under a lifecycle manager, or `ros2 run`, it stays, so that it can be mended and configured again.
"""

from __future__ import annotations

from us_sim.core.command import as_command
from us_sim.core.errors import ConfigError
from us_sim.ros.node import UsSim
from us_sim.ros.running import run


def start(node: UsSim) -> None:
    """Configure and activate a node.

    Raises:
        ConfigError: it could not be configured.
    """
    node.autostart()
    if node.session.failure:
        raise ConfigError(f"us_sim cannot start: {node.session.failure}")


@as_command("us_sim")
def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    return run(UsSim, start, args)

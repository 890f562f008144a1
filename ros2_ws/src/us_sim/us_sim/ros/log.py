# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The node's log: one line per problem, rate-limited."""

from __future__ import annotations

import time

from rclpy.node import Node

from us_sim.core.errors import UsSimError, system_error

QUIET = 5.0  # s between two warnings of one kind


class Log:
    """The node's log; silent about work that an interrupt has aborted."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._warned: dict[str, float] = {}

    def tell(self, text: str) -> None:
        """Log an informational message."""
        self._node.get_logger().info(text)

    def warn(self, kind: str, text: str) -> None:
        """Log a warning, each kind at most once in QUIET seconds."""
        now = time.monotonic()
        if self._node.context.ok() and now - self._warned.get(kind, -QUIET) >= QUIET:
            self._warned[kind] = now
            self._node.get_logger().warning(text)

    def failed(self, what: str, error: Exception) -> str:
        """Log in one line what went wrong; return the text of the error."""
        if self._node.context.ok():
            self._node.get_logger().error(f"{what} failed: {text_of(error)}")
        return text_of(error)


def text_of(error: Exception) -> str:
    """Return the text of an error: ours as they are, the system's with what was expected, others with their type."""
    if isinstance(error, OSError):
        return system_error(error)
    return str(error) if isinstance(error, UsSimError) else f"{type(error).__name__}: {error}"

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""How a node runs as a program: until it is interrupted, at whatever moment, without a traceback."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException
from rclpy.logging import get_logger
from rclpy.node import Node

from us_sim.core.errors import UsSimError
from us_sim.ros.enduring import EnduringExecutor
from us_sim.ros.parent import die_with_named_parent

AnyNode = TypeVar("AnyNode", bound=Node)


def run(
    make: Callable[[], AnyNode],
    start: Callable[[AnyNode], None],
    args: list[str] | None,
    ends: tuple[type[UsSimError], ...] = (),
) -> int:
    """Make a node, start it and spin it; return the exit code, 1 after an error that the user can fix.

    Errors of callbacks are logged and counted; only those named in `ends` end it.
    """
    die_with_named_parent(signal.SIGINT)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # it too leaves a load in work at once
    rclpy.init(args=args)
    try:
        node = make()
        try:
            executor = EnduringExecutor(ends=ends)
            executor.add_node(node)
            executor.answer_always(node)
            start(node)
            executor.spin()
        finally:
            node.destroy_node()
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except (UsSimError, InvalidParameterTypeException, InvalidParameterValueException) as error:
        get_logger("us_sim").fatal(str(error))
        return 1
    except Exception:
        if rclpy.ok():
            raise
        return 0  # the interrupt closed the context while something was being made in it
    finally:
        rclpy.try_shutdown()
    return 0

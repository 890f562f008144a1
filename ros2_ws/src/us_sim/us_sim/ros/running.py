"""How a node runs as a program: until it is interrupted, at whatever moment, without a traceback."""

from __future__ import annotations

import signal
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

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Loading beside the executor: with progress on /diagnostics, a time limit, and cancellation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from us_sim.core.errors import UsSimError
from us_sim.ros.worker import in_worker

LOOK = 0.5  # s between two looks at the time


class LoadError(UsSimError):
    """A load that timed out or was cancelled."""


class Loads:
    """The one load under way, and `~/cancel_load`.

    Python cannot end a thread: a load that is given up runs on in the background until it ends, and its result is
    dropped. The next one need not wait for it.
    """

    def __init__(self, node: Node, limit: Callable[[], float]) -> None:
        self._node, self._limit = node, limit
        self._what, self._since = "", 0.0
        self._outcome: Future | None = None
        node.create_service(Trigger, "~/cancel_load", self._cancel)
        node.create_timer(LOOK, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def progress(self) -> str:
        """What is being loaded, and for how long; empty for nothing."""
        return f"{self._what}, {time.monotonic() - self._since:.0f} s" if self._what else ""

    async def run(self, what: str, function: Callable[..., Any], *args: Any) -> Any:
        """Return what a function loads.

        Raises:
            LoadError: it took too long, or was cancelled.
        """
        outcome = self._outcome = Future(executor=self._node.executor)
        self._what, self._since = what, time.monotonic()

        def arrived(future: Any) -> None:
            if outcome.done():
                return  # given up
            error = future.exception()
            outcome.set_exception(error) if error is not None else outcome.set_result(future.result())

        in_worker(self._node.executor, function, *args).add_done_callback(arrived)
        try:
            return await outcome
        finally:
            self._what, self._outcome = "", None

    def _look(self) -> None:
        limit = self._limit()
        if self._what and time.monotonic() - self._since > limit:
            self._give_up(
                f"{self._what} takes over {limit:g} s (load_timeout); check what it holds, or raise the limit"
            )

    def _cancel(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._give_up(f"{self._what} was cancelled")
        response.message = "" if response.success else "nothing is being loaded"
        return response

    def _give_up(self, why: str) -> bool:
        if self._outcome is None or self._outcome.done():
            return False
        self._outcome.set_exception(LoadError(why))
        return True

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A node that outlives its callbacks: rclpy lets their exceptions leave `spin`, which ends the process.

What raises may be ours, or rclpy itself: it cannot take a parameter of an unknown type, nor an unknown transition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor, await_or_execute
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.service import Service

MOST = 50  # kinds of failure that are distinguished


class EnduringExecutor(SingleThreadedExecutor):
    """Spins on after an exception of a callback, and logs the first of each kind.

    Args:
        ends: exceptions that do end it.

    Attributes:
        failures: how often each kind occurred.
    """

    def __init__(self, *, context: Context | None = None, ends: tuple[type[Exception], ...] = ()) -> None:
        super().__init__(context=context)
        self.failures: Counter[str] = Counter()
        self._ends = ends

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Run one callback."""
        try:
            super().spin_once(timeout_sec)
        except (ExternalShutdownException, *self._ends):
            raise
        except Exception as error:
            if not self.context.ok():
                raise  # broken off by the end of the context
            self.failed("a callback", error)

    @property
    def context(self) -> Context:
        """The context that it spins for."""
        return self._context

    def failed(self, what: str, error: Exception) -> str:
        """Count a failure, log the first of its kind, and return what it is."""
        why = f"{type(error).__name__}: {error}"
        kind = f"{what}: {why} ({_place(error)})"
        if kind not in self.failures and len(self.failures) >= MOST:
            kind = "others"
        self.failures[kind] += 1
        if self.failures[kind] == 1:
            names = ", ".join(node.get_name() for node in self.get_nodes())
            get_logger(names or "us_sim").error(f"{kind}; it continues; further ones are counted without a message")
        return why

    def answer_always(self, node: Node) -> None:
        """Let the services of a node answer "no, because" where a callback raises: the caller would wait for ever."""
        for service in node.services:
            service.callback = self._answering(service)

    def _answering(self, service: Service) -> Callable[[Any, Any], Any]:
        inner, name = service.callback, service.srv_name

        async def answer(request: Any, response: Any) -> Any:
            try:
                return await await_or_execute(inner, request, response)
            except Exception as error:
                if not self.context.ok():
                    raise
                return _refusal(request, response, self.failed(name, error))

        return answer


def _refusal(request: Any, response: Any, why: str) -> Any:
    """Fill in an answer as far as its type has fields for it."""
    refusal = SetParametersResult(successful=False, reason=why)
    if isinstance(getattr(response, "result", None), SetParametersResult):
        response.result = refusal
    elif hasattr(response, "results") and hasattr(request, "parameters"):  # those before it have been set
        response.results = [*response.results, *[refusal] * (len(request.parameters) - len(response.results))]
    if hasattr(response, "success"):
        response.success = False
    if hasattr(response, "message"):
        response.message = why
    return response


def _place(error: Exception) -> str:
    """Return file and line where an exception was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else "?"

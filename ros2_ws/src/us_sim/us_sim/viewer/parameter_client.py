# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Sets parameters of the simulator, one call at a time: while one is under way, only the newest values are kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python

QUIET = 1.0  # s after the last change in which the page is not corrected: the user may still be dragging


class ParameterClient:
    """Changes that the user makes. `refused(text)` reports why one was not accepted."""

    def __init__(self, node: Node, refused: Callable[[str], None]) -> None:
        self._client = node.create_client(SetParameters, "us_sim/set_parameters")
        self._getter = node.create_client(GetParameters, "us_sim/get_parameters")
        self._refused = refused
        self._lock = threading.Lock()
        self._open: dict[str, Any] = {}
        self._asked: float | None = None  # when the call under way was sent
        self._last = 0.0

    @property
    def quiet(self) -> bool:
        """Whether no change is pending or recent: the page may be set to what the simulator says."""
        return not self._open and self._asked is None and time.monotonic() - self._last > QUIET

    def set(self, name: str, value: float | str) -> None:
        """Set a value, now or when the present call is answered."""
        with self._lock:
            self._open[name] = value
            self._last = time.monotonic()
        self._send()

    def read(self, names: Sequence[str], then: Callable[[dict[str, float]], None]) -> None:
        """Ask for numbers: `then` is given those that the simulator has, by name."""

        def answered(future: Any) -> None:
            if future.exception() is None and future.result() is not None:
                values = zip(names, map(parameter_value_to_python, future.result().values), strict=False)
                then({name: float(value) for name, value in values if isinstance(value, (int, float))})

        if self._getter.service_is_ready():
            self._getter.call_async(GetParameters.Request(names=list(names))).add_done_callback(answered)

    def _send(self) -> None:
        with self._lock:
            lost = self._asked is not None and time.monotonic() - self._asked > 10.0  # the node went away
            if not self._open or (self._asked is not None and not lost):
                return
            pending, self._open = self._open, {}
            if not self._client.service_is_ready():
                self._asked = None
                self._refused("the simulator does not answer; is it running?")
                return
            self._asked = time.monotonic()
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in pending.items()]
        self._client.call_async(SetParameters.Request(parameters=parameters)).add_done_callback(self._answered)

    def _answered(self, future: Any) -> None:
        with self._lock:
            self._asked = None
        if future.exception() is None:
            for result in future.result().results:
                if not result.successful:
                    self._refused(result.reason)
        self._send()

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Slow work beside the executor's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rclpy.executors import Executor
from rclpy.task import Future


def in_worker(executor: Executor, function: Callable[..., Any], *args: Any) -> Future:
    """Run a function in a thread of its own; await the future for its result or exception.

    The future is fulfilled by a task of the executor: that wakes it, which setting a future does not.
    """
    future = Future(executor=executor)

    def work() -> None:
        try:
            fulfil, outcome = future.set_result, function(*args)
        except Exception as error:
            fulfil, outcome = future.set_exception, error
        with suppress(Exception):  # the executor may be gone by now, and with it whoever waited
            executor.create_task(fulfil, outcome)

    threading.Thread(target=work, name=getattr(function, "__name__", "work"), daemon=True).start()
    return future

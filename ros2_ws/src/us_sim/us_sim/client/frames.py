# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Frames put together from their topics: what carries one stamp belongs together."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

WAITING = 8  # stamps whose parts may still come


class Collector:
    """Calls back with the parts of a frame, by topic, once all of one stamp are here. For one thread."""

    def __init__(self, parts: tuple[str, ...], complete: Callable[[dict[str, Any]], None]) -> None:
        self._parts, self._complete = parts, complete
        self._waiting: OrderedDict[tuple[int, int], dict[str, Any]] = OrderedDict()

    def add(self, part: str, message: Any) -> None:
        """Take a message; the oldest incomplete frame goes when too many wait."""
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        frame = self._waiting.setdefault(stamp, {})
        frame[part] = message
        if len(frame) == len(self._parts):
            del self._waiting[stamp]
            self._complete(frame)
        elif len(self._waiting) > WAITING:
            self._waiting.popitem(last=False)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Requests that are made again and again: one at a time, and not too often."""

from __future__ import annotations

import time

PATIENCE = 10.0  # s for the answer to one request, before the next


class Turns:
    """Says when the next request may be made: `apart` s after the last answer, or PATIENCE without one."""

    def __init__(self, apart: float) -> None:
        self._apart, self._since, self._waiting = apart, -PATIENCE, False

    @property
    def free(self) -> bool:
        """Whether a request may be made."""
        return time.monotonic() - self._since >= (PATIENCE if self._waiting else self._apart)

    def ask(self) -> None:
        """A request is made."""
        self._since, self._waiting = time.monotonic(), True

    def answered(self) -> None:
        """Its answer has come."""
        self._since, self._waiting = time.monotonic(), False

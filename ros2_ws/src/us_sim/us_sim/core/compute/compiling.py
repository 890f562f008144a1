# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Say once that loops are being compiled: the first frame of an installation waits for a minute."""

from __future__ import annotations

import logging
import time

from numba.core import event


class Compiling(event.Listener):
    """Adds up how long numba compiles in this process; what it loads from its cache counts as nothing.

    Args:
        patience: s after which it is said; less is a loop that has changed.
    """

    def __init__(self, patience: float = 5.0) -> None:
        self._patience = patience
        self._depth, self._since, self._spent, self._told = 0, 0.0, 0.0, False

    def on_start(self, event: event.Event) -> None:
        """Note when the outermost function begins to be compiled."""
        if self._depth == 0:
            self._since = time.perf_counter()
        self._depth += 1

    def on_end(self, event: event.Event) -> None:
        """Add what it took, and say so when it becomes long."""
        self._depth -= 1
        if self._depth == 0:
            self._spent += time.perf_counter() - self._since
        if self._spent > self._patience and not self._told:
            self._told = True
            logging.getLogger("us_sim").warning(
                "compiling the loops of a frame, once for an installation: about a minute, or ahead of time by "
                "`python -m us_sim.offline.compile`"
            )

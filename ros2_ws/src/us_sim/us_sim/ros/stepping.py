# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Poses whose frames are drawn although the image is frozen, and who waits for them."""

from __future__ import annotations

import threading


class Stepping:
    """So many poses, one after the other: `take` in the thread that accepts them, `drawn` in the one that draws."""

    def __init__(self, poses: int) -> None:
        self._left, self._taken = poses, False
        self._over = threading.Event()
        if not poses:
            self.end()

    def take(self) -> bool:
        """Return whether the next pose is to be drawn: not while another one is in work."""
        if self._taken or self._over.is_set():
            return False
        self._taken = True
        return True

    def drawn(self) -> None:
        """Count the one that was taken, if there is one."""
        if self._taken:
            self._taken = False
            self._left -= 1
            if not self._left:
                self.end()

    def end(self) -> None:
        """Draw no more, and let those go who wait."""
        self._over.set()

    def wait(self) -> bool:
        """Wait for the end; return whether all were drawn."""
        self._over.wait()
        return not self._left

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

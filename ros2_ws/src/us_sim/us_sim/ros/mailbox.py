"""A letter box for one letter: the newest wins, so that no queue can grow; but letters may be posted to come late."""

from __future__ import annotations

import threading
import time
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Hands the newest item from one thread to another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: list[tuple[float, T]] = []  # when it may be taken, s on the monotonic clock; in that order
        self._closed = False

    def put(self, item: T, due: float = 0.0) -> bool:
        """Store an item; return True if it replaced one that nobody had taken.

        One that is due later, in s on the monotonic clock, replaces none and comes after those that wait already.
        """
        with self._changed:
            replaced = bool(self._items) and not due
            if replaced:
                self._items.clear()
            latest = self._items[-1][0] if self._items else 0.0
            self._items.append((max(due, latest), item))
            self._changed.notify()
        return replaced

    def take(self) -> T | None:
        """Wait for an item and take it; None once the box is closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                ready = [item for due, item in self._items if due <= now]
                if ready:
                    del self._items[: len(ready)]
                    return ready[-1]
                self._changed.wait(self._items[0][0] - now if self._items else None)
            return None

    def close(self) -> None:
        """Wake the reader and let it go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A one-slot mailbox: the newest item wins, so that no queue can grow; items may be posted with a delay."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
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


class Consumer(Generic[T]):
    """A thread that works on the newest item, from construction to `stop`.

    `failed(error)` takes an error of one item: it does not end the thread.
    """

    def __init__(self, name: str, work: Callable[[T], None], failed: Callable[[Exception], None]) -> None:
        self._box: Mailbox[T] = Mailbox()
        self.put = self._box.put
        self._work, self._failed = work, failed
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the item in work is finished first."""
        self._box.close()
        self._thread.join()

    def _run(self) -> None:
        while (item := self._box.take()) is not None:
            try:
                self._work(item)
            except Exception as error:
                self._failed(error)

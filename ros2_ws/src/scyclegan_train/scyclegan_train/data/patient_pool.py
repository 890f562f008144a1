# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A cache of patients: a few are kept, and the next are prepared in the background."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, TypeVar

Item = TypeVar("Item")


class PatientPool(Generic[Item]):
    """Makes items by number and keeps the latest asked for.

    Args:
        make: number -> item; called once for a number while it is kept.
        keep: how many items stay.
        prefetch: `expect` makes items in a background thread; otherwise they are made when asked for.
    """

    def __init__(self, make: Callable[[int], Item], keep: int, prefetch: bool = False) -> None:
        self._make, self._keep, self._lock = make, keep, Lock()
        self._items: OrderedDict[int, Future[Item]] = OrderedDict()
        self._background = ThreadPoolExecutor(1, "next-patient") if prefetch else None

    def __getitem__(self, number: int) -> Item:
        with self._lock:
            item = self._items.get(number)
            waiting = item is not None and item.cancel()  # still in the queue: quicker made here
            mine = item is None or waiting
            if item is None or waiting:
                item = self._items[number] = Future()
            self._items.move_to_end(number)
        if mine:
            self._fill(item, number)
        self._forget()
        return item.result()

    def expect(self, numbers: Sequence[int]) -> None:
        """Say which items will be asked for, soonest first."""
        if self._background is None:
            return
        with self._lock:
            for number in numbers:
                if number in self._items:
                    self._items.move_to_end(number)
                else:
                    self._items[number] = self._background.submit(self._make, number)

    def _fill(self, item: Future[Item], number: int) -> None:
        try:
            item.set_result(self._make(number))
        except BaseException as error:
            item.set_exception(error)
            with self._lock:
                self._items.pop(number, None)
            raise

    def _forget(self) -> None:
        """Drop the items asked for longest ago, but none that is being made."""
        with self._lock:
            done = [number for number, item in self._items.items() if item.done()]
            for number in done[: max(0, len(self._items) - self._keep)]:
                del self._items[number]

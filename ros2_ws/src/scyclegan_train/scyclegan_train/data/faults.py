# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Unusable files of training data: listed one by one; strict runs stop at the first."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from us_sim.core.errors import DataError as DataError


class Faults:
    """Collects files that were left out, with the reason.

    Args:
        strict: the first fault raises DataError.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict, self.found = strict, list[tuple[str, str]]()
        self.notes: list[tuple[str, str]] = []

    def add(self, path: Path | str, reason: str) -> None:
        """Leave a file out.

        Raises:
            DataError: strict.
        """
        reason = reason.removeprefix(f"{path}: ")
        if self.strict:
            raise DataError(f"{path}: {reason}")
        self.found.append((str(path), reason))

    def note(self, path: Path | str, what: str) -> None:
        """Name a file in the summary that is no fault, such as an image without a mask."""
        self.notes.append((str(path), what))

    def report(self, console: Console | None = None) -> None:
        """Print how many files were left out, and which and why; and what else is worth knowing."""
        console = console or Console(stderr=True)
        for title, entries in (("left out", self.found), ("noted", self.notes)):
            if entries:
                console.print(f"{len(entries)} files {title}:")
            for path, reason in entries:
                console.print(f"  {path}: {reason}", highlight=False, soft_wrap=True, markup=False)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Atomic file writes: whole or not at all, even if the process or the machine dies half-way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from us_sim.core.errors import UsSimError

PARTIAL = ".partial"  # in the names of files that are being written


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give the name of a file to write; it takes the place of `path` when the block ends without an error.

    It lies in the same folder, is hidden and keeps the suffix, from which many writers learn the format. Its content is
    on disk before it is renamed, for a rename could outlive it. After an error it is gone, and `path` is as it was.

    Raises:
        OSError: it cannot be written; named as `path`.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}{PARTIAL}{path.suffix}")
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
        _flush(path.parent)
    except OSError as error:
        if str(error.filename) == str(partial):
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give the name of a folder to make and fill; it becomes `path` when the block ends without an error.

    It lies beside `path`, which is not there yet, or empty, and is hidden. After an error it is gone.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        yield partial
        partial.replace(path)
        _flush(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_replaceable(paths: Iterable[Path], mark: str, error: type[UsSimError], writer: str = "") -> None:
    """Refuse to write over files that hold no mark, those that somebody else has written.

    Args:
        paths: files that may be there.
        mark: text in all that the writer writes.
        error: to raise.
        writer: for the message, where the mark is not its name.

    Raises:
        error: naming the first of them.
    """
    for path in paths:
        if path.is_dir() or (path.is_file() and mark.encode() not in path.read_bytes()):
            raise error(
                f"{path}: is there already and was not written by {writer or mark}; give another name, or move it away"
            )


def is_partial(path: Path) -> bool:
    """Return whether a file is what `atomic_write` left when its process was killed."""
    return path.name.startswith(".") and PARTIAL in path.suffixes


def _flush(path: Path) -> None:
    """Wait until the content of a file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

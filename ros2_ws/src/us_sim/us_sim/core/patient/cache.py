# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Patients that were prepared before, kept in the user's cache: the second start need not prepare them again.

A patient's name there is a digest of all that it is made from: content and names of its files, the parameters, and the
code and libraries that prepare it. What does not fit its checksums is prepared anew. US_SIM_CACHE names another folder,
or is `off`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from us_sim.core.errors import PatientError
from us_sim.core.files import PARTIAL
from us_sim.core.patient.kept import ABOUT, mapped, write_kept
from us_sim.core.patient.surface import Skin
from us_sim.core.patient.volume import CtVolume
from us_sim.core.user_files import cache_folder

Parts = tuple[CtVolume, Skin]

MOST_BYTES = 2**32  # of all that is kept: half a dozen of the largest patients
LEAST_VOXELS = 2**21  # what has fewer is prepared in a second
ABANDONED = 3600.0  # s after which nobody is writing any more


def through_cache(digest: Callable[[], str | None], make: Callable[[], Parts]) -> tuple[Parts, str]:
    """Return a patient from the cache, or make it and keep it; and a line for the user about where it came from.

    Args:
        digest: of what it is made from, as it is now; None if that is not known.
        make: prepares it.
    """
    start, folder = time.perf_counter(), cache_folder()
    key = None if folder is None else digest()
    if folder is None or key is None:
        parts, why = make(), "US_SIM_CACHE is off" if folder is None else "not one file or folder"
        return parts, f"prepared in {time.perf_counter() - start:.1f} s, not kept: {why}"
    place = folder / "patients" / key
    parts_there = _read(place)
    if parts_there is None:
        with _one_at_a_time(place):  # of the processes of a launch one prepares the patient, the others wait for it
            parts_there = _read(place)
            if parts_there is None:
                return _made(digest, make, place, start)
    return parts_there, f"read from {place} in {time.perf_counter() - start:.1f} s"


def _made(digest: Callable[[], str | None], make: Callable[[], Parts], place: Path, start: float) -> tuple[Parts, str]:
    """Prepare a patient and keep it in its place."""
    damaged = " anew, for what was kept is damaged" if (place / ABOUT).exists() else ""
    parts = make()
    made = f"prepared{damaged} in {time.perf_counter() - start:.1f} s"
    if parts[0].hu.size < LEAST_VOXELS:
        return parts, f"{made}, too small to be kept"
    if digest() != place.name:
        return parts, f"{made}, not kept: its files changed meanwhile"
    return parts, f"{made}, {_keep(parts, place)}"


def _read(place: Path) -> Parts | None:
    """Return the patient that is kept in a place; None if there is none, or a damaged one."""
    if not (place / ABOUT).exists():
        return None
    try:
        parts = mapped(place, verify=True)
    except PatientError:
        return None
    _touch(place)
    return parts


@contextmanager
def _one_at_a_time(place: Path) -> Iterator[None]:
    """Let one process after the other; all at once where nothing can be written."""
    lock = FileLock(place.with_name(f".{place.name}.lock"))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError:
        pass
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):
            Path(lock.lock_file).unlink()


def _touch(place: Path) -> None:
    with suppress(OSError):  # a cache of somebody else
        os.utime(place / ABOUT)  # the least recently used go first


def _keep(parts: Parts, place: Path) -> str:
    """Write a patient whole or not at all, make room for it, and return what became of it."""
    partial = place.with_name(f".{place.name[:8]}.{os.getpid()}{PARTIAL}")
    try:
        write_kept(*parts, partial)
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)
        _make_room(place)
        return f"kept in {place}"
    except OSError as error:  # read-only, full, or another process was faster
        return f"not kept ({error.strerror or error})"
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _make_room(newest: Path) -> None:
    """Remove what was not used for longest until the rest has room, and what killed processes left."""
    kept = []
    for folder in newest.parent.iterdir():
        files = [file.stat() for file in folder.iterdir()] if folder.is_dir() else []
        used = max((file.st_mtime for file in files), default=0.0)
        if folder.name.endswith(PARTIAL) and time.time() - used > ABANDONED:
            shutil.rmtree(folder, ignore_errors=True)
        elif folder != newest and (folder / ABOUT).exists():
            kept.append((used, sum(file.st_size for file in files), folder))
    room = MOST_BYTES - sum(file.stat().st_size for file in newest.iterdir())
    for _, size, folder in sorted(kept, reverse=True):
        room -= size
        if room < 0:
            shutil.rmtree(folder, ignore_errors=True)

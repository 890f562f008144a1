# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A sweep on disk: one folder with frames and labels as PNG, their poses as CSV, and what they were made with."""

from __future__ import annotations

import csv
import json
import queue
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from PIL import Image
from us_sim_msgs.msg import FrameInfo, ProbeInfo

from us_sim.core.files import atomic_write
from us_sim.ros.folders import recordings_folder
from us_sim.ros.images import pixels_of

COLUMNS = ("image", "labels", "stamp", "x", "y", "z", "qx", "qy", "qz", "qw", "renderer", "config_id")
ABOUT = (
    "patient",
    "patient_sha256",
    "renderer",
    "generator",
    "ct_frame",
    "depth",
    "field_of_view",
    "radius_of_curvature",
    "width",
    "height",
    "pixel_spacing_x",
    "pixel_spacing_z",
    "frequency",
    "gain",
    "dynamic_range",
    "config_id",
)
WAITING = 256  # frames in memory while the disk is slow

Frame = dict[str, Any]  # messages by topic


class Recorder:
    """One sweep after another, each in a folder of its own. `failed(text)` tells what went wrong."""

    def __init__(self, recordings: str, failed: Callable[[str], None]) -> None:
        self._recordings = recordings_folder(recordings)
        self._failed = failed
        self._sweep: Sweep | None = None
        self.words = f"Frames, labels and poses go to `{_short(self._recordings)}`."

    @property
    def running(self) -> bool:
        """Whether a sweep is being recorded."""
        return self._sweep is not None

    def start(self, info: ProbeInfo) -> None:
        """Begin a sweep with the probe and patient of a message."""
        try:
            self._sweep = Sweep(self._recordings, info, self._stopped)
        except OSError as error:
            self._failed(f"cannot record to {self._recordings}: {error.strerror}; start with another recordings:=")

    def add(self, frame: Frame) -> None:
        """Record a frame, if a sweep is under way."""
        sweep = self._sweep
        if sweep is not None:
            sweep.add(frame)
            self.words = f"**{sweep.count}** frames in `{_short(sweep.folder)}`"

    def stop(self) -> None:
        """Write what waits, and end the sweep."""
        sweep, self._sweep = self._sweep, None
        if sweep is not None:
            sweep.close()
            self.words = f"**{sweep.count}** frames in `{_short(sweep.folder)}`"

    def _stopped(self, why: str) -> None:
        self._sweep = None
        self._failed(why)


class Sweep:
    """Writes in a thread of its own, from construction until `close`.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, recordings: Path, info: ProbeInfo, failed: Callable[[str], None]) -> None:
        self.folder = _fresh(recordings / f"sweep_{datetime.now():%Y%m%d_%H%M%S}")
        about = {name: getattr(info, name) for name in ABOUT}
        about["first_pixel"] = [info.first_pixel.x, info.first_pixel.y, info.first_pixel.z]
        about["classes"] = dict(zip(info.class_names, map(int, info.class_ids), strict=False))
        with atomic_write(self.folder / "sweep.json") as partial:
            partial.write_text(json.dumps(about, indent=2) + "\n")
        self.count = 0
        self._failed = failed
        self._frames: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def add(self, frame: Frame) -> None:
        """Leave a frame to be written; where the disk is too slow, it is dropped."""
        if self._frames.qsize() < WAITING:
            self._frames.put(frame)
            self.count += 1

    def close(self) -> None:
        """Write what waits, and end."""
        self._frames.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            with (self.folder / "poses.csv").open("w", newline="") as file:
                self._write(file)
        except OSError as error:
            self._failed(f"stopped after {self.count} frames: {error.strerror}")

    def _write(self, file: TextIO) -> None:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        number = 0
        while (frame := self._frames.get()) is not None:
            names = [f"{part}_{number:05d}.png" for part in ("image", "labels")]
            for part, name in zip(("image", "labels"), names, strict=True):
                Image.fromarray(pixels_of(frame[part])).save(self.folder / name)
            rows.writerow([*names, *_row(frame["frame_info"])])
            file.flush()  # pictures first, then their line: what the list names is whole
            number += 1


def _row(info: FrameInfo) -> list[str]:
    """Stamp in s, place in m, quaternion, renderer and configuration of a frame."""
    pose, stamp = info.ct_from_probe, info.header.stamp
    place = [pose.position.x, pose.position.y, pose.position.z]
    turn = [pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w]
    return [f"{stamp.sec}.{stamp.nanosec:09d}", *map(repr, place + turn), info.renderer, str(info.config_id)]


def _short(folder: Path) -> str:
    """A folder with ~ for the home folder."""
    home = Path.home()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def _fresh(folder: Path) -> Path:
    """Make a folder; one of that name that is there gets a number behind it."""
    made, number = folder, 1
    while made.exists():
        number += 1
        made = folder.with_name(f"{folder.name}_{number}")
    made.mkdir(parents=True)
    return made

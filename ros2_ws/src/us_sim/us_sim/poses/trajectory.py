# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Poses over time, from a file: CSV, a recorded sweep, MCAP, a rosbag2 folder."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from us_sim.core.errors import PoseError
from us_sim.core.geometry.transforms import Matrix, check_pose, pose_from_metres, rigid, rotation_from_quaternion
from us_sim.core.user_files import check_file
from us_sim.poses.bags import is_bag, read_bag

SWEEP = "poses.csv"  # in the folder of a recorded sweep
MOST_TEXT = 2**28  # bytes of a CSV: some million poses
LATEST = 2**63 - 1  # ns, of a stamp
_IN_SWEEP = ("stamp", "x", "y", "z", "qx", "qy", "qz", "qw")


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Where a probe was, and when.

    Attributes:
        poses: (N, 4, 4) `ct_from_probe`, mm.
        stamps: (N,) int64 ns, for respiration and faults.
    """

    poses: NDArray[np.float64]
    stamps: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.poses)

    def spread(self, count: int | None) -> Trajectory:
        """Return `count` of the poses, evenly spread from the first to the last; all for None.

        Raises:
            PoseError: count below 1.
        """
        if count is None:
            return self
        if count < 1:
            raise PoseError(f"count of poses is {count}; expected 1 or more")
        chosen = np.linspace(0, len(self) - 1, count).round().astype(int)
        return Trajectory(self.poses[chosen], self.stamps[chosen])


def paced(poses: NDArray[np.float64], rate: float) -> Trajectory:
    """Return poses that have no stamps of their own, `rate` a second from 0 on."""
    return Trajectory(poses, np.rint(np.arange(len(poses)) * (1e9 / rate)).astype(np.int64))


def read_trajectory(path: Path, *, rate: float = 30.0, topic: str = "", ct_frame: str = "ct") -> Trajectory:
    """Return the poses of a file or folder, every one of them.

    Args:
        path: CSV, a recorded sweep's folder, MCAP, or a rosbag2 file or folder.
        rate: poses a second of a CSV, which has no stamps.
        topic: of the poses in a recording; empty where there is but one.
        ct_frame: `frame_id` of the poses of a recording.

    Raises:
        PoseError: no pose, or an invalid one, named with its place.
        RecordingError: a recording that cannot be read, or whose poses are ambiguous.
        OSError: there is no such file.
    """
    if path.is_dir() and (path / SWEEP).exists():
        path = path / SWEEP
    if not is_bag(path):
        return read_sweep(path) if is_sweep(path) else paced(read_csv(path), rate)
    messages = read_bag(path, topic)
    poses, stamps = [], []
    for number, message in enumerate(messages, start=1):
        where = f"{path}, pose {number}"
        if message.frame_id != ct_frame:
            raise PoseError(
                f"{where}: in frame {message.frame_id!r}, expected {ct_frame!r}; if it is the patient's, "
                "name it with --ct-frame"
            )
        if not 0 <= message.stamp <= LATEST:
            raise PoseError(f"{where}: stamp is {message.stamp * 1e-9:g} s; expected 0 to {LATEST * 1e-9:.0f}")
        try:
            poses.append(pose_from_metres(message.position, message.quaternion))
        except PoseError as error:
            raise PoseError(f"{where}: {error}") from None
        stamps.append(message.stamp)
    return Trajectory(np.stack(poses), np.array(stamps, np.int64))


# -- sweeps that the browser view or the scan recorded ----------------------------------------------------------


def is_sweep(path: Path) -> bool:
    """Whether a file is the list of frames of a recorded sweep: its first line names stamp, place and quaternion."""
    with path.open("rb") as file:
        names = file.readline(2**16).decode("utf-8", "replace").strip().split(",")
    return set(_IN_SWEEP) <= set(names)


def read_sweep(path: Path) -> Trajectory:
    """Return the poses and stamps of a sweep's frames.

    Raises:
        PoseError: no pose, or a line that is not a pose, named with its number.
    """
    check_file(path, PoseError, MOST_TEXT)
    poses, stamps = [], []
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        try:
            for row in rows:
                stamp, *place = (row[name] for name in _IN_SWEEP)
                numbers = [float(cell) for cell in place]
                poses.append(pose_from_metres(numbers[:3], numbers[3:]))
                stamps.append(_nanoseconds(stamp))
        except (PoseError, ValueError, TypeError, ArithmeticError, csv.Error) as error:
            where = f"{path}, line {rows.line_num}"
            raise PoseError(f"{where}: {error}; expected stamp in s, place in m, quaternion") from None
    if not poses:
        raise PoseError(f"{path}: holds no pose; expected a line for each frame of a sweep")
    return Trajectory(np.stack(poses), np.array(stamps, np.int64))


def _nanoseconds(stamp: str) -> int:
    seconds = Decimal(stamp)
    if not 0 <= seconds < Decimal(LATEST) / 10**9:  # before it is a whole number: 1e999999999 would fill the memory
        raise ValueError(f"stamp is {stamp[:40]} s; expected 0 to {LATEST // 10**9}")
    return int(seconds * 10**9)


# -- CSV ------------------------------------------------------------------------------------------------------


def read_csv(path: Path) -> NDArray[np.float64]:
    """Return the (N, 4, 4) poses `ct_from_probe`, mm, of a CSV file; a first line of names is skipped.

    Raises:
        PoseError: no pose, or a line that is not a pose, named with its number.
    """
    check_file(path, PoseError, MOST_TEXT)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise PoseError(f"{path}: not a text file; expected a CSV of poses, an MCAP or a rosbag2 folder") from None
    poses = []
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.replace(",", " ").replace(";", " ").split()
        if not cells or cells[0].startswith("#") or (number == 1 and not _is_number(cells[0])):
            continue
        try:
            poses.append(_pose(cells))
        except ValueError as error:
            raise PoseError(f"{path}, line {number}: {error}") from None
    if not poses:
        raise PoseError(f"{path}: holds no pose; expected lines of 16 or 7 numbers")
    return np.stack(poses)


def _pose(cells: list[str]) -> Matrix:
    numbers = [float(cell) for cell in cells]
    if not all(map(math.isfinite, numbers)):
        raise PoseError("NaN or Inf; expected finite numbers")
    if len(numbers) == 16:
        if numbers[12:] != [0, 0, 0, 1]:
            raise PoseError(f"last row is {numbers[12:]}; expected 0, 0, 0, 1 (row-major)")
        return check_pose(np.array(numbers).reshape(4, 4))
    if len(numbers) == 7:
        return rigid(rotation_from_quaternion(*numbers[3:]), numbers[:3])
    raise PoseError(f"{len(numbers)} numbers; expected 16 (row-major, mm) or 7 (x y z qx qy qz qw)")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

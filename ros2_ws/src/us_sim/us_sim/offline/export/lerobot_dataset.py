# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""LeRobot datasets v3: Parquet with states and actions, video of the B-mode image.

LeRobot asks for an older torch than us_sim, so that it has an environment of its own: its Python runs
`lerobot_writer.py`, which reads what is written here.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from us_sim.core.errors import RecordingError
from us_sim.offline.export.samples import Source

WRITER = Path(__file__).with_name("lerobot_writer.py")


def write_lerobot(source: Source, out: Path, python: str) -> int:
    """Write one episode: the pose and the wrench as its state, the next pose as its action.

    Args:
        source: frames, at a constant rate.
        out: folder, which does not exist yet.
        python: interpreter of the environment that has LeRobot.

    Returns:
        The number of frames.

    Raises:
        RecordingError: fewer than two frames, no time between them, or LeRobot fails; its last line says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        pictures, rows = Path(folder) / "pictures.npy", Path(folder) / "rows.npz"
        poses, wrenches, seconds = _unpack(source, pictures)
        np.savez(rows, state=np.concatenate([poses, wrenches], axis=1), action=np.concatenate([poses[1:], poses[-1:]]))
        _run(python, {"pictures": str(pictures), "rows": str(rows), "out": str(out), "name": source.plain_name,
                      "rate": _rate(source.name, seconds)})  # fmt: skip
    return len(poses)


def _unpack(source: Source, pictures: Path) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Write a (2, H, W) uint8 array for each frame to one file: image, labels; return all poses, wrenches, times."""
    known = []
    with pictures.open("wb") as file:
        for sample in source:
            np.save(file, np.stack([sample.image, sample.labels]))
            known.append((sample.pose, sample.wrench, sample.seconds))
    poses, wrenches, seconds = zip(*known, strict=True)
    return np.stack(poses), np.stack(wrenches), np.array(seconds)


def _rate(name: str, seconds: NDArray[np.float64]) -> int:
    """Return the frames a second, at least 1."""
    if len(seconds) < 2:
        raise RecordingError(f"{name} holds {len(seconds)} frames; expected two or more, for the rate")
    apart = float(np.median(np.diff(seconds)))
    if apart <= 0:
        raise RecordingError(f"half of the frames of {name} are no time apart; LeRobot wants a rate")
    return max(1, round(1 / apart))


def _run(python: str, asked: dict[str, Any]) -> None:
    try:
        done = subprocess.run(
            [python, "-E", str(WRITER), json.dumps(asked)], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise RecordingError(f"{python} cannot be run: {error.strerror}; name the Python that has LeRobot") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise RecordingError(f"LeRobot failed: {last}; --python names the Python that has it (pip install lerobot)")

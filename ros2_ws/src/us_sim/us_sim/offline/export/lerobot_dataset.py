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

import numpy as np

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
    samples = list(source)
    if len(samples) < 2:
        raise RecordingError(f"{source.name} holds {len(samples)} frames; expected two or more, for the rate")
    poses = np.stack([sample.pose for sample in samples])
    apart = float(np.median(np.diff([sample.seconds for sample in samples])))
    if apart <= 0:
        raise RecordingError(f"half of the frames of {source.name} are no time apart; LeRobot wants a rate")
    rate = max(1, round(1 / apart))
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "frames.npz"
        np.savez(
            frames, image=np.stack([sample.image for sample in samples]),
            labels=np.stack([sample.labels for sample in samples]),
            state=np.concatenate([poses, [sample.wrench for sample in samples]], axis=1, dtype=np.float32),
            action=np.concatenate([poses[1:], poses[-1:]]),
        )  # fmt: skip
        asked = json.dumps({"frames": str(frames), "out": str(out), "name": source.plain_name, "rate": rate})
        _run(python, asked)
    return len(samples)


def _run(python: str, asked: str) -> None:
    try:
        done = subprocess.run([python, "-E", str(WRITER), asked], capture_output=True, text=True, check=False)
    except OSError as error:
        raise RecordingError(f"{python} cannot be run: {error.strerror}; name the Python that has LeRobot") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise RecordingError(f"LeRobot failed: {last}; --python names the Python that has it (pip install lerobot)")

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Writes a LeRobot dataset: run by the Python that has LeRobot, with one argument; imports nothing of us_sim."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

SMALLEST = 64  # rows and columns of a video: the encoder crashes below
STATE = ["x", "y", "z", "qx", "qy", "qz", "qw", "fx", "fy", "fz", "tx", "ty", "tz"]


def features(height: int, width: int) -> dict[str, dict[str, Any]]:
    """Return the columns. Labels are images, not video: compression would change classes; so is a tiny B-mode."""
    shape, names = (height, width, 3), ["height", "width", "channels"]
    kind = "video" if min(height, width) >= SMALLEST else "image"
    return {
        "observation.images.bmode": {"dtype": kind, "shape": shape, "names": names},
        "observation.images.labels": {"dtype": "image", "shape": shape, "names": names},
        "observation.state": {"dtype": "float32", "shape": (13,), "names": STATE},
        "action": {"dtype": "float32", "shape": (7,), "names": STATE[:7]},
    }


def write(asked: dict[str, Any]) -> None:
    """Write one episode: its pictures are read one by one, as LeRobot takes them."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset  # type: ignore[import-not-found]

    with np.load(asked["rows"]) as rows:
        states, actions = rows["state"], rows["action"]
    with Path(asked["pictures"]).open("rb") as file:
        size = np.load(file).shape[1:]
        file.seek(0)
        made = LeRobotDataset.create(
            f"us_sim/{asked['name']}", asked["rate"], features(*size), root=Path(asked["out"]),
            robot_type="ultrasound probe",
        )  # fmt: skip
        for state, action in zip(states, actions, strict=True):
            image, labels = (np.repeat(picture[..., None], 3, axis=2) for picture in np.load(file))
            made.add_frame({
                "observation.images.bmode": image, "observation.images.labels": labels, "observation.state": state,
                "action": action, "task": "ultrasound sweep",
            })  # fmt: skip
    made.save_episode()
    made.finalize()


if __name__ == "__main__":
    write(json.loads(sys.argv[1]))

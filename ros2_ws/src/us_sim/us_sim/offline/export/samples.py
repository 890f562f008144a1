# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What is exported: the frames of a dataset of `us_sim_render --batch`, or of a sweep that viewer or scan recorded."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from us_sim.core.errors import RecordingError
from us_sim.core.geometry.transforms import quaternion_from_rotation


@dataclass(frozen=True, eq=False)
class Sample:
    """One frame.

    Attributes:
        number: from 0, in the order of the stamps.
        seconds: since the first frame.
        image, labels: (H, W) uint8 B-mode and tissue classes.
        pose: (7,) float32 x y z, m, and quaternion x y z w of `ct_from_probe`.
        wrench: (6,) float32 of the patient on the probe, N and N m; NaN where it was not recorded.
    """

    number: int
    seconds: float
    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    pose: NDArray[np.float32]
    wrench: NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """Frames that can be read again and again, and what is known of them.

    Attributes:
        name: of the folder.
        about: its card or `sweep.json`.
        classes: names of the tissue classes and their numbers.
    """

    name: str
    about: dict[str, Any]
    classes: dict[str, int]
    _read: Callable[[], Iterator[Sample]]

    def __iter__(self) -> Iterator[Sample]:
        """Read them.

        Raises:
            RecordingError: frames are missing or damaged, of several sizes, or without a finite pose.
        """
        size: tuple[int, ...] | None = None
        try:
            for sample in self._read():
                size = size or sample.image.shape
                if not size == sample.image.shape == sample.labels.shape:
                    raise RecordingError(f"frame {sample.number} of {self.name} has another size than the first")
                if not np.isfinite(sample.pose).all():
                    raise RecordingError(
                        f"frame {sample.number} of {self.name} has NaN or Inf in its pose; expected none"
                    )
                yield sample
        except RecordingError:
            raise
        except (ValueError, KeyError, BadZipFile) as error:
            raise RecordingError(f"{self.name} cannot be read: {error}") from error
        if size is None:
            raise RecordingError(f"{self.name} holds no frames")

    @property
    def plain_name(self) -> str:
        """Its name of letters, digits, `-` and `_` alone, for formats that take no others."""
        return re.sub(r"[^A-Za-z0-9_-]+", "_", self.name)


def open_source(folder: Path) -> Source:
    """Return the frames of a dataset or sweep.

    Raises:
        RecordingError: the folder holds neither, or a card that is none.
    """
    for file, read in (("card.json", _shards), ("sweep.json", _sweep)):
        if (folder / file).exists():
            try:
                about = json.loads((folder / file).read_text())
                return Source(folder.resolve().name, about, about["classes"], partial(read, folder, about))
            except (ValueError, KeyError, TypeError) as error:
                raise RecordingError(f"{folder / file} cannot be read: {error}; make or record it again") from error
    raise RecordingError(f"{folder} holds neither card.json nor sweep.json; expected a dataset of --batch, or a sweep")


def _shards(folder: Path, about: dict[str, Any]) -> Iterator[Sample]:
    first: int | None = None
    there, expected = sorted(folder.glob("shard_*.npz")), -(-about["poses"]["count"] // about["shard"])
    if len(there) < expected:
        raise RecordingError(
            f"{folder} has {len(there)} of {expected} shards; run its us_sim_render again to finish it"
        )
    for file in there:
        with np.load(file) as shard:
            arrays = {name: shard[name] for name in shard.files}
        for n in range(len(arrays["number"])):
            stamp = int(arrays["stamp"][n])
            first = stamp if first is None else first
            pose = arrays["ct_from_probe"][n]
            yield Sample(
                int(arrays["number"][n]), (stamp - first) * 1e-9, arrays["image"][n], arrays["labels"][n],
                np.array([*(1e-3 * pose[:3, 3]), *quaternion_from_rotation(pose[:3, :3])], np.float32),
                np.array([*arrays["force"][n], *(1e-3 * arrays["torque"][n])], np.float32),
            )  # fmt: skip


def _sweep(folder: Path, about: dict[str, Any]) -> Iterator[Sample]:
    with (folder / "poses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        image, labels = (np.asarray(Image.open(folder / row[name])) for name in ("image", "labels"))
        pose = np.array([float(row[name]) for name in ("x", "y", "z", "qx", "qy", "qz", "qw")], np.float32)
        seconds = float(row["stamp"]) - float(rows[0]["stamp"])
        yield Sample(number, seconds, image, labels, pose, np.full(6, np.nan, np.float32))

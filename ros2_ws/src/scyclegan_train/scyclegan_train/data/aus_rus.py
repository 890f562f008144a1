# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The layout of the US simulation & segmentation data set: AUS, simulated frames, and RUS, real ones."""

from __future__ import annotations

from pathlib import Path

import torch

from scyclegan_train.data.fans import FanGeometry, fan_beside
from scyclegan_train.data.faults import DataError, Faults
from scyclegan_train.data.frame_files import Item, digest, images_in, paired
from scyclegan_train.data.frames import WEAK, Frames
from scyclegan_train.data.samples import PHYSICS, REAL
from us_sim.core.generator.card import Card

PARTS = {"AUS": PHYSICS, "RUS": REAL}
_INSIDE = ("", "abdominal_US", "abdominal_US/abdominal_US")


class AusRus(Frames):
    """One part and split of the data set, `{AUS,RUS}/{images,annotations}/{train,test}/` below `root`.

    Args:
        root: folder of the data set, or its `abdominal_US`.
        split: `train` or `test`.
        card: the grid.
        part: `AUS` or `RUS`.
        fan: of the frames; if not given, that of a `fan.json` in the images' folder or one above it, up to the part's;
            or found in them, for each size and depth by itself.
        faults, seed, whole, device: as for Frames.

    Raises:
        DataError: no such folders, no usable frames, no fan found.
    """

    def __init__(
        self,
        root: Path | str,
        split: str,
        card: Card,
        *,
        part: str = "AUS",
        fan: FanGeometry | None = None,
        faults: Faults | None = None,
        seed: int = 0,
        whole: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        if part not in PARTS or split not in ("train", "test"):
            raise DataError(f"part {part!r}, split {split!r}; expected AUS or RUS, and train or test")
        folder, faults = folder_of(Path(root), part), faults or Faults()
        items = paired(images_in(folder / "images" / split), folder / "annotations" / split, faults)
        if split == "train":
            items = _apart(items, folder / "images" / "test", faults)
        if fan is None:
            fan = fan_beside(folder / "images" / split, folder)
        # Simulated frames have no lines without contact: a dark line is a shadow there.
        weak = WEAK if part == "RUS" else 0.0
        super().__init__(
            items,
            card,
            fan,
            source=PARTS[part],
            seed=seed,
            faults=faults,
            weak_lines=weak,
            whole=whole,
            device=device,
        )


def folder_of(root: Path, part: str) -> Path:
    """Return the folder of AUS or RUS in a data set.

    Raises:
        DataError: it has none.
    """
    for inside in _INSIDE:
        if (root / inside / part / "images").is_dir():
            return root / inside / part
    raise DataError(f"{root}: no folder {part}/images in it or in its abdominal_US; is it the data set's root?")


def _apart(items: list[Item], test: Path, faults: Faults) -> list[Item]:
    """Leave out training frames that are test frames too."""
    held = {digest(path): path for path in images_in(test)} if test.is_dir() and any(test.iterdir()) else {}
    kept = []
    for item in items:
        twin = held.get(digest(item.image))
        if twin is None:
            kept.append(item)
        else:
            faults.add(item.image, f"is in two splits: the same image as test/{twin.name}")
    return kept

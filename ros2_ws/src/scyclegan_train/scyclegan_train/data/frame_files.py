# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Frames and masks as files: which belong together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scyclegan_train.data.faults import DataError, Faults
from us_sim.core.geometry.frame_files import SUFFIXES as SUFFIXES
from us_sim.core.geometry.frame_files import images_in as images_in
from us_sim.core.geometry.frame_files import read_grey as read_grey
from us_sim.core.geometry.frame_files import shown as shown
from us_sim.core.geometry.frame_files import size_of as size_of
from us_sim.core.geometry.frame_files import size_text as size_text


@dataclass(frozen=True)
class Item:
    """One frame on disk, and its mask where there is one."""

    image: Path
    mask: Path | None = None


def paired(images: Sequence[Path], masks: Path | None, faults: Faults) -> list[Item]:
    """Pair images and masks by name without suffix; what has no partner is noted, which is no fault."""
    by_stem: dict[str, Path] = {}
    if masks is not None and masks.is_dir():
        by_stem = {path.stem: path for path in sorted(masks.iterdir()) if path.suffix.lower() in SUFFIXES}
    items = [Item(image, by_stem.pop(image.stem, None)) for image in images]
    if masks is not None:
        for item in items:
            if item.mask is None:
                faults.note(item.image, "has no mask: it takes part without segmentation loss")
    for mask in by_stem.values():
        faults.note(mask, "is a mask without an image: not used")
    return items


def digest(path: Path) -> str:
    """Of an image's grey levels, whatever its file format; of the bytes of a file that is no image."""
    try:
        grey = read_grey(path)
    except DataError:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return hashlib.sha256(str(grey.shape).encode() + grey.tobytes()).hexdigest()

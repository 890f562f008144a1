# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The other direction of synthesis: ultrasound frames become CT slices in HU, within the card's window."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scyclegan_train.data.fans import FanGeometry
from scyclegan_train.data.frames import FrameFolder
from scyclegan_train.data.samples import UsBatch
from scyclegan_train.method import feeding, losses
from scyclegan_train.run.synthesis import on_frame
from us_sim.core.analysis.segmenter import load_segmenter
from us_sim.core.errors import ConfigError
from us_sim.core.files import atomic_write
from us_sim.core.generator.artifact import load_network
from us_sim.core.generator.card import Card
from us_sim.core.patient.volume import AIR_HU

COMMON = ("probe", "grid", "classes")  # of the cards of two networks that work together


@dataclass(frozen=True, eq=False)
class Reverse:
    """G_us2ct and what gives it masks.

    Attributes:
        network: artifact of the kind `us2ct`.
        segmenter: artifact of S_us, for frames without masks; None: their labels count as background.
        device: that draws.
    """

    network: Path
    segmenter: Path | None = None
    device: str = "cpu"


def open_frames(folder: Path, card: Card, fan: FanGeometry | None, masks: Path | None, whole: bool) -> FrameFolder:
    """Return a folder's frames on the card's grid; all lines count."""
    return FrameFolder(folder, card, fan, masks=masks, weak_lines=0.0, whole=whole)


def synthesise_ct(frames: FrameFolder, what: Reverse, out: Path, batch: int = 16) -> int:
    """Write `<frame>.nii.gz` for each frame that has none yet, (W, H, 1) int16 HU. Returns how many were written.

    Raises:
        ConfigError: a segmenter of another grid or other classes.
    """
    network, card, _ = load_network(what.network, "us2ct")
    network.to(what.device)
    segment = _segmenter(what, card)
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"{item.image.stem}.nii.gz" for item in frames.items]
    left = [row for row, file in enumerate(files) if not file.exists()]
    for first in range(0, len(left), batch):
        rows = left[first : first + batch]
        us = frames.in_order(rows).to(what.device)
        for row, hu in zip(rows, _drawn(network, card, us, segment), strict=True):
            _write(files[row], hu, card)
    return len(left)


@torch.no_grad()
def _drawn(network: torch.nn.Module, card: Card, us: UsBatch, segment: torch.nn.Module | None) -> NDArray[np.float32]:
    fan = feeding.fan_of(card, us.image.device)
    y = feeding.real_us(card, us, fan)
    mask = y.mask
    if segment is not None:
        predicted = segment(losses.masked(y.image, y.where)).argmax(dim=1)
        mask = torch.where(us.has_mask[:, None, None, None], mask, feeding.hard(predicted, len(card.classes)))
    image: Tensor = network(feeding.us_input(card, y.image, mask, y.where, fan))[:, 0]
    low, high = card.windows[0]
    hu = low + (image.float() + 1) / 2 * (high - low)
    return on_frame(card, torch.where(y.where, hu, float(AIR_HU)))


def _segmenter(what: Reverse, card: Card) -> torch.nn.Module | None:
    if what.segmenter is None:
        return None
    segmenter = load_segmenter(what.segmenter)
    different = [name for name in COMMON if getattr(segmenter.card, name) != getattr(card, name)]
    if different:
        raise ConfigError(f"{what.segmenter}: was trained with another {', '.join(different)} than {what.network}; "
                          "give the segmenter of the same run")  # fmt: skip
    return segmenter.network.to(what.device)


def _write(file: Path, hu: NDArray[np.float32], card: Card) -> None:
    """One slice, x to the image's right and y downwards, with the size of its pixels."""
    affine = np.diag([*card.probe.pixel_spacing, card.probe.slice_thickness or 1.0, 1.0])
    with atomic_write(file) as partial:
        image = nibabel.Nifti1Image(np.rint(hu.T[..., None]).astype(np.int16), affine)
        partial.write_bytes(gzip.compress(image.to_bytes(), mtime=0))  # the same slice gives the same bytes

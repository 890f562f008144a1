# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Organs found in the image alone: S_us, the segmenter that S-CycleGAN trains beside its generators.

Source: Song & Chong, S-CycleGAN, section III-B. The file is an artifact like a generator's, of the card's kind
`segmenter`: weights and card in safetensors, never a pickle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from us_sim.core.errors import ConfigError, ProbeError
from us_sim.core.generator.artifact import load_network
from us_sim.core.generator.card import Card
from us_sim.core.generator.unet import UNet
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.user_files import home

COUPLED = 0.5  # coupling of a scan line above which training showed it
NOTHING = 0  # grey level where nothing is shown


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained segmenter; it runs on the CPU, where the frames are by then, independent of the GPU.

    Attributes:
        network: (B, 3, h, w) frame in [−1, 1] on the card's grid -> (B, n, h, w) logits of the card's classes.
        card: its model card.
        name: what the user calls it.
        sha256: of its file.
    """

    network: UNet
    card: Card
    name: str
    sha256: str

    def check_probe(self, probe: ProbeGeometry) -> None:
        """Raise for a probe whose frames it was not trained on.

        Raises:
            ConfigError: saying what differs.
        """
        reason = self.card.refusal(probe)
        if reason:
            raise ConfigError(f"segmenter {self.name!r} cannot read this probe's frames: {reason}; use "
                              "analysis_source 'labels', or another segmenter")  # fmt: skip


def load_segmenter(path: str | Path) -> Segmenter:
    """Read a segmenter.

    Args:
        path: a `.safetensors` file that the trainer's `export --segmenter` wrote.

    Raises:
        ArtifactError: naming the file and what is wrong: missing, pickle, truncated, no card, a bad card, a
            generator, or weights that do not fit the card.
    """
    file = home(path)
    network, card, digest = load_network(file, "segmenter")
    return Segmenter(network, card, file.stem, digest)


@torch.inference_mode()
def segment(
    segmenter: Segmenter, image: NDArray[np.uint8], coupling: NDArray[np.float32], probe: ProbeGeometry
) -> NDArray[np.uint8]:
    """Return the (H, W) tissue classes that a segmenter finds in a frame; background outside the fan.

    Args:
        segmenter: trained on frames of such a probe.
        image: (H, W) grey levels.
        coupling: (L,) of the scan lines, 0 to 1; it is not shown lines that are not coupled, as in training.
        probe: whose frame it is; it may look less deep than the card's.

    Raises:
        ConfigError: the segmenter was not trained on such a probe.
        ProbeError: arrays that do not have the size of the probe's frame or its number of lines.
    """
    segmenter.check_probe(probe)
    if (image.shape, coupling.shape) != ((probe.height, probe.width), (probe.scan_lines,)):
        raise ProbeError(
            f"image and coupling have shapes {image.shape} and {coupling.shape}; expected "
            f"{(probe.height, probe.width)} and {(probe.scan_lines,)}"
        )
    card = segmenter.card
    logits = segmenter.network(seen(card, image, coupling, probe))
    classes = np.array(card.classes, np.uint8)[logits[0].argmax(dim=0).numpy()]
    row, column = _cells(card.probe, card.grid, probe)
    return np.where(probe.fan_mask, classes[row, column], np.uint8(0))


def seen(card: Card, image: NDArray[np.uint8], coupling: NDArray[np.float32], probe: ProbeGeometry) -> Tensor:
    """Return (1, 3, h, w) in [−1, 1]: the frame's coupled lines on the card's grid, black where there is nothing."""
    shown = np.where(coupling[_line_of_pixel(probe)] > COUPLED, image, np.uint8(NOTHING))
    frame = torch.from_numpy(shown).float()[None, None]
    sampled = torch.nn.functional.grid_sample(frame, _places(card.probe, card.grid, probe), align_corners=False)
    return (sampled / 127.5 - 1).expand(-1, 3, -1, -1)


@lru_cache(maxsize=2)
def _line_of_pixel(probe: ProbeGeometry) -> NDArray[np.intp]:
    """(H, W) scan line nearest to every pixel."""
    return np.rint(probe.polar_of_pixel[..., 0]).astype(np.intp).clip(0, probe.scan_lines - 1)


@lru_cache(maxsize=2)
def _places(trained: ProbeGeometry, grid: str, probe: ProbeGeometry) -> Tensor:
    """(1, h, w, 2) where the cells of the card's grid lie on the probe's frame, normalised column and row."""
    points = trained.polar_points.transpose(1, 0, 2) if grid == "polar" else trained.pixel_points
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    column, row = 2 * (points[..., 0] - x0) / dx + 1, 2 * (points[..., 2] - z0) / dz + 1
    column, row = column / probe.width, row / probe.height
    return torch.from_numpy(np.stack([column - 1, row - 1], axis=-1)).float()[None]


@lru_cache(maxsize=2)
def _cells(trained: ProbeGeometry, grid: str, probe: ProbeGeometry) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column, each (H, W), of the cell of the card's grid nearest to every pixel of the probe's frame."""
    if grid == "polar":
        lines = replace(trained, width=probe.width, height=probe.height, given_spacing=probe.pixel_spacing,
                        given_first_pixel=probe.first_pixel)  # fmt: skip
        column, row = np.moveaxis(lines.polar_of_pixel, -1, 0)
        height, width = trained.samples, trained.scan_lines
    else:
        (dx, dz), (x0, z0) = trained.pixel_spacing, trained.first_pixel
        column, row = (probe.pixel_points[..., 0] - x0) / dx, (probe.pixel_points[..., 2] - z0) / dz
        height, width = trained.height, trained.width
    return np.rint(row).astype(np.intp).clip(0, height - 1), np.rint(column).astype(np.intp).clip(0, width - 1)

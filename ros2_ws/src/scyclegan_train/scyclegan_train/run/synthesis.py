# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What S-CycleGAN is for: more training images. CT slices become ultrasound frames with masks, and frames CT slices.

A folder of them is filled scan by scan, or frame by frame; what is there is not made again. Its layout is that of a
source of training: `images/<split>`, `masks/<split>` with class ids, `cards/<split>` with where each file comes from.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from scyclegan_train.data.faults import DataError
from scyclegan_train.data.slices import about_slices, read_recipe, same_grid
from scyclegan_train.method import feeding
from us_sim.core.files import atomic_write, is_partial
from us_sim.core.generator.artifact import load_network
from us_sim.core.generator.card import Card
from us_sim.core.generator.encoding import decode, encode
from us_sim.core.generator.unet import UNet
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert

DATASET = "dataset.json"
WRITERS = 4  # threads that pack PNGs while the network draws


@dataclass(frozen=True)
class Synthesis:
    """One folder of synthetic frames.

    Attributes:
        generator: artifact of the kind `generator`.
        slices: folder of `prepare`, on the generator's grid.
        out: folder to fill.
        batch: slices drawn at once.
        device: that draws them.
    """

    generator: Path
    slices: Path
    out: Path
    batch: int = 16
    device: str = "cpu"

    @cached_property
    def card(self) -> dict[str, Any]:
        """What every byte of the folder follows from, the device aside."""
        _, card, digest = _network(self.generator, self.device)
        generator = {"name": self.generator.stem, "sha256": digest, "card": json.loads(card.to_json())}
        return {"generator": generator, "slices": read_recipe(self.slices), "direction": "ct to us"}


def begin(out: Path, card: dict[str, Any], fan: dict[str, Any] | None = None) -> None:
    """Write what a folder of synthetic images is made of, or check that it is the same as what is there.

    Raises:
        DataError: the folder holds images of another generator, or of other slices.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / DATASET
    if path.exists():
        there = json.loads(path.read_text())
        different = [name for name in card if there.get(name) != card[name]]
        if different:
            raise DataError(f"{out}: was made of another {', '.join(different)}; give another folder")
    else:
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(card, indent=1) + "\n")
    if fan is not None:
        (out / "images").mkdir(exist_ok=True)
        with atomic_write(out / "images" / "fan.json") as partial:
            partial.write_text(json.dumps(fan) + "\n")


def fan_of_frames(card: Card) -> dict[str, Any] | None:
    """The fan of the frames in their pixels, as sources read it beside them; None where pixels are not square."""
    probe = card.probe
    (dx, dz), (x, z) = probe.pixel_spacing, probe.first_pixel
    if abs(dx - dz) > 1e-6 * dx or not np.isfinite(probe.apex):
        return None
    near = probe.radius_of_curvature or probe.apex  # of a flat face, at its middle
    return {"centre": [-x / dx, -(probe.apex + z) / dz], "radii": [near / dz, (probe.apex + probe.depth) / dz],
            "half_angle": probe.field_of_view / 2, "spacing": dx}  # fmt: skip


def cases_left(what: Synthesis) -> list[Path]:
    """Files of slices whose frames are not there yet.

    Raises:
        DataError: slices of another grid than the generator's, or damaged.
    """
    same_grid(what.slices, _network(what.generator, what.device)[1])
    there = (path for path in sorted(what.slices.glob("*.safetensors")) if not is_partial(path))
    return [path for path in there if not _card_file(path, what.out).exists()]


def synthesise(slices: Path, what: Synthesis) -> int:
    """Draw and write the frames of one scan's slices; its card comes last. Returns how many."""
    network, card, digest = _network(what.generator, what.device)
    about = about_slices(slices)
    split, names = about["split"], [f"{slices.stem}_{k:03d}.png" for k in range(int(about["slices"]))]
    for folder in ("images", "masks", "cards"):
        (what.out / folder / split).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(WRITERS) as writers, safe_open(str(slices), "pt") as file:
        for first in range(0, len(names), what.batch):
            rows = slice(first, first + what.batch)
            parts = {name: file.get_slice(name)[rows].to(what.device) for name in file.keys()}  # noqa: SIM118
            images, masks = drawn(network, card, parts)
            for folder, pictures in (("images", images), ("masks", masks)):
                paths = [what.out / folder / split / name for name in names[rows]]
                list(writers.map(_write_png, paths, pictures))
    told = {**about, "generator": what.generator.stem, "generator_sha256": digest, "frames": names}
    with atomic_write(_card_file(slices, what.out)) as partial:
        partial.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")  # a file tells its header in any order
    return len(names)


@torch.no_grad()
def drawn(network: UNet, card: Card, parts: dict[str, Tensor]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Frames and masks, (B, H, W) uint8 on the frame's pixels, of slices on a card's grid.

    Args:
        network: what the card describes, on the parts' device.
        parts: `hu`, `tissue` and, for encoding `rich`, `scatter`; for source `physics`, `physics`.
    """
    hu, tissue = parts["hu"].float(), parts["tissue"]
    scatter = parts["scatter"].float() if card.encoding == "rich" else None
    image = parts["physics"].float() if card.source == "physics" else hu
    fan = feeding.fan_of(card, hu.device)
    grey = decode(network(encode(card, image, tissue, scatter, fan)))
    known = torch.isin(tissue, torch.tensor(card.classes, device=hu.device, dtype=tissue.dtype)) & fan
    frames, masks = on_frame(card, grey * fan), on_frame(card, tissue * known, nearest=True)
    return frames.round().astype(np.uint8), masks.astype(np.uint8)


def on_frame(card: Card, values: Tensor, nearest: bool = False) -> NDArray[np.float32]:
    """(B, H, W) on the card's grid -> (B, height, width) on the frame's pixels; of a polar one, 0 outside the fan."""
    values = values.float()
    if card.grid == "polar":
        grid, inside = _grid(card.probe, values.device)
        polar = values.transpose(1, 2).contiguous()
        if nearest:
            places = grid.expand(len(polar), -1, -1, -1)
            sampled = torch.nn.functional.grid_sample(polar[:, None], places, "nearest", "border", align_corners=False)
            values = sampled[:, 0] * inside
        else:
            values = scan_convert(polar, grid, inside)
    return np.asarray(values.cpu().numpy())


_grid = lru_cache(maxsize=2)(conversion_grid)  # the same for every batch


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    with atomic_write(path) as partial:
        Image.fromarray(picture).save(partial)


def _card_file(slices: Path, out: Path) -> Path:
    return out / "cards" / about_slices(slices)["split"] / f"{slices.stem}.json"


@lru_cache(maxsize=2)
def _network(path: Path, device: str) -> tuple[UNet, Card, str]:
    network, card, digest = load_network(path, "generator")
    return network.to(device), card, digest

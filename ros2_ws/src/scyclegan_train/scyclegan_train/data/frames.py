# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Frames of real machines: any folder of images, with or without masks, resampled to the card's grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scyclegan_train.data.fan_fit import ALIKE, alike, fan_of
from scyclegan_train.data.fans import FanGeometry, Resampler, fan_in_frame
from scyclegan_train.data.faults import DataError, Faults
from scyclegan_train.data.frame_files import Item, images_in, paired, read_grey, size_of, size_text
from scyclegan_train.data.samples import REAL, UsBatch
from scyclegan_train.data.us_masks import read_mask
from us_sim.core.generator.card import Card

Size = tuple[int, int]

WEAK = 0.4  # of the frame's usual brightness, below which a scan line counts as not coupled
NEAR_FIELD = (1 / 9, 5 / 9)  # of the depth, 20 to 100 mm of 180: where a line's brightness is measured
SMOOTHED = 16  # part of the fan over which that brightness is averaged
OVERLAP = 0.5  # share of a mask's pixels that have to lie in the fan


class Frames:
    """Frames held in memory on the card's grid; an epoch shows each of them once, in an order of its own.

    Args:
        items: files.
        card: the grid.
        fan: of the frames, in their pixels; None to find it, for each size and depth of frames by itself.
        source: PHYSICS or REAL.
        seed: of the order.
        faults: takes files that cannot be used.
        weak_lines: share of the usual brightness below which a scan line is not valid; 0 keeps all.
        whole: frames are brought to the card's fan as a whole, not scan line by scan line.
        device: where batches go.

    Raises:
        DataError: no frame is left, no fan is found, or faults are strict.
    """

    def __init__(
        self,
        items: Sequence[Item],
        card: Card,
        fan: FanGeometry | None,
        *,
        source: int = REAL,
        seed: int = 0,
        faults: Faults | None = None,
        weak_lines: float = WEAK,
        whole: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self.faults = faults or Faults()
        sized = self._sized(items)
        loaders = self._loaders(sized, card, fan, weak_lines, whole)
        jobs = [(item, loaders[item.image]) for item, _ in sized if item.image in loaders]
        with ThreadPoolExecutor() as pool:
            cells = list(pool.map(lambda job: _try(job[1], job[0]), jobs))
        kept: list[tuple[Item, Cell]] = []
        for (item, _), cell in zip(jobs, cells, strict=True):
            if isinstance(cell, Fault):
                self.faults.add(*cell.args)
            else:
                kept.append((item, cell))
        if not kept:
            raise DataError(f"no usable frames among {len(items)} files; the first faults: {self.faults.found[:3]}")
        self.items = [item for item, _ in kept]
        self._known = torch.tensor([item.mask is not None for item in self.items])
        self._image, self._tissue, self._valid = (torch.stack([c[i] for _, c in kept]) for i in range(3))
        self._seed, self._source, self._device = seed, source, torch.device(device)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def masked(self) -> bool:
        """Whether any of the frames has a mask."""
        return bool(self._known.any())

    def batch(self, indices: Sequence[int], epoch: int = 0) -> UsBatch:
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self))
        return self.in_order(order[[index % len(self) for index in indices]])

    def in_order(self, rows: Sequence[int] | NDArray[np.int64]) -> UsBatch:
        """Return samples by their place among the items."""
        chosen = torch.as_tensor(rows)
        source = torch.full((len(chosen),), self._source)
        image, tissue = self._image[chosen].float(), self._tissue[chosen]
        return UsBatch(image, tissue, self._known[chosen], self._valid[chosen], source).to(self._device)

    def _sized(self, items: Sequence[Item]) -> list[tuple[Item, Size]]:
        sized = []
        for item in items:
            try:
                sized.append((item, size_of(item.image)))
            except DataError as error:
                self.faults.add(item.image, str(error))
        return sized

    def _loaders(
        self, sized: Sequence[tuple[Item, Size]], card: Card, fan: FanGeometry | None, weak: float, whole: bool
    ) -> dict[Path, Loader]:
        """What loads each frame. A fan that is given fits one size only: that of most frames."""
        sizes = [size for _, size in sized]
        usual = max(sorted(set(sizes)), key=sizes.count, default=None)
        loaders: dict[Path, Loader] = {}
        for size in dict.fromkeys(sizes):
            members = [item.image for item, other in sized if other == size]
            for paths in [members] if fan is not None else self._of_one_depth(members):
                try:
                    if fan is not None and size != usual:
                        raise DataError(f"its size {size_text(size)} is not that of the others")
                    loaders |= dict.fromkeys(paths, Loader(card, fan or fan_of(paths), weak, whole))
                except DataError as error:
                    for path in paths:
                        self.faults.add(path, str(error))
        return loaders

    def _of_one_depth(self, paths: Sequence[Path]) -> list[list[Path]]:
        """Frames of one size by depth; of several depths, those with too few frames to find their fan are faults."""
        readable: list[Path] = []
        groups = [[readable[place] for place in places] for places in alike(self._pictures(paths, readable))]
        large = groups if len(groups) == 1 else [group for group in groups if len(group) >= ALIKE]
        for group in groups:
            for path in group if group not in large else ():
                self.faults.add(path, f"its depth is that of {len(group)} of {len(paths)} frames; expected {ALIKE} or "
                                      "more of each depth to find its fan, or a fan.json")  # fmt: skip
        return large

    def _pictures(self, paths: Sequence[Path], readable: list[Path]) -> Iterator[NDArray[np.uint8]]:
        """Read frame by frame, so that a large folder is never in memory as a whole; `readable` gets their paths."""
        for path in paths:
            try:
                picture = read_grey(path)
            except DataError as error:
                self.faults.add(path, str(error))
                continue
            readable.append(path)
            yield picture


class FrameFolder(Frames):
    """All frames of a folder, or some of them by place in the sorted list.

    Args:
        folder: of images.
        card, fan, options: as for Frames.
        masks: folder of masks with the images' names.
        places: which of the sorted frames; None for all.
    """

    def __init__(
        self,
        folder: Path | str,
        card: Card,
        fan: FanGeometry | None,
        *,
        masks: Path | str | None = None,
        places: Sequence[int] | None = None,
        faults: Faults | None = None,
        source: int = REAL,
        seed: int = 0,
        weak_lines: float = WEAK,
        whole: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        files = images_in(Path(folder))
        if places is not None:
            if not all(0 <= place < len(files) for place in places):
                raise DataError(f"{folder}: holds {len(files)} frames; places up to {max(places)} were requested")
            files = [files[place] for place in places]
        faults = faults or Faults()
        items = paired(files, Path(masks) if masks is not None else None, faults)
        super().__init__(
            items, card, fan, source=source, seed=seed, faults=faults, weak_lines=weak_lines, whole=whole, device=device
        )


Cell = tuple[Tensor, Tensor, Tensor]  # grey levels and classes, uint8, and valid, on the card's grid


class Fault(Exception):
    """Path and reason of a file that cannot be used."""


class Loader:
    """Brings frames of one size and fan onto a card's grid."""

    def __init__(self, card: Card, fan: FanGeometry, weak: float, whole: bool = False) -> None:
        self._card, self._fan, self._weak = card, fan, weak
        self._to_card = Resampler(card.probe, fan, card.grid == "polar", whole)
        self._to_lines = Resampler(card.probe, fan, polar=True, whole=whole)

    def __call__(self, item: Item) -> Cell:
        """Load a frame.

        Raises:
            Fault: naming the image or the mask that cannot be used.
        """
        path = item.image
        try:
            image = read_grey(path)
            grey = self._to_card.image(image[None])[0].round().to(torch.uint8)
            valid = self._to_card.valid(image.shape)
            if self._weak > 0:
                valid = valid & self._coupled(image)
            tissue = torch.zeros_like(grey)
            if item.mask is not None:
                path = item.mask
                tissue = self._to_card.classes(self._checked(read_mask(path), image)[None])[0]
        except DataError as error:
            raise Fault(path, str(error)) from error
        return grey, tissue, valid

    def _coupled(self, image: NDArray[np.uint8]) -> Tensor:
        """(H, W) whether a scan line is about as bright as the others of its frame in the near field.

        Without this, a side of the probe that was lifted in the real frames would teach generators to paint it.
        """
        probe = self._card.probe
        share = probe.sample_depths / probe.depth
        near = (share > NEAR_FIELD[0]) & (share < NEAR_FIELD[1])
        level = self._to_lines.image(image[None])[:, near].mean(dim=1, keepdim=True)
        width = probe.scan_lines // SMOOTHED | 1
        level = torch.nn.functional.avg_pool1d(level, width, 1, width // 2, count_include_pad=False)[0, 0]
        good = level > self._weak * level.quantile(0.75)
        if self._card.grid == "polar":
            return good.expand(self._card.size)
        line = np.rint(probe.polar_of_pixel[..., 0]).clip(0, probe.scan_lines - 1).astype(np.int64)
        return good[torch.from_numpy(line)]

    def _checked(self, mask: NDArray[np.uint8], image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The mask, if it can be that of the image."""
        if mask.shape != image.shape:
            raise DataError(f"its size {size_text(mask.shape)} is not that of its image, {size_text(image.shape)}")
        labelled = mask > 0
        inside = np.count_nonzero(labelled & fan_in_frame(self._fan, mask.shape))
        if inside < OVERLAP * np.count_nonzero(labelled):
            share = 100 * inside / np.count_nonzero(labelled)
            raise DataError(f"only {share:.0f} % of its labels lie in the image's fan: is it of another image?")
        return mask


def _try(load: Loader, item: Item) -> Cell | Fault:
    try:
        return load(item)
    except Fault as fault:
        return fault

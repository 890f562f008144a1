"""Frames of real machines: any folder of images, with or without masks, resampled to the card's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from scyclegan_train.fans import FanGeometry, Resampler, fan_in_frame
from scyclegan_train.faults import DataError, Faults
from scyclegan_train.samples import REAL, UsBatch
from scyclegan_train.us_masks import read_mask
from us_sim.core.card import Card

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
WEAK = 0.4  # of the frame's usual brightness, below which a scan line counts as not coupled
NEAR_FIELD = (20.0, 100.0)  # mm, where a line's brightness is judged
SMOOTHED = 16  # part of the fan over which that brightness is averaged
OVERLAP = 0.5  # share of a mask's pixels that have to lie in the fan


@dataclass(frozen=True)
class Item:
    """One frame on disk, and its mask where there is one."""

    image: Path
    mask: Path | None = None


def images_in(folder: Path) -> list[Path]:
    """Image files of a folder, sorted by name.

    Raises:
        DataError: no such folder, or no images in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of frames")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{folder}: no images in it; expected {', '.join(SUFFIXES)}")
    return files


def paired(images: Sequence[Path], masks: Path | None, faults: Faults) -> list[Item]:
    """Pair images and masks by name without suffix; what has no partner is noted, which is no fault."""
    by_stem: dict[str, Path] = {}
    if masks is not None and masks.is_dir():
        by_stem = {path.stem: path for path in sorted(masks.iterdir()) if path.suffix.lower() in SUFFIXES}
    items = [Item(image, by_stem.pop(image.stem, None)) for image in images]
    bare = [item.image for item in items if item.mask is None]
    if masks is not None:
        for image in bare:
            faults.note(image, "has no mask: it takes part without segmentation loss")
    for mask in by_stem.values():
        faults.note(mask, "is a mask without an image: not used")
    return items


class Frames:
    """Frames held in memory on the card's grid; sample i of an epoch is the i-th of them, shuffled.

    Args:
        items: files.
        card: the grid.
        fan: of the frames, in their pixels.
        source: PHYSICS or REAL.
        seed: of the order.
        faults: takes files that cannot be used.
        weak_lines: share of the usual brightness below which a scan line is not valid; 0 keeps all.
        device: where batches go.

    Raises:
        DataError: no frame is left.
    """

    def __init__(
        self,
        items: Sequence[Item],
        card: Card,
        fan: FanGeometry,
        *,
        source: int = REAL,
        seed: int = 0,
        faults: Faults | None = None,
        weak_lines: float = WEAK,
        device: torch.device | str = "cpu",
    ) -> None:
        self.faults = faults or Faults()
        resampler = Resampler(card.probe, fan, card.grid == "polar")
        loaded = [self._load(item, fan) for item in items]
        kept = [(item, pixels) for item, pixels in zip(items, loaded, strict=True) if pixels is not None]
        kept = self._of_one_size(kept)
        if not kept:
            raise DataError(f"no usable frames among {len(items)} files; the first faults: {self.faults.found[:3]}")
        self.items = [item for item, _ in kept]
        self._seed, self._source, self._device = seed, source, torch.device(device)
        images, tissue, valid = zip(*(_on_card(resampler, *pixels) for _, pixels in kept), strict=True)
        self._image, self._tissue = torch.stack(images), torch.stack(tissue)
        self._valid = torch.stack(valid)
        if weak_lines > 0:
            self._valid &= _coupled([image for _, (image, _) in kept], card, fan, weak_lines)
        self._known = torch.tensor([mask is not None for _, (_, mask) in kept])

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, indices: Sequence[int], epoch: int = 0) -> UsBatch:
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self))
        rows = torch.from_numpy(order[[index % len(self) for index in indices]])
        source = torch.full((len(rows),), self._source)
        image, tissue = self._image[rows].float(), self._tissue[rows]
        return UsBatch(image, tissue, self._known[rows], self._valid[rows], source).to(self._device)

    def _load(self, item: Item, fan: FanGeometry) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None] | None:
        try:
            image = read_grey(item.image)
        except DataError as error:
            self.faults.add(item.image, str(error))
            return None
        if item.mask is None:
            return image, None
        try:
            mask = read_mask(item.mask)
            if mask.shape != image.shape:
                raise DataError(f"its size {_size(mask)} is not that of its image, {_size(image)}")
            _check_overlap(mask, fan)
        except DataError as error:
            self.faults.add(item.mask, str(error))
            return None
        return image, mask

    def _of_one_size(self, kept: list) -> list:
        """Leave out frames of another size than most: the fan is given in pixels."""
        sizes = [pixels[0].shape for _, pixels in kept]
        usual = max(set(sizes), key=sizes.count) if sizes else None
        for (item, pixels), size in zip(kept, sizes, strict=True):
            if size != usual:
                self.faults.add(item.image, f"its size {_size(pixels[0])} is not that of the others")
        return [one for one, size in zip(kept, sizes, strict=True) if size == usual]


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
        fan: FanGeometry,
        *,
        masks: Path | str | None = None,
        places: Sequence[int] | None = None,
        faults: Faults | None = None,
        source: int = REAL,
        seed: int = 0,
        weak_lines: float = WEAK,
        device: torch.device | str = "cpu",
    ) -> None:
        files = images_in(Path(folder))
        if places is not None:
            if not all(0 <= place < len(files) for place in places):
                raise DataError(f"{folder}: holds {len(files)} frames; places up to {max(places)} were asked for")
            files = [files[place] for place in places]
        faults = faults or Faults()
        items = paired(files, Path(masks) if masks is not None else None, faults)
        super().__init__(
            items, card, fan, source=source, seed=seed, faults=faults, weak_lines=weak_lines, device=device
        )


def read_grey(path: Path) -> NDArray[np.uint8]:
    """(rows, columns) grey levels; an alpha channel is dropped.

    Raises:
        DataError: unreadable, or without any content.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ("I;16", "I;16B", "I", "F"):
                raise DataError(f"has {image.mode} pixels; expected 8 bits: save it as 8-bit grey or RGB")
            grey = np.asarray(image.convert("RGB").convert("L"))
    except (OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot be read as an image ({error})") from error
    if grey.max() == grey.min():
        raise DataError(f"is empty: every pixel is {grey.max()}")
    return grey


def _on_card(
    resampler: Resampler, image: NDArray[np.uint8], mask: NDArray[np.uint8] | None
) -> tuple[Tensor, Tensor, Tensor]:
    grey = resampler.image(image[None])[0].round().to(torch.uint8)
    tissue = torch.zeros_like(grey) if mask is None else resampler.classes(mask[None])[0]
    return grey, tissue, resampler.valid(image.shape)


def _coupled(images: list[NDArray[np.uint8]], card: Card, fan: FanGeometry, weak: float) -> Tensor:
    """(N, H, W) whether a scan line is about as bright as the others of its frame between 20 and 100 mm.

    Without this, a side of the probe that was lifted in the real frames would teach generators to paint it.
    """
    probe, lines = card.probe, Resampler(card.probe, fan, polar=True)
    near = (probe.sample_depths > NEAR_FIELD[0]) & (probe.sample_depths < NEAR_FIELD[1])
    level = torch.cat([lines.image(image[None])[:, near].mean(dim=1) for image in images])
    width = probe.scan_lines // SMOOTHED | 1
    level = torch.nn.functional.avg_pool1d(level[:, None], width, 1, width // 2, count_include_pad=False)[:, 0]
    good = level > weak * level.quantile(0.75, dim=1, keepdim=True)
    if card.grid == "polar":
        return good[:, None].expand(-1, *card.size)
    line = np.rint(probe.polar_of_pixel[..., 0]).clip(0, probe.scan_lines - 1).astype(np.int64)
    return good[:, torch.from_numpy(line)]


def _check_overlap(mask: NDArray[np.uint8], fan: FanGeometry) -> None:
    labelled = mask > 0
    if not labelled.any():
        return
    inside = np.count_nonzero(labelled & fan_in_frame(fan, mask.shape)) / np.count_nonzero(labelled)
    if inside < OVERLAP:
        raise DataError(f"only {100 * inside:.0f} % of its labels lie in the image's fan: is it of another image?")


def _size(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Pictures for the page, from what the topics carry: pure functions on arrays, RGB as uint8."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.tissue import TissueClass
from us_sim.viewer.look import PLAIN
from us_sim.viewer.measuring import M_MODE, WORDED, Mark, line, share, values

Pixels = NDArray[np.uint8]

WIDTH = 720  # pixels of the B-mode picture, about as large as it is shown
PAIR = 560  # pixels of slice and labels together
RULER = (150, 160, 175)
LINE = 20  # pixels from line to line of what callipers measure
CALLIPER = (255, 214, 64)
OPAQUE = [TissueClass.BONE, TissueClass.GAS, TissueClass.LUNG]
COUPLED = 0.5  # coupling above which a scan line counts as coupled
STRIDE = 4  # samples of a scan line to one that is looked at
MARKER = (255, 176, 32)  # the dot at the image's left, as on the probe


def scaled(probe: ProbeGeometry, width: int) -> tuple[int, int]:
    """Return width and height in pixels of a picture of the frame with square pixels."""
    dx, dz = probe.pixel_spacing
    return width, max(1, round(width * probe.height * dz / (probe.width * dx)))


def b_mode(image: Pixels, probe: ProbeGeometry, look: Pixels = PLAIN) -> Pixels:
    """Return the (H, W) B-mode frame in true proportions, with depth marks, its grey levels in a (256, 3) look."""
    size = scaled(probe, WIDTH)
    return _ruled(tinted(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC), look), probe)


def outlined(image: Pixels, probe: ProbeGeometry, classes: Pixels, colors: Pixels, look: Pixels = PLAIN) -> Pixels:
    """Return the B-mode frame in true proportions with the borders of labels.

    Args:
        image: (H, W).
        probe: whose frame it is.
        classes: (H, W) whose borders are drawn in the fan; 0 for what has none.
        colors: (256, 3) RGB of the classes.
        look: (256, 3) RGB of the grey levels.
    """
    size = scaled(probe, WIDTH)
    picture = np.array(tinted(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC), look))
    large = np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST))
    border = _borders(large) & _enlarged_fan(probe, size)
    picture[border] = colors[large[border]] // 2 + 127  # liver's dark purple would drown
    return picture


def tinted(grey: Image.Image, look: Pixels) -> Image.Image:
    """Return a grey picture in RGB by a (256, 3) table."""
    grey.putpalette(look.tobytes())
    return grey.convert("RGB")


def windowed(hu: NDArray[np.int16], window: tuple[float, float]) -> Pixels:
    """Return grey levels of (H, W) HU: black up to the window's lower end, white from its upper one."""
    low, high = window
    return np.rint(np.clip((hu - low) * (255 / (high - low)), 0, 255)).astype(np.uint8)


def side_by_side(
    ct_slice: Pixels, labels: Pixels, probe: ProbeGeometry, colors: Pixels, sides: tuple[str, str] = ("", "")
) -> Pixels:
    """Return the CT slice, left, and its classes in their colours, right; dark outside the fan.

    Args:
        ct_slice: grey levels of the frame, from `windowed`, in any number of pixels.
        labels: the same of its classes.
        probe: whose frame it is.
        colors: (256, 3) RGB of the classes.
        sides: letters of the slice's left and right edge.
    """
    size = scaled(probe, PAIR // 2 - 4)
    slice_ = np.asarray(Image.fromarray(ct_slice).resize(size, Image.Resampling.BILINEAR))
    classes = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    fan = _enlarged_fan(probe, size)
    grey = np.where(fan, slice_, slice_ // 3)
    dark = np.concatenate([colors // 3, colors])[classes + 256 * fan]
    gap = np.full((size[1], 8, 3), 18, dtype=np.uint8)
    pair = Image.fromarray(np.concatenate([np.repeat(grey[..., None], 3, axis=2), gap, dark], axis=1))
    draw = ImageDraw.Draw(pair)
    draw.text((6, 4), "CT slice", RULER, font(13))
    draw.text((size[0] + 14, 4), "tissue", RULER, font(13))
    for side, x, anchor in zip(sides, (4, size[0] - 4), ("lm", "rm"), strict=True):
        draw.text((x, size[1] // 2), side, MARKER, font(15), anchor=anchor)
    return np.asarray(pair)


def marked(picture: Pixels, marks: Sequence[Mark], probe: ProbeGeometry) -> Pixels:
    """Return the picture of a frame, (h, w, 3), with callipers and arrows and what they measure.

    Of callipers on the M-mode strip it tells only what they measure.
    """
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for number, mark in enumerate(marks, 1):
        place = (8.0, float(image.height - LINE * (len(marks) - number + 1)))
        words = mark.text or f"{number}  " + "  ".join(value.text for value in values(mark))
        if mark.kind == M_MODE:
            _write(draw, place, words)
            continue
        points = [tuple(np.multiply(share((x, z), probe), image.size)) for x, z in line(mark)]
        draw.line(points, CALLIPER, 2)
        for u, v in (share(point, probe) for point in mark.points if mark.kind != "text"):
            x, y = u * image.width, v * image.height
            cross(draw, x, y)
        if mark.kind in WORDED:
            place = (x + 8, y + 4)
        else:
            draw.text((x + 8, y + 4), str(number), CALLIPER, font(13))
        _write(draw, place, words)
    return np.asarray(image)


def cross(draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
    """Draw the end of a calliper."""
    draw.line([(x - 5, y), (x + 5, y)], CALLIPER)
    draw.line([(x, y - 5), (x, y + 5)], CALLIPER)


def _write(draw: ImageDraw.ImageDraw, place: tuple[float, float], words: str) -> None:
    """Write in the colour of callipers; a raised 2 is put together, for Pillow's letters have none."""
    x, y = place
    for number, part in enumerate(words.split("²")):
        if number:
            draw.text((x, y), "2", CALLIPER, font(10))
            x += draw.textlength("2", font(10))
        draw.text((x, y), part, CALLIPER, font(15))
        x += draw.textlength(part, font(15))


def see_through(image: Pixels) -> Pixels:
    """Return (H, W, 4) RGBA of a frame for the fan in space: clear outside the fan, where a frame is exactly 0."""
    alpha = np.where(image > 0, np.uint8(255), np.uint8(0))
    return np.stack([image, image, image, alpha], axis=-1)


def areas(labels: Pixels, probe: ProbeGeometry, coupling: ArrayLike = ()) -> NDArray[np.float64]:
    """Return (256,) the area of each class that can be seen, cm²: not beyond bone or gas, nor where a line is in air.

    Args:
        labels: (H, W).
        probe: whose frame it is.
        coupling: (L,) of the scan lines, 0 to 1; of another number than the probe's, all count as coupled.
    """
    dx, dz = probe.pixel_spacing
    seen = labels[seen_pixels(labels, probe, coupling)]
    return np.asarray(np.bincount(seen, minlength=256) * (dx * dz / 100.0), dtype=np.float64)


def seen_pixels(labels: Pixels, probe: ProbeGeometry, coupling: ArrayLike = ()) -> NDArray[np.bool_]:
    """Return (H, W) where the fan shows tissue: arguments as for `areas`."""
    clear = coupled_samples(labels, probe, coupling)
    seen = np.zeros(labels.shape, dtype=bool)
    seen[probe.fan_mask] = clear.ravel()[_sample_of_pixel(probe)]
    return seen


def coupled_samples(labels: Pixels, probe: ProbeGeometry, coupling: ArrayLike = ()) -> NDArray[np.bool_]:
    """Return (L, S / STRIDE) where a scan line is shown, coupled and meets nothing opaque up to a sample."""
    clear = ~np.logical_or.accumulate(np.isin(tissue_of_samples(labels, probe), OPAQUE), axis=1)
    lines = np.asarray(coupling, dtype=np.float64)
    if len(lines) == probe.scan_lines:
        clear &= (lines > COUPLED)[:, None]
    clear[: probe.drawn_lines.start] = clear[probe.drawn_lines.stop :] = False
    return np.asarray(clear)


def tissue_of_samples(labels: Pixels, probe: ProbeGeometry) -> Pixels:
    """Return (L, S / STRIDE) the classes along the scan lines, every STRIDE samples, of (H, W) labels."""
    column, row = _pixel_of_sample(probe)
    return labels[row, column]


@lru_cache(maxsize=4)
def _sample_of_pixel(probe: ProbeGeometry) -> NDArray[np.int64]:
    """Return (N,) of the fan's pixels the place of their scan line's sample in what `coupled_samples` returns."""
    line, sample = np.rint(probe.polar_of_pixel[probe.fan_mask]).astype(np.int64).T
    line, sample = np.clip(line, 0, probe.scan_lines - 1), np.clip(sample, 0, probe.samples - 1)
    return np.asarray(line * (probe.samples // STRIDE) + sample // STRIDE)


@lru_cache(maxsize=4)
def _pixel_of_sample(probe: ProbeGeometry) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return samples(probe.polar_points[:, STRIDE // 2 :: STRIDE], probe)


def samples(points: ArrayLike, probe: ProbeGeometry) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return column and row of the frame's pixels nearest to (..., 3) points, mm in `probe`."""
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    x, _, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
    column = np.clip(np.rint((x - x0) / dx).astype(int), 0, probe.width - 1)
    row = np.clip(np.rint((z - z0) / dz).astype(int), 0, probe.height - 1)
    return column, row


@lru_cache(maxsize=4)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the letters that pictures are labelled with, by their height in pixels."""
    return ImageFont.load_default(size)


@lru_cache(maxsize=4)
def _enlarged_fan(probe: ProbeGeometry, size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(Image.fromarray(probe.fan_mask).resize(size, Image.Resampling.NEAREST))


def _borders(classes: Pixels) -> NDArray[np.bool_]:
    """Pixels of a class, other than 0, next to another one."""
    border = np.zeros(classes.shape, dtype=bool)
    for axis in (0, 1):
        for step in (-1, 1):
            border |= classes != np.roll(classes, step, axis=axis)
    return border & (classes > 0)


def ticks(probe: ProbeGeometry) -> list[tuple[float, str]]:
    """Return where each cm of depth lies, as a share of the frame's height, with what stands there: each fifth one."""
    dz = probe.pixel_spacing[1]
    top, height = probe.first_pixel[1] - dz / 2, probe.height * dz
    words = ["cm", *(str(cm) if cm % 5 == 0 else "" for cm in range(1, int(probe.depth // 10) + 1))]
    return [((10 * cm - top) / height, word) for cm, word in enumerate(words)]


def rule(draw: ImageDraw.ImageDraw, marks: Iterable[tuple[float, str]], size: tuple[int, int]) -> None:
    """Draw depth marks at the right edge of a picture of some width and height; words stay inside."""
    right, height = size[0] - 1, size[1]
    for share_of_height, word in marks:
        y = round(share_of_height * height)
        draw.line([(right - (10 if word else 5), y), (right, y)], RULER)
        if word:
            draw.text((right - 14, min(y, height - 8)), word, RULER, font(13), anchor="rm")


def _ruled(image: Image.Image, probe: ProbeGeometry) -> Pixels:
    """Draw a tick for each cm of depth at the right edge, every fifth one numbered, and the marker's side."""
    draw = ImageDraw.Draw(image)
    rule(draw, ticks(probe), image.size)
    draw.ellipse([(8, 8), (18, 18)], fill=MARKER)
    return np.asarray(image)

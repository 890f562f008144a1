# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Pictures for people: a frame, its CT slice and its labels, and many of them on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from us_sim.core.config import SOFT_WINDOW
from us_sim.core.files import atomic_write
from us_sim.core.frame import Frame
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.tissue import CLASS_COLORS, TissueClass

MARK = "us_sim_render"  # in all that the command writes, so that it replaces nothing else
PIXELS_PER_MM = 1.0  # on the sheet, of a probe SHEET_DEPTH deep
SHEET_DEPTH = 187.0  # mm; other depths are scaled to the same height
GAP, CAPTION = 6, 18  # pixels
DARK, LIGHT = (16, 16, 20), (225, 225, 230)


def save_png(picture: Image.Image, file: Path, writer: str = MARK, dpi: tuple[float, float] | None = None) -> None:
    """Write a PNG that says who wrote it, whole or not at all.

    Args:
        picture: what to write.
        file: where.
        writer: who writes it.
        dpi: pixels per inch, along rows and columns.

    Raises:
        OSError: it cannot be written.
    """
    text = PngInfo()
    text.add_text("Software", writer)
    with atomic_write(file) as partial:
        picture.save(partial, pnginfo=text, dpi=dpi)


def pictures(frame: Frame, probe: ProbeGeometry) -> tuple[Image.Image, Image.Image, Image.Image]:
    """Return B-mode, CT slice in the soft window, and labels in colours, each with the frame's own pixels.

    Outside the fan all three are black.

    Raises:
        ValueError: the frame lacks one of its outputs.
    """
    if frame.image is None or frame.ct_slice is None or frame.labels is None:
        raise ValueError("a frame without image, slice or labels; expected all three")
    low, high = SOFT_WINDOW
    grey = np.clip((frame.ct_slice - low) / (high - low), 0, 1) * 255
    colors = CLASS_COLORS[frame.labels]
    return (
        Image.fromarray(frame.image),
        Image.fromarray(np.where(probe.fan_mask, grey, 0).round().astype(np.uint8)),
        Image.fromarray(np.where(probe.fan_mask[..., None], colors, 0).astype(np.uint8)),
    )


def contact_sheet(frames: Sequence[Frame], probe: ProbeGeometry, title: str, columns: int = 3) -> Image.Image:
    """Return one picture of all frames, each with slice and labels at its right, fans in their true shape."""
    width, height = panel_size(probe)
    columns = min(columns, len(frames))
    cell = (3 * (width + GAP) + GAP, height + CAPTION + GAP)
    rows = -(-len(frames) // columns)
    sheet = Image.new("RGB", (columns * cell[0] + GAP, CAPTION + 2 * GAP + rows * cell[1] + CAPTION + GAP), DARK)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    draw.text((GAP, GAP), title, LIGHT, ImageFont.load_default(14))
    for number, frame in enumerate(frames):
        left = GAP + number % columns * cell[0]
        top = CAPTION + 2 * GAP + number // columns * cell[1]
        touch = frame.contact
        text = f"{number}   coupling {touch.coupling:.2f}   pressed in {touch.penetration:.1f} mm"
        draw.text((left, top), text, LIGHT, font)
        for place, picture in enumerate(pictures(frame, probe)):
            resample = Image.Resampling.NEAREST if place == 2 else Image.Resampling.BICUBIC
            panel = picture.convert("RGB").resize((width, height), resample)
            sheet.paste(panel, (left + place * (width + GAP), top + CAPTION))
    _legend(draw, frames, probe.fan_mask, sheet.height - CAPTION, font)
    return sheet


def panel_size(probe: ProbeGeometry, scale: float = 1.0) -> tuple[int, int]:
    """Return width and height in pixels, `scale` times those on the sheet, at which a pixel is square in mm."""
    dx, dz = probe.pixel_spacing
    scale *= PIXELS_PER_MM * SHEET_DEPTH / (dz * probe.height)
    return round(dx * probe.width * scale), round(dz * probe.height * scale)


def _legend(
    draw: ImageDraw.ImageDraw,
    frames: Sequence[Frame],
    fan: NDArray[np.bool_],
    top: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Name the colour of every class that a fan shows."""
    shown = np.unique([frame.labels[fan] for frame in frames if frame.labels is not None])
    left = GAP
    for tissue in shown[shown != TissueClass.BACKGROUND]:
        draw.rectangle((left, top, left + 10, top + 10), tuple(CLASS_COLORS[tissue].tolist()))
        name = TissueClass(tissue).name.lower()
        draw.text((left + 14, top - 2), name, LIGHT, font)
        left += 14 + round(draw.textlength(name, font)) + 2 * GAP

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The report of a fit: before, after and real side by side, curves, and the validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert
from us_sim.offline.fit.fitting import Fit, split
from us_sim.offline.fit.frames import FEW, Scanned
from us_sim.offline.fit.knobs import NAMES
from us_sim.offline.fit.scenes import Scenes

GAP, CAPTION, COLUMNS = 8, 22, 3
DARK, LIGHT, GRID = (16, 16, 20), (225, 225, 230), (70, 70, 80)
COLOURS = {"before": (230, 140, 60), "after": (90, 200, 120), "real": LIGHT}
TITLES = {"before": "before: the generic scanner", "after": "after: fitted", "real": "held-out real frames"}
CURVES = {"mean grey over depth": (0, 1), "mean grey over the fan's width": (0, 2)}
FONT = ImageFont.load_default(13)
UNITS = {"near field": "grey", "lateral": "grey", "floor": "grey", "grey": "grey", "block SD": "grey", "grain":
         "correlation", "texture": "grey"}  # fmt: skip


def written(fit: Fit, scanned: Scanned, shown: str) -> str:
    """Return the report in Markdown.

    Args:
        fit: its end.
        scanned: the frames, fitted and held out.
        shown: file name of the picture.
    """
    fitted, held = split(len(scanned.names))
    depths = sorted({round(depth) for depth in scanned.depths})
    lines = [
        "# Scanner fitted to frames", "", f"![before, after, real]({shown})", "",
        f"{len(fitted)} frames fitted, {len(held)} held out, with a gap between. Convex probe, radius of curvature "
        f"{scanned.probe.radius_of_curvature:g} mm, {np.degrees(scanned.probe.field_of_view):.1f}°, depths "
        f"{', '.join(map(str, depths))} mm.", "",
        f"**{verdict(fit)}**", "",
        "Distance from the held-out frames; *real* is that of the fitted frames from the same.", "",
        "| measure | unit | before | after | real | after / real |", "|---|---|---|---|---|---|",
        *(f"| {v.name} | {UNITS[v.name]} | {v.before:.2f} | {v.after:.2f} | {v.real:.2f} | "
          f"{v.after / max(v.real, 1e-6):.2f}{'' if v.enough else ' (fails)'} |" for v in fit.verdicts), "",
        *(f"- {note}" for note in remarks(fit, scanned)), "",
        "| constant | before | after |", "|---|---|---|",
        *(f"| {name} | {fit.start.value(name):.3g} | {fit.guess.value(name):.3g} |" for name in NAMES), "",
    ]  # fmt: skip
    return "\n".join(lines)


def verdict(fit: Fit) -> str:
    """Return in one sentence whether the fit passes."""
    missed = [v.name for v in fit.verdicts if not v.enough]
    if not missed:
        return "Passed: every measure lies within 1.5 times of real against real."
    return (
        f"Failed: {', '.join(missed)} beyond 1.5 times of real against real. Possible reasons: too few or too similar "
        "frames, a wrong scale (--radius or --depth), or anatomy that the phantoms lack."
    )


def remarks(fit: Fit, scanned: Scanned) -> list[str]:
    """Return further findings for the user."""
    found = list(scanned.notes)
    if len(scanned.names) < FEW:
        found.append(f"only {len(scanned.names)} frames; {FEW} or more separate the scanner from the views")
    found += [
        f"{name} is at the limit of its range ({fit.guess.value(name):.3g}): other parameters may compensate for it"
        for name in fit.at_their_ends()
    ]
    worse = [v.name for v in fit.verdicts if v.after > 1.1 * v.before]
    if worse:
        found.append(f"{', '.join(worse)} is worse than with the generic scanner")
    return found


def picture(fit: Fit, scanned: Scanned, unseen: Scenes) -> Image.Image:
    """Return before, after and real, three frames of each in their true shape, over curves of grey."""
    _, held = split(len(scanned.names))
    held_out = scanned.at(held.tolist())
    grey = {"before": unseen.frames(fit.start), "after": unseen.frames(fit.guess), "real": held_out.grey}
    panels = {name: _frames(some[_spread(len(some))], scanned.probe) for name, some in grey.items()}
    width, height = panels["real"][0].size
    curves_top = len(panels) * (height + CAPTION)
    size = COLUMNS * (width + GAP) + GAP, curves_top + CAPTION + height // 2 + GAP
    sheet = Image.new("RGB", size, DARK)
    draw = ImageDraw.Draw(sheet)
    for row, (name, some) in enumerate(panels.items()):
        top = row * (height + CAPTION)
        draw.text((GAP, top + 4), TITLES[name], COLOURS[name], FONT)
        for column, panel in enumerate(some):
            sheet.paste(panel, (GAP + column * (width + GAP), top + CAPTION))
    valid = {name: held_out.valid if name == "real" else torch.ones(some.shape) for name, some in grey.items()}
    half = (sheet.width - 3 * GAP) // 2
    for column, (title, axes) in enumerate(CURVES.items()):
        left, top = GAP + column * (half + GAP), curves_top + CAPTION
        draw.text((left, top - 18), title, LIGHT, FONT)
        box = left, top, left + half, top + height // 2
        _plot(draw, box, {name: _profile(some, valid[name], axes) for name, some in grey.items()})
    return sheet


def _spread(count: int) -> list[int]:
    return [round(i * (count - 1) / (COLUMNS - 1)) for i in range(COLUMNS)]


def _frames(grey: Tensor, probe: ProbeGeometry) -> list[Image.Image]:
    grid, mask = conversion_grid(probe, torch.device("cpu"))
    drawn = scan_convert(grey.contiguous(), grid, mask).round().to(torch.uint8).numpy()
    dx, dz = probe.pixel_spacing
    size = round(1.4 * dx * probe.width), round(1.4 * dz * probe.height)
    return [Image.fromarray(one).convert("RGB").resize(size, Image.Resampling.BICUBIC) for one in drawn]


def _profile(grey: Tensor, valid: Tensor, axes: tuple[int, int]) -> list[float]:
    values = (grey * valid).sum(dim=axes) / valid.sum(dim=axes)
    coarse = torch.nn.functional.avg_pool1d(values.nan_to_num()[None], 4)[0]
    return [float(value) for value in coarse]


def _plot(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], curves: dict[str, Sequence[float]]) -> None:
    left, top, right, bottom = box
    draw.rectangle(box, outline=GRID)
    most = max(max(values) for values in curves.values()) * 1.05
    for name, values in curves.items():
        places = [
            (left + i / (len(values) - 1) * (right - left), bottom - value / most * (bottom - top))
            for i, value in enumerate(values)
        ]
        draw.line(places, fill=COLOURS[name], width=2)
    draw.text((left + 4, top + 2), f"{most:.0f}", GRID)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""M-mode: one scan line of the cine loop's frames over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.viewer.measuring import M_MODE, Mark, Point
from us_sim.viewer.pictures import CALLIPER, Pixels, cross, font, rule, samples, tinted

SPAN = 6.0  # s that the strip shows
SIZE = (720, 220)  # pixels of the strip


class MMode:
    """The strip of one scan line; columns that are made once are kept. For one thread.

    Attributes:
        line: number of the scan line; None while there is no strip.
    """

    def __init__(self) -> None:
        self.line: int | None = None
        self._columns: dict[tuple[int, int], Pixels] = {}  # by scan line and stamp

    def clear(self) -> None:
        """Forget the frames: another probe or patient."""
        self.line, self._columns = None, {}

    def strip(self, frames: Sequence[tuple[int, Pixels]], probe: ProbeGeometry) -> Pixels:
        """Return the strip's picture, grey.

        Args:
            frames: stamps, ns, and images, (H, W), the oldest first; the newest stands at the right.
            probe: whose frames they are.
        """
        assert self.line is not None
        made = self._columns
        keys = [(self.line, stamp) for stamp, _ in frames]
        self._columns = {
            key: made[key] if key in made else column(image, probe, self.line)
            for key, (_, image) in zip(keys, frames, strict=True)
        }
        times = np.array([stamp for stamp, _ in frames], dtype=np.float64) * 1e-9
        return over_time(np.array([self._columns[key] for key in keys]), times - times[-1])


def point_at(u: float, v: float, probe: ProbeGeometry) -> Point:
    """Return s after the newest frame, and depth, mm, of a place on the strip, at shares of its width and height."""
    return SPAN * (u - 1.0), v * probe.depth


def share_of(point: Point, probe: ProbeGeometry) -> Point:
    """Return where a point lies on the strip, as shares of width and height: the inverse of `point_at`."""
    return 1.0 + point[0] / SPAN, point[1] / probe.depth


def ticks(probe: ProbeGeometry) -> list[tuple[float, str]]:
    """Return where each cm of depth lies, as a share of the strip's height, with what stands there: each fifth one."""
    return [(10 * cm / probe.depth, str(cm) if cm % 5 == 0 else "") for cm in range(1, int(probe.depth // 10) + 1)]


def still(strip: Pixels, marks: Sequence[Mark], probe: ProbeGeometry, look: Pixels) -> Pixels:
    """Return a strip as it is saved, RGB: its grey levels in a (256, 3) look, depth marks, its callipers' numbers."""
    image = tinted(Image.fromarray(strip), look)
    draw = ImageDraw.Draw(image)
    rule(draw, ticks(probe), image.size)
    for number, mark in enumerate(marks, 1):
        if mark.kind == M_MODE:
            points = [tuple(np.multiply(share_of(point, probe), image.size)) for point in mark.points]
            draw.line(points, CALLIPER, 2)
            for x, y in points:
                cross(draw, x, y)
            draw.text((x + 8, y + 4), str(number), CALLIPER, font(13))
    return np.asarray(image)


def nearest_line(x: float, z: float, probe: ProbeGeometry) -> int:
    """Return the number of the scan line nearest to a point, mm in `probe`, of those that are shown."""
    shown = probe.drawn_lines
    if math.isinf(probe.apex):
        return shown.start + int(np.argmin(np.abs(probe.line_origins[shown, 0] - x)))
    return shown.start + int(np.argmin(np.abs(probe.line_angles[shown] - math.atan2(x, z + probe.apex))))


def ends(line: int, probe: ProbeGeometry) -> NDArray[np.float64]:
    """Return (2, 2), x and z of a scan line's ends, mm in `probe`."""
    start = probe.line_origins[line]
    return np.stack([start, start + probe.depth * probe.line_directions[line]])[:, [0, 2]]


def column(image: Pixels, probe: ProbeGeometry, line: int) -> Pixels:
    """Return (S,) grey levels of an (H, W) frame along a scan line."""
    column_of, row = samples(probe.polar_points[line], probe)
    return np.asarray(image[row, column_of])


def over_time(columns: Pixels, times: NDArray[np.float64]) -> Pixels:
    """Return the picture of (N, S) columns seen from (N,) times, s, each until the next; black before the first."""
    width, height = SIZE
    at = np.linspace(-SPAN, 0.0, width)
    place = np.searchsorted(times, at, side="right") - 1
    strip = columns[np.maximum(place, 0)].T.copy()
    strip[:, place < 0] = 0
    picture = Image.fromarray(strip).resize((width, height), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    for second in range(1, int(SPAN)):
        x = width * (1 - second / SPAN)
        draw.line([(x, height - 6), (x, height)], 170)
        draw.text((x, height - 7), f"-{second} s", 170, font(12), anchor="md")
    return np.asarray(picture)

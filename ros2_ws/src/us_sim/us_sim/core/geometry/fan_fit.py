# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The fan of frames of unknown geometry, fitted to the frames themselves."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, binary_opening, label
from scipy.stats import theilslopes

from us_sim.core.errors import DataError
from us_sim.core.geometry.fans import FanGeometry
from us_sim.core.geometry.frame_files import read_grey

SHOWN = 3.0  # mean grey level over frames above which a pixel belongs to the fan
RAYS = 61
ENOUGH = 60  # frames from which a fan is found
ALIKE = 3  # frames of one depth from which their fan is found
OTHER_DEPTH = 0.02  # of the frame's height by which the face's arc lies elsewhere at another depth
LIT = 12  # grey level from which the arc counts as lit
REMEDY = "give the fan's geometry"


def fit_fan(mean: NDArray[np.floating], spacing: float | None = None) -> FanGeometry:
    """Fit a fan, symmetric about the vertical, to (rows, columns) mean grey levels of many frames.

    The sides are fitted robustly (Theil–Sen) between the corners; they meet in the centre of curvature. The radii
    are those between which the rays from there are bright.

    Raises:
        DataError: too little is bright, or its sides do not open downwards like a fan's.
    """
    fan = _largest(mean > SHOWN)
    if fan.mean() < 0.05:
        raise DataError(f"only {100 * fan.mean():.1f} % of the frames' pixels are bright, too few for a fan; {REMEDY}")
    left, right = _side(fan), _side(fan[:, ::-1])
    right = (-right[0], fan.shape[1] - 1 - right[1])
    angles = math.atan(-left[0]), math.atan(right[0])
    if min(angles) < 0.05 or abs(angles[0] - angles[1]) > 0.15:
        found = ", ".join(f"{math.degrees(a):.0f}°" for a in angles)
        raise DataError(f"the sides of the frames open by {found}, not like a fan's; {REMEDY}")
    y = (right[1] - left[1]) / (left[0] - right[0])
    centre = (left[0] * y + left[1], y)
    half = 0.5 * sum(angles)
    return FanGeometry((float(centre[0]), float(y)), _radii(fan, centre, half), half, spacing)


def fan_of(images: list[Path], spacing: float | None = None) -> FanGeometry:
    """Find the fan that frames of one size have in common.

    Raises:
        DataError: unreadable frames only, or no fan in them.
    """
    stack = []
    for path in images[:: max(1, len(images) // ENOUGH)]:
        try:
            stack.append(read_grey(path))
        except DataError:
            continue  # it is named when the frames are loaded
    if not stack:
        raise DataError("no frame can be read to find the fan in")
    return fit_fan(np.mean(stack, axis=0), spacing)


def alike(pictures: Iterable[NDArray[np.uint8]]) -> list[list[int]]:
    """Group frames by size and depth: at another depth the arc of the face lies elsewhere. One is looked at at a time.

    Returns:
        places of the frames of each group, in their order.
    """
    groups: list[tuple[tuple[int, ...], NDArray[np.float64], list[int]]] = []
    for i, grey in enumerate(pictures):
        arc = _arc(grey)
        for shape, other, members in groups:
            if shape == grey.shape and np.nanmedian(np.abs(arc - other)) < OTHER_DEPTH * grey.shape[0]:
                members.append(i)
                break
        else:
            groups.append((grey.shape, arc, [i]))
    return [members for _, _, members in groups]


def _arc(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Row of the first three lit pixels of each column in the middle half; NaN where there are none."""
    width = grey.shape[1]
    lit = grey[:, width // 4 : -width // 4] > LIT
    lit = lit[:-2] & lit[1:-1] & lit[2:]
    return np.where(lit.any(axis=0), lit.argmax(axis=0), np.nan)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest region without its holes: logos and scales beside the fan are others."""
    parts, count = label(binary_opening(mask, iterations=2))
    if count == 0:
        return np.zeros_like(mask)
    return np.asarray(binary_fill_holes(parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())))


def _side(fan: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept, x = slope · y + intercept, of the left side between its upper and lower corner."""
    rows = np.flatnonzero(fan.any(axis=1))
    edge = fan[rows].argmax(axis=1)
    upper = int(np.flatnonzero(edge >= np.quantile(edge[: len(rows) // 2], 0.95))[0])
    lower = int(edge.argmin())
    between = slice(upper + (lower - upper) // 10, lower - (lower - upper) // 10)
    if lower - upper < 20:
        raise DataError(f"the frames' bright area has no straight side; {REMEDY}")
    slope, intercept, _, _ = theilslopes(edge[between], rows[between])
    return float(slope), float(intercept)


def _radii(fan: NDArray[np.bool_], centre: tuple[float, float], half: float) -> tuple[float, float]:
    angle = np.linspace(-0.8 * half, 0.8 * half, RAYS)[:, None]
    radius = np.arange(0.0, 2.0 * math.hypot(*fan.shape))
    x = np.rint(centre[0] + radius * np.sin(angle)).astype(int)
    y = np.rint(centre[1] + radius * np.cos(angle)).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < fan.shape[1]) & (y < fan.shape[0])
    bright = inside & fan[np.where(inside, y, 0), np.where(inside, x, 0)]
    first = bright.argmax(axis=1)
    last = bright.shape[1] - 1 - bright[:, ::-1].argmax(axis=1)
    hit = bright.any(axis=1)
    # Rays that leave through the frame's border end too early, none too late.
    return float(np.median(first[hit])), float(np.quantile(last[hit], 0.9))

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The phantom's spine and the muscles beside it, mm of the reference anatomy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from us_sim.core.patient.phantom.shapes import Canvas, Points, Shape, curved_tube, ellipsoid, smooth_max, tube
from us_sim.core.tissue import TissueClass as T

# Middle of the vertebral bodies from T7 to L5: (0, y, z).
_COLUMN = np.array([
    [0, -44, 164], [0, -44, 138], [0, -44, 111], [0, -43, 84], [0, -42, 57], [0, -40, 29], [0, -38, 0],
    [0, -35, -33], [0, -32, -67], [0, -31, -102], [0, -33, -137], [0, -40, -170],
], dtype=float)  # fmt: skip
_WIDTH, _DEPTH = 22.0, 16.0  # half-axes of a body
_INNER = tuple(c for c in T if c not in (T.BACKGROUND, T.SKIN))


def front_of_spine(z: float, gap: float) -> float:
    """Return y at `gap` mm before the vertebral bodies at height z."""
    return float(np.interp(z, _COLUMN[::-1, 2], _COLUMN[::-1, 1])) + _DEPTH + gap


def paint_spine(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint discs, vertebrae, and the canal through them."""
    width, depth = np.array([_WIDTH, _DEPTH]) * rng.uniform(0.93, 1.07, 2)
    canvas.paint(_pillar(canvas, _COLUMN, width - 1, depth - 1), T.SOFT, 85, over=_INNER)
    for centre, size in zip(_COLUMN, np.linspace(0.82, 1.04, len(_COLUMN)), strict=True):
        _paint_vertebra(canvas, centre, width * size, depth * size)
    canvas.paint(curved_tube(canvas, _COLUMN - [0, depth + 7, 0], 7.5), T.SOFT, 30, over=_INNER)


def _pillar(canvas: Canvas, column: Points, width: float, depth: float) -> Shape:
    """Return an upright pillar of elliptical section around a column of points, the highest first."""
    reach = [width, depth, 0]
    box = canvas.box(column.min(axis=0) - reach, column.max(axis=0) + reach)
    x, y, z = canvas.coordinates(box)
    middle = np.interp(z, column[::-1, 2], column[::-1, 1]).astype(np.float32)
    return Shape(box, (np.hypot(x / np.float32(width), (y - middle) / np.float32(depth)) - 1) * np.float32(depth))


def _paint_vertebra(canvas: Canvas, centre: Points, width: float, depth: float) -> None:
    """Paint body, arch and processes with a hard shell."""
    pillar = _pillar(canvas, centre + np.array([[0, 0, 20], [0, 0, -20]]), width, depth)
    from_middle = np.abs(canvas.coordinates(pillar.box)[2] - np.float32(centre[2]))
    waist = 1.5 * np.cos(np.clip(from_middle / 12, 0, 1) * np.float32(np.pi / 2))
    body = Shape(pillar.box, smooth_max(pillar.distance + waist, from_middle - np.float32(12.5), 3))
    canal = centre - [0, depth + 7, 0]

    def behind(start: list[float], end: list[float], radii: ArrayLike) -> Shape:
        return tube(canvas, canal + np.array([start, end]), radii)

    parts = [body, behind([0, 0, 5], [0, 0, -9], 12), behind([0, -10, -4], [0, -27, -12], [4.5, 3.5])]
    for side in (1, -1):
        parts.append(behind([side * 9, 2, 0], [side * 36, -5, 3], [5.5, 3.5]))  # transverse process
        parts.append(behind([side * 14, -6, 14], [side * 13, -8, -17], 5))  # articular processes
    for part in parts:
        canvas.paint(part, T.BONE, 550, over=_INNER)
    for part in parts:
        canvas.paint(part, T.BONE, 210, over=[T.BONE], inset=2.0)


def paint_back(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint psoas, quadratus lumborum and crura, and the fat around multifidus and erector spinae."""
    size = rng.uniform(0.85, 1.15)
    behind_spine = ellipsoid(canvas, [0, -66, 0], [28, 13, 1000])
    canvas.paint(behind_spine, T.MUSCLE, over=[T.FAT, T.LUNG])
    for side in (1, -1):
        psoas = [[side * 24, -36, 0], [side * 33, -36, -40], [side * 42, -32, -90], [side * 52, -18, -165]]
        canvas.paint(curved_tube(canvas, psoas, np.array([5, 12, 19, 22]) * size), T.MUSCLE, over=[T.FAT])
        quadratus = [[side * 48, -56, 10], [side * 60, -54, -50], [side * 72, -48, -165]]
        canvas.paint(curved_tube(canvas, quadratus, np.array([8, 12, 14]) * size), T.MUSCLE, over=[T.FAT])
        crus = [[side * 9, 2, 40], [side * 15, -12, 8], [side * 18, -18, -35]]
        canvas.paint(curved_tube(canvas, crus, [4, 5, 2.5]), T.MUSCLE, over=[T.FAT])
        for x, width, depth in ((17, 14, 17), (50, 22, 14)):
            muscle = ellipsoid(canvas, [side * x, -83, 0], [width, depth, 1000])
            sheath = Shape(muscle.box, np.abs(muscle.distance) - np.float32(0.8))
            canvas.paint(sheath, T.FAT, canvas.levels[T.FAT] + 25, over=[T.MUSCLE])

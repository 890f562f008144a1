# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The phantom's chest: ribs with their cartilages, sternum, diaphragm, lungs and heart.

`rise` is the height z in the reference anatomy, mm, where the middle of the first lumbar vertebra is 0.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from us_sim.core.patient.borders import forget
from us_sim.core.patient.phantom.shapes import (
    EVERYWHERE,
    Canvas,
    Field,
    Points,
    Shape,
    curved_tube,
    ellipsoid,
    moved,
    smooth_max,
    tube,
)
from us_sim.core.patient.phantom.wall import wall_angle
from us_sim.core.tissue import TissueClass as T

Rng = np.random.Generator
Course = list[tuple[float, float]]

# Ribs 5 to 12: (angle around the wall in degrees, rise) along the bone; then along the cartilage.
_RIBS: tuple[tuple[Course, Course], ...] = (
    ([(14, 222), (155, 98)], [(168, 126)]),
    ([(14, 194), (152, 70)], [(170, 104)]),
    ([(14, 166), (147, 40)], [(160, 52), (172, 84)]),
    ([(14, 138), (137, 14)], [(146, 21), (158, 50)]),
    ([(14, 111), (126, -12)], [(134, -8), (146, 20)]),
    ([(14, 84), (113, -36)], [(121, -34), (134, -8)]),
    ([(14, 56), (84, -34)], []),
    ([(14, 28), (56, -14)], []),
)
_RIB_DEPTH, _RIB_HALF_THICKNESS = 5.5, 4.0  # mm outside the cavity, mm
_MM_PER_DEGREE = 1.9  # along the wall


def paint_ribs(canvas: Canvas, cavity: Field, rng: Rng) -> None:
    """Paint ribs, cartilages and sternum into the innermost part of the wall, the two sides not quite alike."""
    index = np.nonzero((cavity > 0.5) & (cavity < 11) & (canvas.axes[2] > -60))
    x, y, rise = (axis[i] for axis, i in zip(canvas.axes, index, strict=True))
    angle = wall_angle(x, y)
    across = ((cavity[index] - _RIB_DEPTH) / _RIB_HALF_THICKNESS) ** 2
    drawn = np.zeros(cavity.shape, dtype=bool)

    def paint(inside: Field, tissue: T) -> None:
        chosen = tuple(i[inside < 1] for i in index)
        canvas.tissue[chosen] = tissue
        drawn[chosen] = True
        bony = np.where(inside[inside < 1] > 0.45, 620, 220)  # hard shell, marrow
        canvas.hu[chosen] = bony if tissue == T.BONE else 95

    half_height, steepness = rng.uniform(5.2, 6.2), rng.uniform(0.94, 1.06)
    for bone, cartilage in _RIBS:
        height = (rise - np.where(x > 0, *rng.uniform(-1.5, 1.5, 2))) / steepness
        course = np.array(bone + cartilage)
        for part, tissue in ((bone[-1:] + cartilage, T.SOFT), (bone, T.BONE)):
            beside = _beside(course, part[0][0], part[-1][0], angle, height)
            paint(across + (beside / half_height) ** 2, tissue)
    lowest = rng.uniform(85, 100)
    paint(across + (x / 17) ** 4 + 10 * ((rise < lowest) | (y < 0)), T.BONE)
    forget(canvas.border, drawn)


def _beside(course: Points, start: float, end: float, angle: Field, rise: Field) -> Field:
    """Return the distance in mm, along the wall, to a course of (angle, rise) between two of its angles."""
    grid = np.arange(0, 180.5, 0.5)
    middle = PchipInterpolator(*course.T)(np.clip(grid, course[0, 0], course[-1, 0]))
    cosine = 1 / np.hypot(1, np.gradient(middle, grid * _MM_PER_DEGREE))
    at = np.rint(angle * 2).astype(np.intp)
    square = (rise - middle.astype(np.float32)[at]) * cosine.astype(np.float32)[at]
    past_the_end = np.maximum(np.maximum(start - angle, angle - end), 0) * _MM_PER_DEGREE
    return np.hypot(square, past_the_end)


def paint_lungs(canvas: Canvas, cavity: Field, rng: Rng) -> Field:
    """Paint lungs and diaphragm; return the (I, J, K) distance above the middle of the diaphragm, mm."""
    x, y, z = canvas.axes
    right = rng.uniform(86, 100)
    left, middle = right - rng.uniform(6, 16), right - rng.uniform(16, 22)
    level = _domes(x[:, None], y[None, :], -cavity[:, :, np.searchsorted(z, 60)], right, left, middle)
    steepness = np.minimum(np.hypot(*np.gradient(level, x, y)), 3)
    roof = (z + canvas.warp[2] - level[:, :, None]) / np.hypot(1, steepness)[:, :, None].astype(np.float32)
    canvas.paint(Shape(EVERYWHERE, np.maximum(cavity, -2 - roof)), T.MUSCLE, over=[T.FAT])
    lung = smooth_max(cavity + 2, 2 - roof, 10)  # rounded: no slivers thinner than a voxel in the recess
    canvas.paint(Shape(EVERYWHERE, lung), T.LUNG, over=[T.MUSCLE])
    return roof


def _domes(x: Field, y: Field, depth: Field, right: float, left: float, middle: float) -> Field:
    """Return the (I, J) rise of the diaphragm, given that of both domes and of the middle under the heart.

    From its top it falls like an ellipse to the wall, `depth` mm away: far behind, little in front.
    """
    top = middle + (right - middle) * np.exp(-(((x - 62) / 46) ** 2))
    top = top + (left - middle) * np.exp(-(((x + 68) / 40) ** 2))
    fall = 60 - 36 / (1 + np.exp(-(y - 30) / 12)) + 10 / (1 + np.exp((y + 20) / 12))
    inward = np.clip(depth / 70, 0, 1)
    return (top - fall * (1 - np.sqrt(1 - (1 - inward) ** 2))).astype(np.float32)


def paint_heart(canvas: Canvas, rng: Rng) -> None:
    """Paint the heart in its fat, and mediastinum and oesophagus behind it."""
    heart = moved(rng, [-24, 34, 112], 4)
    ventricle, atrium = heart + np.array([-8, 0, 2]), heart + np.array([30, -12, -3])
    canvas.paint(ellipsoid(canvas, heart, [62, 46, 44]), T.FAT, over=[T.LUNG])
    canvas.paint(ellipsoid(canvas, heart, [56, 40, 38]), T.MUSCLE, 110, over=[T.FAT])
    canvas.paint(ellipsoid(canvas, ventricle, [40, 27, 27]), T.VESSEL, over=[T.MUSCLE])
    canvas.paint(ellipsoid(canvas, atrium, [28, 27, 29]), T.VESSEL, over=[T.MUSCLE, T.FAT, T.LUNG])
    canvas.paint(tube(canvas, [[-12, -14, 165], [-12, -14, 70]], [22, 20]), T.FAT, over=[T.LUNG])
    gullet = [[-4, -2, 165], [-8, 0, 110], [-20, 6, 82], [-36, 4, 66]]
    canvas.paint(curved_tube(canvas, gullet, 8), T.SOFT, over=[T.FAT, T.LUNG, T.MUSCLE, T.LIVER])

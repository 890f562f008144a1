# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The phantom's body wall: skin, subcutaneous fat, and the muscles with the fat planes between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from us_sim.core.patient.phantom.shapes import EVERYWHERE, Canvas, Field, Points, Shape
from us_sim.core.tissue import TissueClass as T

CAVITY = (124.0, 94.0, 64.0)  # mm, half-axes of the abdominal cavity in the reference: side, front, back
_WALL = (13.5, 11.0, 35.0)  # mm, thickness of the muscles there
_FAT = (0.65, 1.0, 0.7)  # share of the subcutaneous fat there
_SKIN = 2.0  # mm
_SQUARENESS = 2.2  # exponent of the superellipse that every cross-section is
_FAR = 1e3  # mm from any plane
_PLANE = 0.9  # mm, half the thickness of a plane of fat between two muscles


@dataclass(frozen=True, eq=False)
class Build:
    """How a patient is built.

    Attributes:
        scale: (3,) patient over reference anatomy along x, y, z.
        fat: subcutaneous fat in front of the lower belly, mm.
        muscle: thickness of the muscles over the reference.
    """

    scale: Points
    fat: float
    muscle: float

    def half_axes(self, z: Points, layer: str) -> Points:
        """Return (3, K) half-axes (side, front, back) in mm at heights z of "cavity", "muscle" or "skin"."""
        taper = 1 - 0.07 * ((z - 20) / 150) ** 2
        axes = np.array(CAVITY)[:, None] * self.scale[[0, 1, 1], None] * taper
        if layer != "cavity":
            axes = axes + self.muscle * np.array(_WALL)[:, None]
        if layer == "skin":
            thinner_above = 1 - 0.4 / (1 + np.exp(-(z + 30) / 50))
            axes = axes + _SKIN + self.fat * thinner_above * np.array(_FAT)[:, None]
        return axes


def section_distance(x: NDArray[np.floating], y: NDArray[np.floating], half_axes: Points) -> Field:
    """Return the (I, J, K) signed distance in mm, below 0 inside, to a stack of superellipses.

    With S = |x/a|^p + |y/b|^p the level set is S^(1/p) - 1, and the distance to first order is that over its
    gradient. Both are sums of a table over (x, z) and one over (y, z).

    Args:
        x: (I,) mm.
        y: (J,) mm; front is positive.
        half_axes: (3, K) mm: side, front, back.
    """
    p = _SQUARENESS
    side, front, back = half_axes
    b = np.where(y[:, None] >= 0, front, back)
    in_x = np.maximum(np.abs(x), 1.0)[:, None] / side  # 1 mm off the axis, where the gradient vanishes
    in_y = np.maximum(np.abs(y), 1.0)[:, None] / b

    def total(along_x: Points, along_y: Points) -> Field:
        return along_x.astype(np.float32)[:, None, :] + along_y.astype(np.float32)[None, :, :]

    level = total(in_x**p, in_y**p)
    gradient = total((in_x ** (p - 1) / side) ** 2, (in_y ** (p - 1) / b) ** 2)
    return (level - np.power(level, np.float32(1 - 1 / p))) / np.sqrt(gradient)


def wall_angle(x: Field, y: Field) -> Field:
    """Return the place around the cavity in degrees: 0 at the spine, 90 at the side, 180 at the sternum."""
    half_depth = np.where(y > 0, CAVITY[1], CAVITY[2]).astype(np.float32)
    return np.degrees(np.arctan2(np.abs(x) / np.float32(CAVITY[0]), -y / half_depth))


def paint_wall(canvas: Canvas, build: Build, x: Points, y: Points, z: Points) -> Field:
    """Paint skin, fat and muscles over air; return the (I, J, K) distance to the cavity, below 0 inside it.

    Args:
        canvas: all air.
        build: how thick everything is.
        x: (I,) mm in ct, as y (J,) and z (K,).
    """
    skin = section_distance(x, y, build.half_axes(z, "skin"))
    canvas.paint(Shape(EVERYWHERE, skin), T.SKIN, over=[T.BACKGROUND])
    canvas.paint(Shape(EVERYWHERE, skin), T.FAT, over=[T.SKIN], inset=_SKIN)
    muscle = section_distance(x, y, build.half_axes(z, "muscle"))
    cavity = section_distance(x, y, build.half_axes(z, "cavity"))
    canvas.paint(Shape(EVERYWHERE, muscle), T.MUSCLE, over=[T.FAT])
    _paint_fat_planes(canvas, muscle, cavity)
    canvas.paint(Shape(EVERYWHERE, cavity), T.FAT, over=[T.MUSCLE])
    return cavity


def _paint_fat_planes(canvas: Canvas, muscle: Field, cavity: Field) -> None:
    """Part the three lateral muscles, the two recti, and latissimus from the muscles of the back."""
    index = np.nonzero((muscle < 0) & (cavity > 0))
    outside, inside = -muscle[index], cavity[index]
    x, y, rise = (axis[i] for axis, i in zip(canvas.axes, index, strict=True))
    angle, thickness = wall_angle(x, y), outside + inside
    lateral = (angle > 80) & (angle < 145)
    front = angle >= 145
    linea_alba = np.where(rise < 70, np.abs(x) - 2.2, _FAR)
    tendons = 1.8 * (np.abs(angle - 146) - 2)  # of the obliques, where they meet the rectus; mm to a degree
    distance = np.where(front, np.minimum(tendons, linea_alba), _FAR)
    for share in (0.36, 0.72):  # external and internal oblique, transversus
        distance = np.where(lateral, np.minimum(distance, np.abs(outside - share * thickness) - _PLANE), distance)
    back = (angle < 80) & (np.abs(x) > 18)
    distance = np.where(back, np.minimum(distance, np.abs(outside - 8) - _PLANE), distance)
    planes = np.full(muscle.shape, _FAR, np.float32)
    planes[index] = distance
    # Thinner than a voxel: always mixed with what lies beside.
    canvas.paint(Shape(EVERYWHERE, planes), T.FAT, canvas.levels[T.FAT] + 25, over=[T.MUSCLE])

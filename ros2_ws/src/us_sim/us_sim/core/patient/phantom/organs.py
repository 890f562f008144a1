# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The phantom's solid organs and the gallbladder.

All points are mm of the reference anatomy: x to the right, y to the front, z up, and the middle of the first
lumbar vertebra at z = 0. `roof` and `cavity` are distances above the diaphragm and outside the cavity.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from us_sim.core.patient.phantom.shapes import (
    Canvas,
    Field,
    Points,
    Shape,
    curved_tube,
    ellipsoid,
    moved,
    rotation,
    smooth_max,
    tube,
)
from us_sim.core.tissue import TissueClass as T

Rng = np.random.Generator
Height = Callable[[ArrayLike, ArrayLike], Field]


def visceral_surface(rng: Rng) -> Height:
    """Return the height of the liver's lower face over (x, y): low on the right and in front."""
    low, high = rng.uniform(-72, -54), rng.uniform(50, 62)
    middle, tilt = rng.uniform(6, 24), rng.uniform(0.24, 0.36)

    def height(x: ArrayLike, y: ArrayLike) -> Field:
        left = 1 / (1 + np.exp((np.asarray(x) - middle) / 27))
        return np.asarray(low + (high - low) * left + tilt * (62 - np.asarray(y)), dtype=np.float32)

    return height


def paint_liver(canvas: Canvas, roof: Field, cavity: Field, floor: Height, rng: Rng) -> None:
    """Paint the liver: it fills the right dome down to its lower face and tapers off to the left."""
    box = canvas.box([-100, -70, -95], [140, 105, 110])
    x, y, z = canvas.coordinates(box)
    distance = smooth_max(roof[box] + 2, cavity[box] + 2.5, 8)
    distance = smooth_max(distance, (floor(x, y) - z) * np.float32(0.8), 12)
    left_end = np.float32(rng.uniform(-90, -60))
    distance = smooth_max(distance, left_end - x + np.float32(0.25) * np.abs(y - 25), 20)
    canvas.paint(Shape(box, distance), T.LIVER, over=[T.FAT])
    ligament = np.array([[-12, 84, 0], [-8, 55, 0], [-4, 28, 0]], dtype=float)  # ligamentum teres in its fissure
    ligament[:, 2] = floor(ligament[:, 0], ligament[:, 1]) + 2
    for lift in (0, 4, 8):
        fissure = tube(canvas, ligament + np.array([0, 0, lift]), [2.6, 2.4, 1.6])
        canvas.paint(fissure, T.FAT, over=[T.LIVER])


def paint_spleen(canvas: Canvas, roof: Field, cavity: Field, rng: Rng) -> None:
    """Paint the spleen: an ellipsoid along the tenth rib, flattened by diaphragm and wall."""
    turn = rotation(rng.uniform(0.25, 0.5), rng.uniform(-0.1, 0.2), rng.uniform(-0.45, -0.2))
    radii = np.array([40, 52, 66]) * rng.uniform(0.92, 1.1, 3)
    body = ellipsoid(canvas, moved(rng, [-94, -24, 34], 5), radii, turn)
    distance = smooth_max(body.distance, smooth_max(roof[body.box] + 2, cavity[body.box] + 2.5, 6), 8)
    canvas.paint(Shape(body.box, distance), T.SPLEEN, over=[T.FAT, T.LIVER])


def paint_kidney(canvas: Canvas, side: int, rng: Rng) -> None:
    """Paint a kidney (side +1 right, -1 left) in its fat, with medulla, sinus, pelvis, calyces and ureter."""
    centre = moved(rng, [side * 63, -27, -34 if side > 0 else -18], 4)
    turn = rotation(rng.uniform(0.1, 0.25), -side * rng.uniform(0.12, 0.28), -side * rng.uniform(0.3, 0.6))
    radii = np.array([29, 25, 56]) * rng.uniform(0.93, 1.08, 3)

    def place(points: ArrayLike) -> Points:
        """Points in the kidney: x towards the hilum, y to the front, z to the upper pole."""
        return centre + (np.asarray(points) * [-side, 1, 1]) @ turn.T

    inside = [T.FAT, T.LIVER, T.SPLEEN, T.SOFT, T.FLUID, T.GAS, T.KIDNEY]
    canvas.paint(ellipsoid(canvas, centre, radii + 5, turn), T.FAT, over=inside)
    canvas.paint(ellipsoid(canvas, centre, radii, turn), T.KIDNEY, over=inside)
    for z in (-36, -22, -8, 8, 22, 36):  # pyramids, darker than the cortex
        for y in (-9, 9):
            pyramid = ellipsoid(canvas, place([-4, y, z]), [8, 6.5, 6.5], turn)
            canvas.paint(pyramid, T.KIDNEY, canvas.levels[T.KIDNEY] - 35, over=[T.KIDNEY])
    canvas.paint(ellipsoid(canvas, place([11, 0, 0]), [17, 9, 29], turn), T.FAT, over=[T.KIDNEY])
    width = rng.uniform(3, 6)
    pelvis = tube(canvas, place([[20, 0, -4], [8, 0, 0]]), [width * 0.8, width])
    calyces = [tube(canvas, place([[9, 0, 0], [2, 0, z]]), [2.4, 3.2]) for z in (-24, 1, 24)]
    for part in (pelvis, *calyces):
        canvas.paint(part, T.FLUID, over=[T.FAT, T.KIDNEY])
    ureter = [place([20, 0, -4]), [side * 36, -12, -75], [side * 38, -8, -110], [side * 34, 0, -165]]
    canvas.paint(curved_tube(canvas, np.array(ureter), 2.0), T.FLUID, over=[T.FAT])


def paint_pancreas(canvas: Canvas, rng: Rng) -> None:
    """Paint the pancreas: head beside the duodenum, neck and body across the aorta, tail to the spleen."""
    course = [[31, 8, -34], [27, 10, -18], [10, 17, -9], [-14, 18, 0], [-42, 6, 10], [-70, -10, 22]]
    radii = np.array([14, 18, 11.5, 13.5, 14, 12]) * rng.uniform(0.9, 1.15)
    canvas.paint(curved_tube(canvas, moved(rng, course, 3), radii), T.PANCREAS, over=[T.FAT])


def paint_gallbladder(canvas: Canvas, floor: Height, rng: Rng) -> None:
    """Paint the gallbladder: a pear in the liver's lower face with its tip at the liver's front edge."""
    x, y = np.array([[32, 38, 46, 52], [22, 32, 47, 60]]) + rng.uniform(-4, 4, (2, 1))
    path = np.stack([x, y, floor(x, y) + np.array([3, 2, -3, -6])], axis=1)
    sac = curved_tube(canvas, path, np.array([3.5, 8, 13, 12]) * rng.uniform(0.8, 1.15))
    canvas.paint(sac, T.SOFT, over=[T.FAT, T.LIVER])
    canvas.paint(sac, T.FLUID, over=[T.SOFT], inset=2)

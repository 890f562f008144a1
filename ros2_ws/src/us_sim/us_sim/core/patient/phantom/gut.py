# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The phantom's stomach and bowel: walls, and in them gas in front of fluid or food, as in a patient on the back."""

from __future__ import annotations

import numpy as np

from us_sim.core.patient.phantom.shapes import (
    Canvas,
    Field,
    Points,
    Shape,
    curved_tube,
    moved,
    smooth_max,
    spline,
    tube,
)
from us_sim.core.tissue import TissueClass as T

Rng = np.random.Generator


def paint_stomach(canvas: Canvas, roof: Field, cavity: Field, rng: Rng) -> None:
    """Paint the stomach from the left dome to the pylorus, and the duodenum around the pancreas' head."""
    rest = [[-48, 4, 66], [-56, 20, 44], [-56, 42, 10], [-34, 56, -20], [-4, 55, -27], [24, 40, -14]]
    course = moved(rng, rest, 4)
    sac = curved_tube(canvas, course, np.array([31, 33, 28, 22, 17, 10]) * rng.uniform(0.8, 1.1))
    distance = smooth_max(sac.distance, smooth_max(roof[sac.box] + 2, cavity[sac.box] + 3, 6), 6)
    sac = Shape(sac.box, distance)
    canvas.paint(sac, T.SOFT, _wall_hu(canvas), over=[T.FAT, T.LIVER, T.SPLEEN])
    _fill(canvas, sac, wall=4.5, gas_level=rng.uniform(25, 45), fluid=rng.random() < 0.5)
    loop = np.array([course[-1], [40, 24, -22], [46, 4, -44], [36, 0, -66], [4, 8, -70], [-28, 8, -60]])
    duodenum = curved_tube(canvas, loop, 11)
    canvas.paint(duodenum, T.SOFT, _wall_hu(canvas), over=[T.FAT, T.LIVER])
    canvas.paint(duodenum, T.FLUID, over=[T.SOFT], inset=5)


def paint_colon(canvas: Canvas, rng: Rng) -> None:
    """Paint the colon as a frame around the belly, pinched by haustra, with stool and gas."""
    sag = rng.uniform(-95, -70)
    course = [
        [88, 0, -165], [92, 4, -125], [90, 8, -95], [78, 26, -76], [45, 54, sag + 5], [0, 62, sag],
        [-45, 55, sag + 26], [-74, 42, -8], [-90, 18, 6], [-97, -14, -38], [-96, -14, -90],
        [-92, -4, -130], [-84, 4, -165],
    ]  # fmt: skip
    radii = np.array([23, 24, 23, 19, 18, 18, 17, 18, 17, 14, 13, 13, 13]) * rng.uniform(0.85, 1.1)
    path, radii = spline(moved(rng, np.array(course), 4), radii, step=5.0)
    haustra = 1 + 0.14 * np.sin(2 * np.pi * np.arange(len(path)) / 6)
    _paint_bowel(canvas, path, radii * haustra, rng, gas=0.45, fluid=0.0)


def paint_small_bowel(canvas: Canvas, rng: Rng) -> None:
    """Paint the small bowel: loops over a jittered lattice that fills the lower belly."""
    lattice = np.stack(np.meshgrid([-54, -27, 0, 27, 54], [14, 40, 66], np.arange(-62, -180, -26)), axis=-1)
    nodes = lattice.reshape(-1, 3) + rng.uniform(-6, 6, (lattice.size // 3, 3))
    for course in _walks(nodes, longest_step=42.0):
        path, radii = spline(course, rng.uniform(11.5, 15, len(course)))
        _paint_bowel(canvas, path, radii, rng, gas=0.18, fluid=0.35)


def _walks(nodes: Points, longest_step: float) -> list[Points]:
    """Return paths that visit the nodes, each time the nearest one left; a longer step starts a new path."""
    walks, left = [[nodes[0]]], nodes[1:]
    while len(left):
        distance = np.linalg.norm(left - walks[-1][-1], axis=1)
        nearest = int(distance.argmin())
        if distance[nearest] > longest_step:
            walks.append([])
        walks[-1].append(left[nearest])
        left = np.delete(left, nearest, axis=0)
    return [np.array(walk) for walk in walks if len(walk) > 2]


def _paint_bowel(canvas: Canvas, path: Points, radii: Points, rng: Rng, gas: float, fluid: float) -> None:
    """Paint a bowel's wall, then its content piece by piece: a share with gas in it, a share fluid."""
    wall = 2.5
    canvas.paint(tube(canvas, path, radii), T.SOFT, _wall_hu(canvas), over=[T.FAT])
    for first in range(0, len(path) - 1, 7):
        piece = slice(first, first + 8)
        lumen = tube(canvas, path[piece], radii[piece] - wall)
        kind = rng.random()
        half_full = path[piece, 1].mean() + radii[piece].mean() * rng.uniform(-0.4, 0.5)
        _fill(canvas, lumen, 0.0, half_full if kind < gas else np.inf, fluid=gas <= kind < gas + fluid)


def _wall_hu(canvas: Canvas) -> int:
    return canvas.levels[T.SOFT] + 25  # a gut's wall takes up contrast agent


def _fill(canvas: Canvas, gut: Shape, wall: float, gas_level: float, fluid: bool) -> None:
    """Fill a gut within its wall: gas where y lies above the level, fluid or food behind."""
    _, y, _ = canvas.coordinates(gut.box)
    above, lumen = y - np.float32(gas_level), gut.distance + np.float32(wall)
    food = T.FLUID if fluid else T.SOFT
    canvas.paint(Shape(gut.box, np.maximum(lumen, above)), food, None if fluid else 30, over=[T.SOFT])
    canvas.paint(Shape(gut.box, np.maximum(lumen, -above)), T.GAS, over=[T.SOFT])

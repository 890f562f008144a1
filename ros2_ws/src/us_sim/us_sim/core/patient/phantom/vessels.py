# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The phantom's vessels: the great ones, their branches, and the two trees of the liver; mm of the reference."""

from __future__ import annotations

import numpy as np

from us_sim.core.patient.phantom.organs import Height
from us_sim.core.patient.phantom.shapes import Canvas, Points, curved_tube, moved, spline, tube
from us_sim.core.patient.phantom.spine import front_of_spine
from us_sim.core.tissue import TissueClass as T

Rng = np.random.Generator
Course = tuple[Points, Points]  # (N, 3) places and (N,) radii, mm

_OVER = (T.FAT, T.MUSCLE, T.SOFT, T.PANCREAS)
_CONFLUENCE = (10.0, 10.0, -12.0)  # of splenic and superior mesenteric vein, where the portal vein begins
_CAVA_TOP = ([24, -6, 45], [25, 2, 78], [20, 10, 98])  # through the liver into the heart
_BRANCHES = (  # course, radius
    ([[-8, -8, 14], [-6, 8, 8], [-2, 14, -30], [4, 18, -70], [10, 22, -125]], 3.5),  # sup. mesenteric artery
    ([_CONFLUENCE, [10, 16, -45], [14, 20, -80], [16, 24, -130]], 4.8),  # superior mesenteric vein
    ([[-10, -6, 24], [-8, 6, 26], [10, 12, 24], [26, 18, 24]], 2.8),  # coeliac trunk and hepatic artery
    ([[-8, 6, 26], [-34, -2, 26], [-62, -14, 32], [-76, -16, 34]], 2.6),  # splenic artery
    ([_CONFLUENCE, [-14, 9, 0], [-42, -4, 10], [-74, -18, 26]], 4.2),  # splenic vein
)
_HEPATIC_VEINS = (
    [[26, 2, 82], [52, 0, 74], [80, -6, 48], [98, -4, 12]],
    [[24, 8, 82], [40, 26, 68], [56, 42, 36], [62, 48, 0]],
    [[20, 10, 82], [2, 24, 72], [-22, 38, 64], [-40, 46, 60]],
)


def paint_great_vessels(canvas: Canvas, rng: Rng) -> None:
    """Paint aorta and vena cava with iliac, renal, coeliac and mesenteric branches."""
    bore = rng.uniform(0.88, 1.15)
    aorta = np.array([[-8 - 0.05 * z, front_of_spine(z, 10), z] for z in (60, 20, -20, -60, -100)])
    aorta = np.vstack([[-24, front_of_spine(165, 10), 165], [-20, front_of_spine(110, 10), 110], aorta])
    canvas.paint(curved_tube(canvas, aorta, np.linspace(12, 9, 7) * bore), T.VESSEL, over=_OVER)
    cava = np.array([*([20, front_of_spine(z, 9), z] for z in (-110, -70, -30, 10)), *_CAVA_TOP])
    radii = np.array([10, 10, 10.5, 11, 11, 11.5, 12]) * rng.uniform(0.88, 1.1)
    canvas.paint(curved_tube(canvas, cava, radii), T.VESSEL, over=(*_OVER, T.LIVER, T.LUNG))
    for side in (1, -1):
        artery, vein = np.array([aorta[-1], [side * 48, -2, -170]]), np.array([cava[0], [side * 44, -14, -170]])
        canvas.paint(tube(canvas, artery, [7 * bore, 5.5]), T.VESSEL, over=_OVER)
        canvas.paint(tube(canvas, vein, [9, 7]), T.VESSEL, over=_OVER)
        _paint_renal_vessels(canvas, side)
    for course, radius in _BRANCHES:
        canvas.paint(curved_tube(canvas, moved(rng, course, 0.8), radius), T.VESSEL, over=_OVER)


def _paint_renal_vessels(canvas: Canvas, side: int) -> None:
    hilum = [side * 42, -20, -26 if side > 0 else -14]
    artery = np.array([[-9, front_of_spine(-15, 8), -15], [side * 24, -14, -18], hilum])
    vein = np.array([[20, front_of_spine(-18, 9), -18], [side * 26, -8, -20], hilum])
    canvas.paint(curved_tube(canvas, artery, 2.8), T.VESSEL, over=_OVER)
    canvas.paint(curved_tube(canvas, vein, 4.5), T.VESSEL, over=_OVER)


def paint_arcades(canvas: Canvas, rng: Rng) -> None:
    """Paint thin vessels into the fat between the loops of the bowel."""
    for _ in range(24):
        root, goal = [6, 18, rng.uniform(-110, -40)], rng.uniform([-75, 10, -150], [75, 70, -55])
        arcade = np.array([root, (root + goal) / 2 + rng.uniform(-8, 8, 3), goal])
        canvas.paint(curved_tube(canvas, arcade, [1.8, 1.5, 1.1]), T.VESSEL, over=[T.FAT])


def paint_liver_vessels(canvas: Canvas, floor: Height, rng: Rng) -> tuple[list[Course], list[Course]]:
    """Paint the hepatic veins, which meet in the vena cava, and the portal tree, which enters from below.

    Returns:
        the courses of the veins and of the portal tree in the reference anatomy, parents first.
    """
    veins: list[Course] = []
    for course in _HEPATIC_VEINS:
        path, radii = spline(moved(rng, course, 4), [5.5, 4.6, 3.3, 1.6])
        veins.append((path, radii))
        for at in range(2, len(path) - 2, 3):
            side = _aside(rng, path[at + 1] - path[at], 0.9)
            _grow(veins, path[at], side, radii[at] * 0.6, 26.0, 1, rng)
    porta = np.array([28.0, 12.0, float(floor(28, 12)) + 6])
    trunk = np.array([_CONFLUENCE, (porta + _CONFLUENCE) / 2 + [2, 2, -4], porta])
    portal: list[Course] = [spline(trunk, 6.5)]
    canvas.paint(tube(canvas, *portal[0]), T.VESSEL, over=[T.LIVER, *_OVER])
    for direction, radius in ((np.array([24, -1, 18]), 5.4), (np.array([-29, 14, 21]), 4.6)):
        fork = porta + direction
        portal.append((np.array([porta, fork]), np.array([radius, radius * 0.9])))
        canvas.paint(tube(canvas, *portal[-1]), T.VESSEL, over=[T.LIVER, T.FAT])
        for _ in range(2):
            _grow(portal, fork, _aside(rng, direction, 0.75), radius * 0.8, 32.0, 4, rng)
    for branch in (*veins, *portal[1:]):
        canvas.paint(tube(canvas, *branch), T.VESSEL, over=[T.LIVER])
    return veins, portal


def _aside(rng: Rng, direction: Points, tangent: float) -> Points:
    """Return a unit vector that leaves `direction` to a random side, by the angle of this tangent."""
    forward = direction / np.linalg.norm(direction)
    side = np.cross(forward, rng.standard_normal(3))
    turned = forward + tangent * side / np.linalg.norm(side)
    return turned / np.linalg.norm(turned)


def _grow(
    courses: list[Course], start: Points, direction: Points, radius: float, length: float, forks: int, rng: Rng
) -> None:
    """Add a branch of the liver and its children; by Murray's law (1926) r³ = r₁³ + r₂³."""
    reach = length * rng.uniform(0.8, 1.2)
    path = np.array([start, start + direction * reach / 2, start + _aside(rng, direction, 0.25) * reach])
    courses.append((path, radius * np.array([1, 0.92, 0.85])))
    if forks == 0 or radius < 1.2:
        return
    side, share = _aside(rng, direction, 1.0) - direction, rng.uniform(0.35, 0.65)
    for part, sign in ((share, 1), (1 - share, -1)):
        child = direction + sign * (1 - part) * side
        child /= np.linalg.norm(child)
        _grow(courses, path[-1], child, radius * part ** (1 / 3), reach * 0.8, forks - 1, rng)

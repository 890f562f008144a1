# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The liver's inside: hepatic veins, portal tree with bright walls, ligaments, capsule.

The veins run thin-walled to the vena cava; portal branches lie with artery and duct in a sheath of Glisson's capsule,
which is why a sonographer sees their walls and not the veins' (Rumack, Diagnostic Ultrasound, ch. The liver).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us_sim.core.geometry.transforms import apply
from us_sim.core.patient.borders import TENTHS
from us_sim.core.patient.detail.landmarks import confluence, porta
from us_sim.core.patient.detail.region import Region, Solid, scattered, solid
from us_sim.core.patient.detail.trees import Course, Tree, grown, joined, leaves, murray, smoothed
from us_sim.core.patient.detail.tubes import noise, tube_distance
from us_sim.core.tissue import TissueClass as T

Points = NDArray[np.float64]
Courses = tuple[list[Course], list[Course]]  # of hepatic veins and portal vein

SPACING = 26.0  # mm between the ends of a tree's branches
CLOSE = 5.0  # mm at which a branch has reached its end
DEEP = 3.0  # mm under the capsule, where branches end
APART = 7.0  # mm between the ends of one tree and the branches of the other
CALIBRE = (1.3, 1.9)  # mm, radius of the ends, before and after fitting to the root's
ROOTS = {"veins": 7.5, "portal": 6.5}  # mm, radius that a tree's root comes to by Murray's law
SHEATH = (0.6, 0.25)  # mm, and share of the radius, of bright wall about a portal branch
INNER = 0.5  # mm of a portal branch's radius that is wall: a thin branch is two walls that touch, a bright line
WALL = (12.0, 3.0)  # half dB, of portal and hepatic walls; they are firm too, and mirror where they are met squarely
CAPSULE = 8.0  # half dB
WITHIN, SEEN = 9.0, 1.0  # mm under the capsule, and ml there, of vessels that a CT must show to be followed
MARGIN = 4.0  # mm around a tube to which it is known how far it is

# Where the main branches go from their root: direction, share of the way to the surface.
_VEINS = (((0.9, -0.25, -0.45), 0.8), ((0.35, 0.75, -0.5), 0.75), ((-0.75, 0.6, -0.1), 0.8))
_PORTAL = (((0.95, 0.05, 0.25), 0.45), ((-0.8, 0.5, 0.35), 0.6))


def paint_liver(whole: Region, rng: np.random.Generator, trunks: Courses | None) -> None:
    """Paint trees, ligaments and capsule into the liver, where there is one.

    Args:
        whole: the volume, changed in place.
        rng: of this patient.
        trunks: courses that are known, or None.
    """
    region = whole.of_class(T.LIVER, 12.0)
    if region is None:
        return
    liver = region.tissue == T.LIVER
    organ = solid(region, liver)
    if len(organ.points) < 4000:  # 100 ml: a slice of a liver holds no tree
        return
    rim = liver & (region.border < 1.5 * TENTHS)
    region.add_echo(rim, CAPSULE * np.clip(1.5 - region.border[rim] / TENTHS, 0, 1))
    if trunks is None and _vessels_within(region, organ) > SEEN:
        return
    veins, portal = liver_trees(region, organ, rng, trunks)
    _paint_ligaments(region, portal, veins)
    _paint_trees(region, veins, portal)


def _vessels_within(region: Region, organ: Solid) -> float:
    """Return the ml of vessels that the CT itself shows deep in the organ; no tree is grown beside them."""
    index = np.argwhere(region.tissue == T.VESSEL)
    held = organ.inside(apply(region.ct_from_voxel, index.astype(float)), WITHIN)
    return float(np.count_nonzero(held) * np.prod(region.spacing)) / 1000


def liver_trees(
    region: Region, organ: Solid, rng: np.random.Generator, trunks: Courses | None = None
) -> tuple[Tree, Tree]:
    """Return the hepatic veins and the portal tree."""
    if trunks is None:
        vessels = np.argwhere(region.tissue[::2, ::2, ::2] == T.VESSEL) * 2.0
        known = vessels @ region.ct_from_voxel[:3, :3].T + region.ct_from_voxel[:3, 3]
        top, gate = confluence(organ.points, known), porta(organ.points, known)
        core = organ.points[organ.depths > 6]
        inner = core[np.linalg.norm(core - gate, axis=1).argsort()[:400]].mean(axis=0)
        trunks = ([_course(top, core, *way) for way in _VEINS], [(np.array([gate, inner]), np.zeros(2))])
        trunks[1].extend(_course(inner, core, *way) for way in _PORTAL)
    veins = _tree(organ, trunks[0], scattered(organ, SPACING, DEEP, rng), ROOTS["veins"])
    wanting = scattered(organ, SPACING, DEEP, rng)
    gap = np.linalg.norm(wanting[:, None] - veins.points[None], axis=-1).min(axis=1)
    return veins, _tree(organ, trunks[1], wanting[gap > APART], ROOTS["portal"])


def _course(root: Points, core: Points, direction: tuple[float, float, float], share: float) -> Course:
    """Return a bent course, (N, 3) mm, from a root towards the organ's surface; the root alone if nothing is there."""
    forward = np.array(direction) / np.linalg.norm(direction)
    way = core - root
    length = np.linalg.norm(way, axis=1)
    cone = (way @ forward > 0.87 * length) & (length > 15)
    if np.count_nonzero(cone) < 20:
        return root[None], np.zeros(1)
    reach = share * np.quantile(length[cone], 0.97)
    goal = core[np.linalg.norm(way - reach * forward, axis=1).argmin()]
    bend = root + 0.5 * np.linalg.norm(goal - root) * forward + np.array([0, 0, 0.08 * reach])
    t = np.linspace(0, 1, max(3, round(float(np.linalg.norm(goal - root)) / 3)))[:, None]
    return (1 - t) ** 2 * root + 2 * t * (1 - t) * bend + t**2 * goal, np.zeros(len(t))


def _tree(organ: Solid, trunks: list[Course], wanting: Points, root: float) -> Tree:
    """Return a tree grown from its trunks to the points that want one, its calibres such that the root has its own."""
    points, parent, known = joined(trunks)
    fixed = len(points)
    points, parent = grown(points, parent, wanting, lambda p: organ.inside(p, 0.6 * DEEP), CLOSE)
    for _ in range(2):
        points = smoothed(points, parent, fixed)
    leaf = float(np.clip(root / np.cbrt(leaves(parent)), *CALIBRE))
    radius = murray(parent, leaf)
    radius[:fixed] = np.maximum(radius[:fixed], known)
    return Tree(points, parent, radius)


def _paint_trees(region: Region, veins: Tree, portal: Tree) -> None:
    liver = region.tissue == T.LIVER
    half_voxel = 0.5 * float(region.spacing.mean())
    start, end, first, last = portal.segments()
    from_lumen = tube_distance(liver.shape, region.ct_from_voxel, (start, end, first, last), MARGIN) + INNER
    from_vein = tube_distance(liver.shape, region.ct_from_voxel, veins.segments(), MARGIN)
    sheathed = start, end, SHEATH[0] + (1 + SHEATH[1]) * first, SHEATH[0] + (1 + SHEATH[1]) * last
    from_sheath = tube_distance(liver.shape, region.ct_from_voxel, sheathed, 1.0)
    # A sheath is uneven: bright in places, hardly there in others.
    near = liver & (from_sheath < half_voxel) & (from_vein > 0.5)
    uneven = np.clip(0.9 + 0.4 * noise(near, region.ct_from_voxel, 10.0, 3)[near], 0.25, 1.6)
    wall = np.clip(0.5 - from_sheath[near] / (2 * half_voxel), 0, 1) * uneven
    near[near] = wall > 0.05
    region.add_echo(near, WALL[0] * wall[wall > 0.05])
    near = liver & (np.abs(from_vein) < 2 * half_voxel) & (from_sheath > 0)
    region.add_echo(near, WALL[1] * np.clip(1 - np.abs(from_vein[near]) / (2 * half_voxel), 0, 1))
    region.paint_vessels(np.minimum(from_lumen, from_vein), liver)


def _paint_ligaments(region: Region, portal: Tree, veins: Tree) -> None:
    """Paint the ligamentum teres to the front and the fissure of the ligamentum venosum to the vena cava."""
    liver = region.tissue == T.LIVER
    main = portal.points[portal.radius > 0.45 * portal.radius.max()]
    left = main[main[:, 0].argmin()]
    front = left + np.array([-2.0, 45.0, -30.0])
    starts, ends = np.array([left, left]), np.array([front, veins.points[0]])
    band = (starts, ends, np.array([3.0, 0.9]), np.array([2.2, 0.9]))
    distance = tube_distance(liver.shape, region.ct_from_voxel, band, MARGIN)
    near = liver & (distance < 0.7)
    region.add_echo(near, 24.0 * np.clip(0.7 - distance[near], 0, 1))

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Vessel trees that grow into an organ: space colonisation, and calibres by Murray's law.

Points of the organ that lack a vessel attract the nearest branch, step by step, until a branch comes close to them
(Runions et al. 2005, Modeling and visualization of leaf venation patterns). A parent's radius cubed is the sum of its
children's (Murray 1926, PNAS 12, 207).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Points = NDArray[np.float64]
Course = tuple[Points, Points]  # (N, 3) mm in `ct` and (N,) least radii, mm

STEP = 3.0  # mm
ROUNDS = 150
END = 0.6  # of its radius that a branch keeps at its very end


@dataclass(frozen=True, eq=False)
class Tree:
    """A tree of vessel centres, every parent before its children.

    Attributes:
        points: (N, 3) mm in `ct`.
        parent: (N,) index of the point before; −1 for a root.
        radius: (N,) mm.
    """

    points: Points
    parent: NDArray[np.int_]
    radius: Points

    def segments(self) -> tuple[Points, Points, Points, Points]:
        """Return start (M, 3), end (M, 3), and radii there (M,) of all pieces; a root alone has none."""
        child = np.flatnonzero(self.parent >= 0)
        start = self.parent[child]
        # A branch leaves its parent with its own calibre: the parent's goes on in the larger child alone.
        thin = np.minimum(self.radius[start], 1.2 * self.radius[child])
        end = np.ones(len(self.points))
        end[np.setdiff1d(child, start)] = END
        return self.points[start], self.points[child], thin, end[child] * self.radius[child]


def joined(courses: list[Course]) -> tuple[Points, NDArray[np.int_], Points]:
    """Return points (N, 3), parents (N,) and radii (N,) of courses that each begin near a point of an earlier one."""
    points, parent, radius = [courses[0][0][0]], [-1], [courses[0][1][0]]
    for path, radii in courses:
        last = int(np.linalg.norm(np.array(points) - path[0], axis=1).argmin())
        for point, r in zip(path[1:], radii[1:], strict=True):
            points.append(point)
            parent.append(last)
            radius.append(r)
            last = len(points) - 1
    return np.array(points), np.array(parent), np.array(radius)


def grown(
    points: Points,
    parent: NDArray[np.int_],
    attractors: Points,
    inside: Callable[[Points], NDArray[np.bool_]],
    close: float,
) -> tuple[Points, NDArray[np.int_]]:
    """Grow branches towards the attractors.

    Args:
        points: (N, 3) mm, what there is of the tree.
        parent: (N,) as in `Tree`.
        attractors: (A, 3) mm.
        inside: tells for (M, 3) points whether they lie in the organ, which no branch leaves.
        close: mm at which an attractor is reached.
    """  # fmt: skip
    left = attractors
    for _ in range(ROUNDS):
        distance, nearest = cKDTree(points).query(left)
        left, nearest = left[distance > close], nearest[distance > close]
        if not len(left):
            break
        pull = left - points[nearest]
        pull /= np.linalg.norm(pull, axis=1, keepdims=True)
        pulled, first, member = np.unique(nearest, return_index=True, return_inverse=True)
        total = np.zeros((len(pulled), 3))
        np.add.at(total, member, pull)
        torn = np.linalg.norm(total, axis=1) < 0.5  # pulled to all sides: it follows one
        total[torn] = pull[first[torn]]
        tips = points[pulled] + STEP * total / np.linalg.norm(total, axis=1, keepdims=True)
        fresh = inside(tips) & (cKDTree(points).query(tips)[0] > 0.3 * STEP)
        points, parent = np.vstack([points, tips[fresh]]), np.append(parent, pulled[fresh])
        # A branch that cannot move gives up one of what pulls at it.
        kept = np.ones(len(left), dtype=bool)
        kept[first[~fresh]] = False
        left = left[kept]
    return points, parent


def smoothed(points: Points, parent: NDArray[np.int_], fixed: int) -> Points:
    """Return the points with the zigzag of the steps evened out; the first `fixed` ones stay."""
    children, total = np.zeros(len(points)), np.zeros_like(points)
    has = parent >= 0
    np.add.at(children, parent[has], 1)
    np.add.at(total, parent[has], points[has])
    middle = has & (children > 0) & (np.arange(len(points)) >= fixed)
    after = total[middle] / children[middle, None]
    out = points.copy()
    out[middle] = 0.5 * points[middle] + 0.25 * points[parent[middle]] + 0.25 * after
    return out


def murray(parent: NDArray[np.int_], leaf: float) -> Points:
    """Return (N,) radii in mm: `leaf` at every end, and r³ = Σ r³ of the children before it."""
    cube, ends = np.zeros(len(parent)), np.ones(len(parent), dtype=bool)
    ends[parent[parent >= 0]] = False
    cube[ends] = leaf**3
    for child in range(len(parent) - 1, 0, -1):
        if parent[child] >= 0:
            cube[parent[child]] += cube[child]
    return np.cbrt(cube)


def leaves(parent: NDArray[np.int_]) -> int:
    """Return how many ends a tree has."""
    return len(parent) - len(np.unique(parent[parent >= 0]))

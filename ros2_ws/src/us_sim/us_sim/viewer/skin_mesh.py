# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The patient's skin as the view has it: a triangle mesh to project points and rays onto."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from trimesh.triangles import closest_point

Array = NDArray[np.float64]

FLATTENED = 15.0  # mm, radius over which the skin's normal is taken, about half a face


class SkinMesh:
    """A triangle mesh of the skin to put a probe on; mm in `ct`, triangles counter-clockwise seen from outside.

    Attributes:
        vertices: (V, 3).
        faces: (F, 3) vertex indices.
    """

    def __init__(self, triangles: ArrayLike) -> None:
        """Join (F, 3, 3) triangles where corners coincide."""
        corners = np.asarray(triangles, dtype=np.float64).reshape(-1, 3)
        self.vertices, index = np.unique(corners, axis=0, return_inverse=True)
        self.faces = index.reshape(-1, 3)
        self._corners = self.vertices[self.faces]
        a, b, c = np.moveaxis(self._corners, 1, 0)
        self._areas = np.cross(b - a, c - a)  # normals, twice the triangle's area long
        self._middles = cKDTree(self._corners.mean(axis=1))
        self._edge = float(np.linalg.norm(self._corners - self._corners.mean(axis=1, keepdims=True), axis=-1).max())

    def nearest(self, point: ArrayLike) -> Array:
        """Return the (3,) point of the skin that is closest to a (3,) point."""
        p = np.asarray(point, dtype=np.float64)
        reach = self._middles.query(p)[0] + self._edge  # a triangle's points lie within one edge of its middle
        near = np.asarray(self._middles.query_ball_point(p, reach + 1e-9))
        candidates = closest_point(self._corners[near], np.tile(p, (len(near), 1)))
        return np.asarray(candidates[np.linalg.norm(candidates - p, axis=-1).argmin()])

    def hit(self, origin: ArrayLike, direction: ArrayLike) -> Array | None:
        """Return the first (3,) point where a ray enters the skin from outside, or None (Möller, Trumbore 1997)."""
        o, d = np.asarray(origin, dtype=np.float64), np.asarray(direction, dtype=np.float64)
        facing = self._areas @ d < 0
        a, b, c = np.moveaxis(self._corners[facing], 1, 0)
        across, to_a = np.cross(d, c - a), o - a
        volume = ((b - a) * across).sum(axis=-1)
        around = np.cross(to_a, b - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v = (to_a * across).sum(axis=-1) / volume, (around @ d) / volume
            way = ((c - a) * around).sum(axis=-1) / volume
        met = (u >= 0) & (v >= 0) & (u + v <= 1) & (way > 0)
        return np.asarray(o + way[met].min() * d) if met.any() else None

    def normal(self, point: ArrayLike) -> Array:
        """Return the (3,) outward unit normal of the skin at a (3,) point of it, flattened over the probe's face."""
        p = np.asarray(point, dtype=np.float64)
        near = self._middles.query_ball_point(p, FLATTENED) or [int(self._middles.query(p)[1])]
        total = self._areas[near].sum(axis=0)
        return np.asarray(total / np.linalg.norm(total))

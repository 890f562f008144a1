# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Implicit shapes, evaluated only where they are, and the canvas on which they are painted in turn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from us_sim.core.compute.kernels import serial
from us_sim.core.patient.borders import DEEP, TENTHS, UNKNOWN
from us_sim.core.tissue import CLASS_COUNT, TissueClass

Field = NDArray[np.float32]
Points = NDArray[np.float64]
Box = tuple[slice, slice, slice]
EVERYWHERE: Box = (slice(None), slice(None), slice(None))
WARP_LIMIT = 9.0  # mm, the farthest that any voxel is bent
_MARGIN = 3.0  # mm outside a shape to which its distance is given


class Shape(NamedTuple):
    """A part of the grid and the signed distance there, mm, below 0 inside (first order off the surface)."""

    box: Box
    distance: Field


@dataclass(frozen=True, eq=False)
class Canvas:
    """The patient while it is composed: what is painted later covers what was painted before.

    Attributes:
        axes: three 1-D arrays, mm of the reference anatomy along the voxel axes.
        warp: (3, I, J, K) mm, added to `axes`: the patient is the reference anatomy, smoothly bent.
        tissue: (I, J, K) uint8.
        hu: (I, J, K) int16, without texture and noise.
        border: (I, J, K) uint8 as in `patient.borders`.
        levels: HU of each class in this patient.
    """

    axes: tuple[Field, Field, Field]
    warp: Field
    tissue: NDArray[np.uint8]
    hu: NDArray[np.int16]
    border: NDArray[np.uint8]
    levels: dict[TissueClass, int]

    def box(self, low: ArrayLike, high: ArrayLike) -> Box:
        """Return the voxels whose warped coordinates can lie between two corners in mm."""
        ends = zip(self.axes, np.asarray(low) - WARP_LIMIT, np.asarray(high) + WARP_LIMIT, strict=True)
        i, j, k = (slice(*(int(n) for n in np.searchsorted(axis, [a, b]))) for axis, a, b in ends)
        return i, j, k

    def coordinates(self, box: Box) -> tuple[Field, Field, Field]:
        """Return warped x, y, z in mm over a box."""
        x, y, z = (axis[part] for axis, part in zip(self.axes, box, strict=True))
        bent_x, bent_y, bent_z = (part[box] for part in self.warp)
        return bent_x + x[:, None, None], bent_y + y[:, None], bent_z + z

    def paint(
        self,
        shape: Shape,
        tissue: TissueClass,
        hu: int | None = None,
        *,
        over: Iterable[TissueClass],
        inset: float = 0.0,
    ) -> None:
        """Give the inside of a shape, shrunk by `inset` mm, a class and a HU where one of `over` lies."""
        paintable = np.zeros(CLASS_COUNT, dtype=bool)
        paintable[list(over)] = True
        level = np.int16(self.levels[tissue] if hu is None else hu)
        arrays = self.tissue[shape.box], self.hu[shape.box], self.border[shape.box]
        distance = np.broadcast_to(shape.distance, arrays[0].shape)
        per_voxel = TENTHS / (self.axes[0][1] - self.axes[0][0])
        _paint(distance, np.float32(inset), per_voxel, paintable, np.uint8(tissue), level, *arrays)


@serial
def _paint(distance, inset, per_voxel, paintable, kind, level, tissue, hu, border):  # type: ignore[no-untyped-def]
    """`Canvas.paint` over (I, J, K) voxels; on both sides of what becomes a border they learn how far it is."""
    for i in range(tissue.shape[0]):
        for j in range(tissue.shape[1]):
            for k in range(tissue.shape[2]):
                outside = distance[i, j, k] + inset
                tenths = int(abs(outside) * per_voxel + np.float32(0.5))
                if (outside >= 0 and tenths > DEEP) or not paintable[tissue[i, j, k]]:
                    continue
                if tissue[i, j, k] != kind:
                    known = border[i, j, k] if border[i, j, k] != UNKNOWN else DEEP
                    border[i, j, k] = max(1, min(tenths, known))
                if outside < 0:
                    tissue[i, j, k], hu[i, j, k] = kind, level


def ellipsoid(canvas: Canvas, centre: ArrayLike, radii: ArrayLike, turn: ArrayLike | None = None) -> Shape:
    """Return an ellipsoid with its axes along the columns of the rotation `turn` (3, 3)."""
    columns = np.eye(3) if turn is None else np.asarray(turn)
    middle, half = np.asarray(centre, dtype=float), np.asarray(radii, dtype=float)
    reach = np.sqrt(columns**2 @ half**2) + _MARGIN
    box = canvas.box(middle - reach, middle + reach)
    offset = [c - np.float32(m) for c, m in zip(canvas.coordinates(box), middle, strict=True)]
    level, steepness = np.zeros_like(offset[0]), np.zeros_like(offset[0])
    for axis, radius in zip(columns.T.astype(np.float32), half, strict=True):
        along = axis[0] * offset[0] + axis[1] * offset[1] + axis[2] * offset[2]
        along *= along * np.float32(radius**-2)
        level += along
        steepness += along * np.float32(radius**-2)
    distance = (level - np.sqrt(level + 1e-6)) / np.sqrt(steepness + 1e-9)  # finite in the centre, too
    return Shape(box, distance)


def tube(canvas: Canvas, points: ArrayLike, radii: ArrayLike) -> Shape:
    """Return the union of tapered capsules between (N, 3) points in mm with (N,) radii, or one for all."""
    path = np.asarray(points, dtype=float)
    size = np.broadcast_to(np.asarray(radii, dtype=float), len(path))
    reach = size.max() + _MARGIN
    whole = canvas.box(path.min(axis=0) - reach, path.max(axis=0) + reach)
    distance = np.full([s.stop - s.start for s in whole], _MARGIN, dtype=np.float32)
    for a, b, ra, rb in zip(path[:-1], path[1:], size[:-1], size[1:], strict=True):
        r = max(ra, rb) + _MARGIN
        box = canvas.box(np.minimum(a, b) - r, np.maximum(a, b) + r)
        i, j, k = (slice(s.start - w.start, s.stop - w.start) for s, w in zip(box, whole, strict=True))
        np.minimum(distance[i, j, k], _capsule(canvas.coordinates(box), a, b, ra, rb), out=distance[i, j, k])
    return Shape(whole, distance)


def _capsule(xyz: tuple[Field, Field, Field], a: Points, b: Points, ra: float, rb: float) -> Field:
    """Return the signed distance to a capsule from `a` (radius `ra`) to `b` (radius `rb`)."""
    direction = (b - a).astype(np.float32)
    x, y, z = (c - np.float32(o) for c, o in zip(xyz, a, strict=True))
    along = x * direction[0] + y * direction[1] + z * direction[2]
    share = along / np.float32(max(float(direction @ direction), 1e-6))
    np.clip(share, 0, 1, out=share)
    x -= share * direction[0]
    y -= share * direction[1]
    z -= share * direction[2]
    return np.sqrt(x * x + y * y + z * z) - (np.float32(ra) + share * np.float32(rb - ra))


def spline(points: ArrayLike, radii: ArrayLike, step: float = 6.0) -> tuple[Points, Points]:
    """Return a smooth curve through (N, 3) points in pieces of about `step` mm, with the radii along it."""
    path = np.asarray(points, dtype=float)
    size = np.broadcast_to(np.asarray(radii, dtype=float), len(path))
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    at = np.linspace(0, length[-1], max(int(np.ceil(length[-1] / step)), 1) + 1)
    return CubicSpline(length, path)(at), np.interp(at, length, size)


def curved_tube(canvas: Canvas, points: ArrayLike, radii: ArrayLike) -> Shape:
    """Return a tube along the smooth curve through (N, 3) points."""
    return tube(canvas, *spline(points, radii))


def smooth_max(a: Field, b: Field, width: float) -> Field:
    """Return the larger of two distances, rounded over `width` mm: an intersection without a sharp edge."""
    blend = np.maximum(width - np.abs(a - b), 0) / np.float32(width)
    return np.maximum(a, b) + blend * blend * np.float32(width / 4)


def rotation(x: float, y: float, z: float) -> Points:
    """Return the (3, 3) rotation Rz·Ry·Rx of three angles in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos([x, y, z]), np.sin([x, y, z])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def moved(rng: np.random.Generator, points: ArrayLike, spread: float) -> Points:
    """Return (..., 3) points, all shifted together by up to `spread` mm and each by up to half of that more."""
    path = np.asarray(points, dtype=float)
    return path + rng.uniform(-spread, spread, 3) + rng.uniform(-spread / 2, spread / 2, path.shape)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The indentation state, from which both force and deformation follow.

Columns of tissue run along +z of `probe`: from the skin, through each patch of the face that presses it in, to the
first bone. The pressure under a patch is that of springs in series, with the load spreading 2:1 (the width of what
carries it grows by 1 for each 2 of depth on either side; Terzaghi & Peck 1948, §41):

    p = k δ,   1/k = ∫₀ᴴ s(z) dz / E(z) / (1 + 2S²),   s(z) = B L / ((B + z)(L + z))

with the penetration δ, the free thickness H of the tissue over the bone and the face of B × L. Thin tissue that
sticks to face and bone is stiffer by 1 + 2S², S the face's area over the free sides (Gent & Lindley 1959). Under
force, but not in the image, bone yields a little. Patches do not know of each other: a Winkler foundation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray

from us_sim.core.compute.grids import mapped, nearest
from us_sim.core.compute.kernels import kernel_of_poses
from us_sim.core.contact.elasticity import elasticity_table
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.geometry.transforms import Matrix, inverse
from us_sim.core.patient.patient import Patient
from us_sim.core.patient.signed_distance import value_at

FACE_WIDTH = 15.0  # mm, elevational width of the face
COLUMNS, ROWS = 16, 3  # patches of the face, lateral × elevational; odd rows: one lies in the image plane
LATERAL_MARGIN, LATERAL_STEP = 96.0, 6.0  # mm that columns reach beyond the face's edges, and their distance
REACH = 120.0  # mm below the face to which bone is looked for; tissue further down does not move
DEEPEST = 60.0  # mm, greatest penetration: beyond, the probe is inside the patient and touches nothing
STEP = 2.0  # mm along a column
THINNEST = 3.0  # mm of tissue that are left between face and bone, however hard it is pressed
RIB_CAGE = 25.0  # kPa/mm, what bone yields as a whole: 20 N/mm under a face, as a chest does (Tsitlik et al. 1983)
LEAST_COMPRESSED = 0.25  # smallest C = compressed over free thickness that the law of stiffening is asked for

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Face:
    """Where columns of tissue start, P in all: patches of the face, then the image plane beside it.

    Attributes:
        points: (P, 3) middles of the patches, mm in `probe`; beside the face, at the height of its edge.
        normals: (P, 3) unit, out of the face, into the patient.
        areas: (P,) mm²; 0 beside the face.
        plane: (K,) the columns in the image plane, from left to right.
        size: chord and elevational width of the face, mm.
    """

    points: Array
    normals: Array
    areas: Array
    plane: NDArray[np.int_]
    size: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Indentation:
    """The indentation of a face at one pose.

    Attributes:
        face: where the columns start.
        ct_from_probe: (4, 4) the pose, mm.
        skin: (P,) mm along z from the column's start to the undeformed skin, negative where pressed in.
        penetration: (P,) mm that a patch is pressed in, along z; 0 beside the face.
        bone: (P,) mm along z from the column's start to the first bone, at most REACH.
        stiffness: (P,) k, kPa/mm; 0 where nothing is pressed in.
    """

    face: Face
    ct_from_probe: Matrix
    skin: Array
    penetration: Array
    bone: Array
    stiffness: Array

    @property
    def pressed(self) -> bool:
        """Whether any patch is pressed in."""
        return bool(self.penetration.any())

    @property
    def pressure(self) -> Array:
        """(P,) kPa at rest."""
        return self.stiffness * self.penetration


@lru_cache(maxsize=8)
def face_of(probe: ProbeGeometry, width: float = FACE_WIDTH, columns: int = COLUMNS, rows: int = ROWS) -> Face:
    """Return the columns under and beside a probe's face; `rows` is odd."""
    place = (np.arange(columns) + 0.5) / columns - 0.5
    if probe.kind is ProbeKind.CONVEX:
        angle = probe.field_of_view * place
        x, z = probe.apex * np.sin(angle), probe.apex * (np.cos(angle) - 1)
        half, edge = (probe.apex * f(0.5 * probe.field_of_view) for f in (math.sin, math.cos))
        drop, arc = edge - probe.apex, probe.apex * probe.field_of_view
    else:
        angle = np.zeros(columns)
        x, z = probe.aperture * place, np.zeros(columns)
        half, drop, arc = 0.5 * probe.aperture, 0.0, probe.aperture
    y = width * ((np.arange(rows) + 0.5) / rows - 0.5)
    patches = np.stack(np.broadcast_arrays(x[:, None], y, z[:, None]), axis=-1)
    normals = np.stack(np.broadcast_arrays(np.sin(angle)[:, None], 0 * y, np.cos(angle)[:, None]), axis=-1)
    off = half + LATERAL_STEP * (np.arange(int(LATERAL_MARGIN / LATERAL_STEP)) + 0.5)
    beside = np.stack([np.concatenate([-off[::-1], off]), np.zeros(2 * len(off)), np.full(2 * len(off), drop)], -1)
    points = np.concatenate([patches.reshape(-1, 3), beside])
    areas = np.zeros(len(points))
    areas[: columns * rows] = arc * width / (columns * rows)
    in_plane = np.flatnonzero(np.abs(points[:, 1]) < 1e-9)
    plane = in_plane[np.argsort(points[in_plane, 0])]
    sides = np.broadcast_to([0.0, 0.0, 1.0], beside.shape)
    return Face(points, np.concatenate([normals.reshape(-1, 3), sides]), areas, plane, (2 * half, width))


def indentation(patient: Patient, face: Face, ct_from_probe: Matrix) -> Indentation:
    """Return the indentation of a face at one pose, (4, 4) rigid, mm; for every finite pose."""
    return indentations(patient, face, ct_from_probe[None])[0]


def indentations(patient: Patient, face: Face, ct_from_probe: Matrix) -> list[Indentation]:
    """Return the indentation of a face at each of (B, 4, 4) poses, the same as alone to the bit."""
    skin, penetration, bone, stiffness = np.empty((4, len(ct_from_probe), len(face.points)))
    volume, poses = patient.volume, np.ascontiguousarray(ct_from_probe)
    _press(
        patient.skin.distance, patient.skin.ct_from_grid, volume.tissue, elasticity_table(), face.points,
        face.areas > 0, face.size, inverse(volume.ct_from_voxel) @ poses, skin, penetration, bone, stiffness, poses,
    )  # fmt: skip
    parts = zip(ct_from_probe, skin, penetration, bone, stiffness, strict=True)
    return [Indentation(face, *of_pose) for of_pose in parts]


def ready() -> None:
    """Compile the loop that a first touch would wait for."""
    grid, tissue, poses = np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 2), np.uint8), np.eye(4)[None]
    none, nothing, found = np.zeros((0, 3)), np.zeros(0, bool), np.zeros((1, 0))
    given = grid, np.eye(4), tissue, elasticity_table(), none, nothing, (1.0, 1.0), poses
    _press(*given, found, found, found, found, poses)


@kernel_of_poses
def _press(  # type: ignore[no-untyped-def]
    distance, ct_from_grid, tissue, elasticity, points, on_face, size, voxel_from_probe,
    skin, penetration, bone, stiffness, poses,
):  # fmt: skip
    for n in numba.prange(len(poses)):
        found = _skin_along_z(distance, ct_from_grid, points, on_face, poses, n, skin[n])
        for p in range(len(points)):
            penetration[n, p] = -skin[n, p] if found[p] and on_face[p] and skin[n, p] < 0 else 0.0
        _walk(tissue, elasticity, voxel_from_probe, n, points, skin[n], penetration[n], size, bone[n], stiffness[n])


@numba.njit
def _skin_along_z(distance, ct_from_grid, points, on_face, poses, n, skin):  # type: ignore[no-untyped-def]
    """Distance along z from each column's start to the skin, mm in ±DEEPEST, into (P,); returns whether there is skin.

    By the secant rule. Where the way in is not the way out (a face that looks away from the body) it ends off the
    skin.
    """
    away, touching = np.empty(len(points)), False
    for p in range(len(points)):
        x, y, z = mapped(poses, n, points[p, 0], points[p, 1], points[p, 2])
        away[p] = value_at(distance, ct_from_grid, x, y, z)
        touching |= on_face[p] and not away[p] > 0
    if not touching:
        for p in range(len(points)):
            skin[p] = min(max(away[p], -DEEPEST), DEEPEST)
        return np.zeros(len(points), np.bool_)
    left = np.empty(len(points))
    for p in range(len(points)):
        way, slope, gap = 0.0, 1.0, away[p]
        for _ in range(4):
            new = min(max(way + min(max(gap / slope, -DEEPEST), DEEPEST), -DEEPEST), DEEPEST)
            x, y, z = mapped(poses, n, points[p, 0], points[p, 1], points[p, 2] + new)
            reached = value_at(distance, ct_from_grid, x, y, z)
            fall = (gap - reached) / (new - way) if abs(new - way) > 1e-3 else 1.0
            slope = min(max(fall, 0.3), 1.0)
            way, gap = new, reached
        skin[p], left[p] = way, gap
    return np.abs(left) < 0.5


@numba.njit
def _walk(  # type: ignore[no-untyped-def]
    tissue, elasticity, m, pose, points, skin, penetration, size, bone, stiffness
):
    """Depth of the first bone, and stiffness of the tissue before it, along the columns of one pose."""
    length, width = size
    rigid, stiffened = np.isinf(elasticity[:, 0]), np.empty(len(elasticity))
    for p in range(len(points)):
        x, y, z = points[p]
        free = REACH - skin[p]
        bone[p], stiffness[p] = REACH, 0.0
        for n in range(int(free / STEP)):
            t = skin[p] + n * STEP
            if rigid[_class_at(tissue, m, pose, x, y, z + t)]:
                bone[p], free = t, n * STEP
                break
        if penetration[p] <= 0:
            continue
        free = max(free, THINNEST)
        compressed = max(1 - penetration[p] / free, LEAST_COMPRESSED)
        for kind in range(len(elasticity)):
            stiffened[kind] = elasticity[kind, 0] * compressed ** (-elasticity[kind, 1])
        compliance, steps = 0.0, int(free / STEP) + 1
        step = free / steps
        for n in range(steps):
            depth = (n + 0.5) * step
            spread = length * width / ((length + depth) * (width + depth))
            compliance += spread * step / stiffened[_class_at(tissue, m, pose, x, y, z + skin[p] + depth)]
        shape = length * width / (2 * free * (length + width))
        compliance /= 1 + 2 * shape * shape
        stiffness[p] = 1 / (compliance + (1 / RIB_CAGE if bone[p] < REACH else 0.0))


@numba.njit(inline="always")
def _class_at(tissue, m, pose, x, y, z):  # type: ignore[no-untyped-def]
    """Class of the voxel nearest to a point in `probe`, mm."""
    a, b, c = mapped(m, pose, x, y, z)
    return nearest(tissue, a, b, c)

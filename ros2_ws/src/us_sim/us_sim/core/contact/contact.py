# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Contact of probe and skin: which scan lines are coupled, how deep the face is pressed in, and where."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from us_sim.core.compute.grids import mapped
from us_sim.core.compute.kernels import kernel_of_poses
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.signed_distance import outward_at, value_at
from us_sim.core.patient.surface import Skin

COUPLED_GAP = 2.0  # mm of gap that gel fills: a scan line crosses it without loss
AIR_GAP = 5.0  # mm of gap from which on air uncouples a scan line


@dataclass(frozen=True, eq=False)
class Contact:
    """How the probe touches the skin.

    Attributes:
        in_contact: at least one scan line is coupled.
        coupling: mean of `line_coupling`.
        line_coupling: (L,) float32, 0 uncoupled to 1 coupled.
        line_distance: (L,) float64 mm from the skin to where the line leaves the face, negative below it.
        penetration: mm of the face below the skin at its deepest line, at least 0.
        point: (3,) deepest, or without contact nearest, point of the face, mm in `probe`.
        normal: (3,) unit skin normal under the face, out of the body, in `probe`; NaN without contact. It is the mean
            over the coupled lines, weighted with how far each lies below AIR_GAP: that of the deepest line alone
            jumps where two lines are equally deep, and a controller that follows it never rests.
    """

    in_contact: bool
    coupling: float
    line_coupling: NDArray[np.float32]
    line_distance: NDArray[np.float64]
    penetration: float
    point: NDArray[np.float64]
    normal: NDArray[np.float64]


def contact(skin: Skin, probe: ProbeGeometry, ct_from_probe: ArrayLike) -> Contact:
    """Return the contact of a probe at one pose, (4, 4) rigid, mm.

    A line is coupled while its gap is at most COUPLED_GAP; beyond, coupling falls linearly to 0 at AIR_GAP. A line
    that points out of the body is not coupled, however deep its origin lies. So every pose has an answer: far
    away nothing is coupled, and deep inside the body the lines that run away from the nearest skin are.
    """
    return contacts(skin, probe, np.asarray(ct_from_probe, dtype=np.float64)[None])[0]


def contacts(skin: Skin, probe: ProbeGeometry, ct_from_probe: Matrix) -> list[Contact]:
    """Return the contact of a probe at each of (B, 4, 4) poses, the same as alone to the bit."""
    shape = len(ct_from_probe), len(probe.line_origins)
    distance, coupling = np.empty(shape), np.empty(shape, np.float32)
    normals = np.empty((len(ct_from_probe), 3))  # summed over the lines
    poses = np.ascontiguousarray(ct_from_probe)
    lines = probe.line_origins, probe.line_directions
    _lines(skin.distance, skin.ct_from_grid, *lines, distance, coupling, normals, poses)
    nearest, mean = distance.argmin(axis=1), coupling.mean(axis=1, dtype=np.float64)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return [
        Contact(
            in_contact=(touches := bool(coupling[n].any())),
            coupling=float(mean[n]),
            line_coupling=coupling[n],
            line_distance=distance[n],
            penetration=max(0.0, -float(distance[n, at])),
            point=probe.line_origins[at].copy(),
            normal=normals[n] if touches else np.full(3, np.nan),
        )
        for n, at in enumerate(nearest)
    ]


def ready() -> None:
    """Compile the loop that a first touch would wait for."""
    none, poses = np.zeros((0, 3)), np.eye(4)[None]
    none.flags.writeable = False  # as a probe's are
    nothing = np.zeros((1, 0)), np.zeros((1, 0), np.float32)
    _lines(np.zeros((2, 2, 2), np.float32), np.eye(4), none, none, *nothing, np.zeros((1, 3)), poses)


@kernel_of_poses
def _lines(skin, ct_from_grid, origins, directions, distance, coupling, normals, poses):  # type: ignore[no-untyped-def]
    for n in numba.prange(len(poses)):
        normals[n] = 0.0
        for line in range(len(origins)):
            x, y, z = mapped(poses, n, origins[line, 0], origins[line, 1], origins[line, 2])
            gap = value_at(skin, ct_from_grid, x, y, z)
            a, b, c = outward_at(skin, ct_from_grid, x, y, z)
            out_x = a * poses[n, 0, 0] + b * poses[n, 1, 0] + c * poses[n, 2, 0]  # in `probe`
            out_y = a * poses[n, 0, 1] + b * poses[n, 1, 1] + c * poses[n, 2, 1]
            out_z = a * poses[n, 0, 2] + b * poses[n, 1, 2] + c * poses[n, 2, 2]
            along = out_x * directions[line, 0] + out_y * directions[line, 1] + out_z * directions[line, 2]
            weight = AIR_GAP - gap if along < 0 and gap < AIR_GAP else 0.0
            distance[n, line], coupling[n, line] = gap, min(weight / (AIR_GAP - COUPLED_GAP), 1.0)
            normals[n, 0] += weight * out_x
            normals[n, 1] += weight * out_y
            normals[n, 2] += weight * out_z

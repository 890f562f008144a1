# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Contact force: the wrench of the patient on an indenting probe.

    f = −p A (1 + c δ̇) n − μ p A v / √(v² + v₀²),   p ≥ 0

over the patches of the face: an elastic pressure, damped in proportion to itself (Hunt & Crossley 1975), so that it
starts and ends at zero and never pulls, and dry friction against sliding, rounded off where the probe creeps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from us_sim.core.compute.grids import mapped
from us_sim.core.compute.kernels import serial
from us_sim.core.contact.indentation import Indentation
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.geometry.transforms import inverse

CREEP = 2.0  # mm/s of sliding at which friction has reached 70 %
FASTEST = 1000.0  # mm/s: faster is a jump to another place, without damping or friction

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Wrench:
    """Force of the patient on the probe, taken at the origin of `probe`, in `probe`: pressing in gives −z.

    Attributes:
        force: (3,) N.
        torque: (3,) N mm.
    """

    force: Array
    torque: Array

    def minus(self, other: Wrench) -> Wrench:
        """Return what this one has more than another."""
        return Wrench(self.force - other.force, self.torque - other.torque)


def wrench(
    now: Indentation, settings: MechanicsSettings, before: Indentation | None = None, seconds: float = 0.0
) -> Wrench:
    """Return the wrench of an indentation.

    Args:
        now: the face in the tissue.
        settings: stiffness, damping and friction.
        before: the same face a moment ago; None: it rests.
        seconds: how long ago; 0 or less: it rests.
    """
    face, load = now.face, settings.stiffness * 1e-3 * now.pressure * now.face.areas  # N: kPa mm² is mN
    probe_from_earlier = np.eye(4)
    if before is None or before.face is not face or seconds <= 0:
        before, seconds = now, 1.0
    else:
        probe_from_earlier = inverse(now.ct_from_probe) @ before.ct_from_probe
    pressing = (now.penetration - before.penetration) / seconds
    moved = pressing, probe_from_earlier[None], seconds
    return Wrench(*_wrench(face.points, face.normals, load, *moved, settings.damping, settings.friction))


def ready() -> None:
    """Compile the loop that a first touch would wait for."""
    none, nothing = np.zeros((0, 3)), np.zeros(0)
    _wrench(none, none, nothing, nothing, np.eye(4)[None], 1.0, 0.0, 0.0)


@serial
def _wrench(  # type: ignore[no-untyped-def]
    points, normals, load, pressing, probe_from_earlier, seconds, damping, friction
):
    """Force and torque, (2, 3), from the load at rest, N, the speed of pressing, mm/s, and where the face was."""
    total, velocity, still = np.zeros((2, 3)), np.empty((len(points), 3)), False
    for p in range(len(points)):
        x, y, z = points[p]
        a, b, c = mapped(probe_from_earlier, 0, x, y, z)
        velocity[p, 0], velocity[p, 1], velocity[p, 2] = (x - a) / seconds, (y - b) / seconds, (z - c) / seconds
        for axis in range(3):
            still |= not abs(velocity[p, axis]) <= FASTEST  # as it is where it is no number
    for p in range(len(points)):
        if load[p] == 0:
            continue
        (x, y, z), (nx, ny, nz), (vx, vy, vz) = points[p], normals[p], velocity[p]
        pressed, off = load[p], vx * nx + vy * ny + vz * nz
        if still:
            vx, vy, vz, off = 0.0, 0.0, 0.0, 0.0
        else:
            pressed *= max(1 + damping * 1e-3 * pressing[p], 0.0)
        vx, vy, vz = vx - off * nx, vy - off * ny, vz - off * nz
        speed = math.sqrt(vx * vx + vy * vy + vz * vz + CREEP**2)
        fx = -pressed * (nx + friction * vx / speed)
        fy = -pressed * (ny + friction * vy / speed)
        fz = -pressed * (nz + friction * vz / speed)
        total[0] += np.array([fx, fy, fz])
        total[1] += np.array([y * fz - z * fy, z * fx - x * fz, x * fy - y * fx])
    return total

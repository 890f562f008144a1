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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from us_sim.core.contact.indentation import Indentation
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.geometry.transforms import apply, inverse

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
    face = now.face
    load = settings.stiffness * 1e-3 * now.pressure * face.areas  # N: kPa mm² is mN
    sliding = np.zeros_like(face.points)
    if before is not None and before.face is face and seconds > 0:
        pressing = (now.penetration - before.penetration) / seconds
        velocity = _velocity(now, before, seconds)
        if np.abs(velocity).max() <= FASTEST:
            load = load * np.clip(1 + settings.damping * 1e-3 * pressing, 0.0, None)
            sliding = velocity - (velocity * face.normals).sum(axis=1, keepdims=True) * face.normals
    speed = np.sqrt((sliding**2).sum(axis=1, keepdims=True) + CREEP**2)
    forces = -load[:, None] * (face.normals + settings.friction * sliding / speed)
    return Wrench(forces.sum(axis=0), np.cross(face.points, forces).sum(axis=0))


def _velocity(now: Indentation, before: Indentation, seconds: float) -> Array:
    """Velocity of the columns' starts against the patient, (P, 3) mm/s in `probe`."""
    probe_from_earlier = inverse(now.ct_from_probe) @ before.ct_from_probe
    return (now.face.points - apply(probe_from_earlier, now.face.points)) / seconds

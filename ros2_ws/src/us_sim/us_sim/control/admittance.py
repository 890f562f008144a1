# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Admittance control of a probe on the skin: constant contact force, beam along the skin normal, free sliding.

The measured force becomes motion (Hogan 1985, J. Dyn. Sys. Meas. Control 107, 1; Keemink et al. 2018, Int. J. Robot.
Res. 37, 1421). The virtual mass is omitted: with a damping of 300 N s/m, one of 1 kg would matter for 3 ms, less than
the time between two commands. Units of the core: mm, N, s, rad. Of many probes at once all arrays have a leading axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from us_sim.core.geometry.transforms import Matrix, inverse, rigid, rotation_from_vector, vector_from_rotation

DAMPING = 0.3  # N s/mm: on tissue of k N/mm the force settles with the time constant DAMPING / k
FASTEST_PRESS = 10.0  # mm/s along the beam, either way
ALIGN, FASTEST_TURN = 5.0, 0.6  # 1/s, rad/s: how the beam is aligned with the skin normal
NOTHING = 1e-6  # mm or rad
LOW_FORCE, HIGH_FORCE = 0.5, (1.5, 2.5)  # of the target force: below and above, lateral speed is scaled down

Array = NDArray[np.float64]
Number = float | Array  # of one probe or of each of many


@dataclass(frozen=True, eq=False)
class ContactState:
    """What the sensors measure at one pose.

    Attributes:
        force: normal force on the patient, N, along z of `probe`.
        in_contact: at least one scan line is coupled.
        normal: (3,) unit, out of the skin, in `probe`; NaN without contact.
    """

    force: float
    in_contact: bool
    normal: Array


IN_AIR = ContactState(0.0, False, np.full(3, np.nan))


def press_velocity(force: Number, target: Number) -> Number:
    """Return the (...) speed along z of `probe`, mm/s, at a measured and a target force, N."""
    return np.minimum(np.maximum((target - force) / DAMPING, -FASTEST_PRESS), FASTEST_PRESS)


def turn_rate(normal: Array, target_x: Array | None = None) -> Array:
    """Return the (..., 3) rate, rad/s in `probe`, that brings the beam onto the skin's normal.

    Args:
        normal: (..., 3) unit, out of the skin, in `probe`; NaN: no turn about x and y.
        target_x: (..., 3) direction in `probe` that the lateral axis shall have as seen along the beam; None: any.
    """
    known = np.isfinite(normal).all(axis=-1, keepdims=True)
    x, y, z = np.moveaxis(np.where(known, normal, (0.0, 0.0, -1.0)), -1, 0)
    off = np.hypot(x, y)
    share = ALIGN * np.arctan2(off, -z) / np.maximum(off, 1e-12)
    rate = np.stack([share * y, -share * x, np.zeros_like(share)], axis=-1)  # along z × (-normal)
    if target_x is not None:
        rate[..., 2] = ALIGN * np.arctan2(target_x[..., 1], target_x[..., 0])
    length = np.linalg.norm(rate, axis=-1, keepdims=True)
    return np.asarray(rate * (FASTEST_TURN / np.maximum(length, FASTEST_TURN)))


def moved(ct_from_probe: Matrix, velocity: Array, rate: Array, seconds: Number) -> Matrix:
    """Return the (..., 4, 4) pose after a time with constant velocity, (..., 3) mm/s, and turn rate, (..., 3) rad/s.

    Both are in `probe`.
    """
    seconds = np.asarray(seconds)[..., None]
    return np.asarray(ct_from_probe @ rigid(rotation_from_vector(rate * seconds), velocity * seconds))


def admittance_step(
    ct_from_probe: Matrix, sensed: ContactState, slide: Array, target: float, seconds: float,
    lateral: Array | None = None,
) -> Matrix:  # fmt: skip
    """Return the next pose, mm, of a probe on the skin under admittance control.

    Args:
        ct_from_probe: (4, 4) the pose at which `sensed` was measured.
        sensed: force and normal there.
        slide: (2,) speed along x and y of `probe`, mm/s; scaled down while the force is far from the target.
        target: target force, N.
        seconds: until the next pose.
        lateral: (3,) direction in `ct` that the lateral axis shall have as seen along the beam; None: any.
    """
    target_x = None if lateral is None else ct_from_probe[:3, :3].T @ lateral
    return complied(ct_from_probe, sensed.force, sensed.normal, slide, target, seconds, target_x)


def complied(
    ct_from_probe: Matrix, force: Number, normal: Array, slide: Array, target: Number, seconds: Number,
    target_x: Array | None = None,
) -> Matrix:  # fmt: skip
    """Return the next (..., 4, 4) poses of many probes by one pass of the law; arguments as of `admittance_step`.

    `target_x`: (..., 3), as of `turn_rate`.
    """
    freedom = np.interp(force / target, (0.0, LOW_FORCE, *HIGH_FORCE), (0.0, 1.0, 1.0, 0.0))
    press = press_velocity(force, target)
    velocity = np.concatenate([np.asarray(freedom)[..., None] * slide, np.asarray(press)[..., None]], axis=-1)
    return moved(ct_from_probe, velocity, turn_rate(normal, target_x), seconds)


def retracted(ct_from_probe: Matrix, way: float) -> Matrix:
    """Return the pose retracted along the beam by a distance, mm."""
    return np.asarray(ct_from_probe @ rigid(np.eye(3), (0.0, 0.0, -way)))


def moved_towards(ct_from_probe: Matrix, target: Matrix, way: float, angle: float) -> Matrix:
    """Return the pose on the straight line to a target, at most `way` mm and `angle` rad ahead."""
    step = inverse(ct_from_probe) @ target
    turn = vector_from_rotation(step[:3, :3])
    share = 1.0
    for size, most in ((np.linalg.norm(step[:3, 3]), way), (np.linalg.norm(turn), angle)):
        share = min(share, most / float(size)) if size > max(most, NOTHING) else share
    if share == 1.0:
        return target
    return moved(ct_from_probe, step[:3, 3], turn, share)

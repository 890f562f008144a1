# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Which side is which: letters for the image's edges and the 3-D view, and the probe's place on a body mark."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from us_sim.core.geometry.transforms import Matrix
from us_sim.viewer.skin_mesh import Array, SkinMesh

SIDES = (("L", "R"), ("P", "A"), ("F", "H"))  # towards negative and positive x, y and z of `ct`
OUTSIDE = 1.04  # of the body's half size, where the letters stand


class BodyMark(NamedTuple):
    """The probe on a body seen from the front: shares of its width from the patient's right and height from the head.

    Attributes:
        u, v: where it stands.
        angle: of the image's left side, rad, clockwise from the picture's right.
    """

    u: float
    v: float
    angle: float


def letter(direction: ArrayLike) -> str:
    """Return towards which side a (3,) direction in `ct` points: R, L, A, P, H, F; two letters if it is oblique."""
    x = np.asarray(direction, dtype=np.float64)
    order = np.argsort(-np.abs(x), kind="stable")
    named = [SIDES[axis][int(x[axis] > 0)] for axis in order if abs(x[axis]) > 0.45 * np.linalg.norm(x)]
    return "".join(named[:2])


def edges(ct_from_probe: Matrix) -> tuple[str, str]:
    """Return the letters of the image's left and right edge."""
    lateral = ct_from_probe[:3, 0]
    return letter(-lateral), letter(lateral)


def body_mark(ct_from_probe: Matrix, skin: SkinMesh) -> BodyMark:
    """Return where a probe is drawn on the body mark."""
    low, high = skin.vertices.min(axis=0), skin.vertices.max(axis=0)
    place = (high - ct_from_probe[:3, 3]) / (high - low)
    left = -ct_from_probe[:3, 0]
    u, v = np.clip(place[[0, 2]], 0.0, 1.0)
    return BodyMark(round(float(u), 3), round(float(v), 3), round(math.atan2(-left[2], -left[0]), 3))


def around(skin: SkinMesh) -> dict[str, Array]:
    """Return where the letters stand around a body, (3,) mm in `ct`."""
    low, high = skin.vertices.min(axis=0), skin.vertices.max(axis=0)
    middle, half = 0.5 * (low + high), 0.5 * OUTSIDE * (high - low)
    return {
        SIDES[axis][int(sign > 0)]: middle + sign * half * np.eye(3)[axis] for axis in range(3) for sign in (-1.0, 1.0)
    }

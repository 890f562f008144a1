# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""How the probe is placed: a point on the skin, its orientation there, and the indentation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from us_sim.core.geometry.probe import PRESSED
from us_sim.core.geometry.transforms import Matrix, pose_on_skin, rigid, rotation_from_vector
from us_sim.viewer.skin_mesh import Array, SkinMesh

CRANIAL = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True, eq=False)
class Placement:
    """Where and how the probe is placed. Rotations, rad, are about the middle of the face.

    Attributes:
        point: (3,) place on the skin, mm in `ct`.
        rotate: about the beam; 0 is transverse with the marker towards the patient's right.
        tilt: about the lateral axis: out of the image plane.
        rock: about the elevation axis: heel to toe, in the image plane.
        press: indentation at the middle of the face, mm; negative in air.
    """

    point: Array
    rotate: float = 0.0
    tilt: float = 0.0
    rock: float = 0.0
    press: float = PRESSED

    def pose(self, skin: SkinMesh) -> Matrix:
        """Return the (4, 4) `ct_from_probe`, mm."""
        normal = skin.normal(self.point)
        upright = _upright(self.point - self.press * normal, normal)
        x, y, z = np.eye(3)
        turns = (self.rotate * z, self.tilt * x, self.rock * y)
        return upright @ rigid(np.linalg.multi_dot([rotation_from_vector(turn) for turn in turns]), (0.0, 0.0, 0.0))

    def moved(self, skin: SkinMesh, towards: ArrayLike) -> Placement:
        """Return the placement at the place of the skin nearest to a (3,) point, its orientation kept."""
        return replace(self, point=skin.nearest(towards))

    @staticmethod
    def of_pose(ct_from_probe: Matrix, skin: SkinMesh) -> Placement:
        """Return the placement of a probe at a pose, mm; off the skin, `press` is negative."""
        place = ct_from_probe[:3, 3]
        point = skin.nearest(place)
        normal = skin.normal(point)
        turn = _upright(point, normal)[:3, :3].T @ ct_from_probe[:3, :3]
        return Placement(
            point,
            rotate=math.atan2(-turn[0, 1], turn[1, 1]),
            tilt=math.asin(float(np.clip(turn[2, 1], -1.0, 1.0))),
            rock=math.atan2(-turn[2, 0], turn[2, 2]),
            press=float((point - place) @ normal),
        )


def path(start: Placement, skin: SkinMesh, length: float, step: float = 10.0) -> list[Matrix]:
    """Return poses, (4, 4) mm, every `step` mm from a placement towards the feet, its orientation kept; two or more."""
    steps = max(1, round(length / step))
    return [start.moved(skin, start.point - along * CRANIAL).pose(skin) for along in np.linspace(0, length, steps + 1)]


def _upright(point: Array, normal: Array) -> Matrix:
    """Pose along the normal, transverse to the body; on its top and bottom, along the patient's right to left."""
    lateral = np.cross(CRANIAL, normal)
    return pose_on_skin(point, normal, lateral if np.linalg.norm(lateral) > 1e-3 else [-1.0, 0.0, 0.0])

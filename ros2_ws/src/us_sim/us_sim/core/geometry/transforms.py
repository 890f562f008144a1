# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Rigid transforms as 4×4 float64 matrices, named `a_from_b`: a product's neighbours must match."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from us_sim.core.errors import PoseError

Matrix = NDArray[np.float64]
MM_PER_M = 1000.0
FARTHEST = 1e300  # m; air like all that is far away, but finite in mm
QUATERNION_LENGTHS = (0.5, 2.0)  # a length outside is no rounding error but a mistake


def rigid(rotation: ArrayLike, translation: ArrayLike) -> Matrix:
    """Return the (..., 4, 4) of a (..., 3, 3) rotation and a (..., 3) translation in mm."""
    rotation = np.asarray(rotation, dtype=np.float64)
    matrix = np.zeros((*rotation.shape[:-2], 4, 4))
    matrix[..., :3, :3] = rotation
    matrix[..., :3, 3] = translation
    matrix[..., 3, 3] = 1.0
    return matrix


def inverse(a_from_b: ArrayLike) -> Matrix:
    """Return `b_from_a` of any regular (..., 4, 4) affine, in float64."""
    return np.linalg.inv(np.asarray(a_from_b, dtype=np.float64))


def apply(a_from_b: ArrayLike, points_b: ArrayLike) -> NDArray[np.float64]:
    """Map (..., 3) points in frame b, mm, to frame a with one 4×4."""
    matrix = np.asarray(a_from_b, dtype=np.float64)
    return np.asarray(points_b, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def rotation_from_quaternion(x: float, y: float, z: float, w: float) -> NDArray[np.float64]:
    """Return the (3, 3) rotation of a quaternion of any length; it is normalised.

    Raises:
        PoseError: the quaternion is zero or not finite.
    """
    q = np.array([x, y, z, w], dtype=np.float64)
    length = float(np.linalg.norm(q))
    if not np.isfinite(length) or length == 0.0:
        raise PoseError(f"quaternion (x, y, z, w) = {tuple(q.tolist())}; expected a finite one of length 1")
    x, y, z, w = q / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def rotation_from_vector(vector: ArrayLike) -> NDArray[np.float64]:
    """Return the (..., 3, 3) rotation about a (..., 3) axis whose length is the angle in rad, by Rodrigues' formula

    R = cos θ I + sin θ [a]ₓ + (1 − cos θ) a aᵀ.
    """
    v = np.asarray(vector, dtype=np.float64)
    if v.ndim > 1:
        return _rotations(v)
    angle = math.sqrt(v @ v)
    if angle == 0:
        return np.eye(3)
    x, y, z = (v / angle).tolist()
    c, s = math.cos(angle), math.sin(angle)
    k = 1 - c  # numbers one by one: a law of control turns a probe many times a second, and arrays cost more to make
    return np.array(
        [
            [c + k * (x * x), k * (x * y) - s * z, k * (x * z) + s * y],
            [k * (y * x) + s * z, c + k * (y * y), k * (y * z) - s * x],
            [k * (z * x) - s * y, k * (z * y) + s * x, c + k * (z * z)],
        ]
    )


def _rotations(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """`rotation_from_vector` of many."""
    angle = np.linalg.norm(vectors, axis=-1)
    x, y, z = np.moveaxis(vectors, -1, 0) / np.where(angle == 0, 1.0, angle)
    c, s = np.cos(angle), np.sin(angle)
    k = 1 - c
    entries = [c + k * (x * x), k * (x * y) - s * z, k * (x * z) + s * y,
               k * (y * x) + s * z, c + k * (y * y), k * (y * z) - s * x,
               k * (z * x) - s * y, k * (z * y) + s * x, c + k * (z * z)]  # fmt: skip
    return np.stack(entries, axis=-1).reshape(*angle.shape, 3, 3)


def vector_from_rotation(rotation: ArrayLike) -> NDArray[np.float64]:
    """Return the (3,) axis of a (3, 3) rotation times its angle, 0 to π rad: undoes `rotation_from_vector`."""
    r = np.asarray(rotation, dtype=np.float64)
    odd = 0.5 * np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    sine, cosine = float(np.linalg.norm(odd)), 0.5 * (float(np.trace(r)) - 1)
    angle = math.atan2(sine, cosine)
    if cosine < 0 and sine < 1e-3:  # half a turn: the odd part vanishes, and the axis is the eigenvector of 1
        values, vectors = np.linalg.eigh(r + r.T)
        axis = vectors[:, int(values.argmax())]
        return np.asarray(angle * (axis if axis @ odd >= 0 else -axis))
    return odd * (angle / sine if sine > 1e-9 else 1.0)


def pose_from_metres(position: Sequence[float], quaternion: Sequence[float]) -> Matrix:
    """Return the (4, 4) transform, mm, of a pose as ROS has it, live or recorded: (3,) m and (x, y, z, w).

    A quaternion of length 0.5 to 2 is normalised.

    Raises:
        PoseError: NaN or Inf anywhere, or a quaternion of another length.
    """
    position, quaternion = tuple(position), tuple(quaternion)
    if not all(map(math.isfinite, position + quaternion)):
        raise PoseError(f"pose holds NaN or Inf (position {position}, quaternion {quaternion}); expected numbers")
    length = math.hypot(*quaternion)
    low, high = QUATERNION_LENGTHS
    if not low <= length <= high:
        raise PoseError(f"quaternion {quaternion} has length {length:g}; expected 1, or {low:g} to {high:g}")
    return rigid(rotation_from_quaternion(*quaternion), np.clip(position, -FARTHEST, FARTHEST) * MM_PER_M)


def quaternion_from_rotation(rotation: ArrayLike) -> NDArray[np.float64]:
    """Return (x, y, z, w), w ≥ 0, of a (3, 3) rotation (eigenvector form, Bar-Itzhack 2000)."""
    r = np.asarray(rotation, dtype=np.float64)
    k = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], 0, 0, 0],
            [r[0, 1] + r[1, 0], r[1, 1] - r[0, 0] - r[2, 2], 0, 0],
            [r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], r[2, 2] - r[0, 0] - r[1, 1], 0],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], np.trace(r)],
        ]
    )
    _, vectors = np.linalg.eigh(k)  # reads the lower triangle
    q = vectors[:, -1]
    return -q if q[3] < 0 else q


def check_pose(ct_from_probe: ArrayLike) -> Matrix:
    """Return the pose(s) as float64 (..., 4, 4) after checking that they are finite and rigid (to 1e-3).

    Raises:
        PoseError: wrong shape, NaN or Inf, a last row other than (0, 0, 0, 1), or a rotation part that is not
            orthonormal and right-handed.
    """
    pose = np.asarray(ct_from_probe, dtype=np.float64)
    if pose.shape[-2:] != (4, 4):
        raise PoseError(f"ct_from_probe has shape {pose.shape}; expected (..., 4, 4)")
    if not np.isfinite(pose).all():
        raise PoseError("ct_from_probe holds NaN or Inf; expected finite values in mm")
    rotation = pose[..., :3, :3]
    if np.abs(rotation).max(initial=0.0) > 2 or (pose[..., 3, :] != (0, 0, 0, 1)).any():
        raise PoseError("ct_from_probe is not rigid; expected a rotation, a translation in mm and the row 0 0 0 1")
    error = np.abs(rotation @ np.swapaxes(rotation, -1, -2) - np.eye(3)).max(initial=0.0)
    if error > 1e-3:
        raise PoseError(f"ct_from_probe is not rigid (off by {error:.3g}); expected rotation and translation")
    if (np.linalg.det(rotation) < 0).any():
        raise PoseError("ct_from_probe is mirrored, not rigid; expected a right-handed rotation")
    return pose


def pose_on_skin(point: ArrayLike, outward: ArrayLike, lateral: ArrayLike) -> Matrix:
    """Return the `ct_from_probe` of a probe standing on the skin.

    Args:
        point: (3,) middle of the transducer's face in `ct`, mm.
        outward: (3,) skin normal in `ct`; the beam (+z) runs against it.
        lateral: (3,) wished direction of the image's columns (+x) in `ct`; made square to the beam.

    Raises:
        PoseError: `outward` has no direction, or `lateral` runs along it, so that no image plane is defined.
    """
    z = -np.asarray(outward, dtype=np.float64)
    length = np.linalg.norm(z)
    if not 0 < length < np.inf:
        raise PoseError(f"the skin normal {(-z).tolist()} has no direction; choose a point on the skin")
    z = z / length
    x = np.asarray(lateral, dtype=np.float64)
    x = x - z * (x @ z)
    length = np.linalg.norm(x)
    if not 1e-6 < length < np.inf:
        raise PoseError("the lateral direction runs along the beam; choose one across it")
    x = x / length
    return rigid(np.stack([x, np.cross(z, x), z], axis=1), point)

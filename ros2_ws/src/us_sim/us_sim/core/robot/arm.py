# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Kinematics of a serial arm: where its tip is, and which joint angles bring it to a pose or along a path.

Inverse kinematics by damped least squares (Wampler 1986; Nakamura and Hanafusa 1986), a step of

    dq = Jᵀ (J Jᵀ + λ² I)⁻¹ e + (I − J⁺ J) (q_home − q) / 2

repeated until the tip is there and the freedom that an arm with seven axes has left brings it no nearer to its home
posture. So the posture depends on the pose alone, not on the path to it: a closed path of the tip is one of the joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from us_sim.core.errors import ArmError
from us_sim.core.geometry.transforms import Matrix, rigid, rotation_from_vector, vector_from_rotation
from us_sim.core.robot.urdf import Joint

ARM_LENGTH = 300.0  # mm of error that weigh as much as 1 rad
DAMPING = 0.02
STEP = 0.3  # rad, longest step of a joint: beyond, the linear model of a turn ends
STEPS = 150
NEAR = (0.01, 1e-5)  # mm, rad: the tip is there
SETTLED = 1e-6  # rad: the posture no longer changes


@dataclass(frozen=True, eq=False)
class Arm:
    """Joints from base to tip, and the posture that the arm likes best.

    Attributes:
        joints: fixed ones included.
        home: (J,) rad, one angle for each joint that turns.

    Raises:
        ArmError: `home` has another length, or lies outside the limits.
    """

    joints: tuple[Joint, ...]
    home: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.home.shape != (len(self.names),):
            raise ArmError(f"home has {self.home.size} angles; expected one for each of {', '.join(self.names)}")
        low, high = self.limits
        if not ((low <= self.home) & (self.home <= high)).all():  # NaN is not within, either
            raise ArmError(f"home is {self.home.tolist()}; expected angles within {low.tolist()} to {high.tolist()}")

    @property
    def turning(self) -> list[Joint]:
        """The joints that turn, from base to tip."""
        return [joint for joint in self.joints if joint.axis is not None]

    @property
    def names(self) -> list[str]:
        """Names of the joints that turn, from base to tip."""
        return [joint.name for joint in self.turning]

    @property
    def limits(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest angles, (J,) rad each."""
        return np.array([j.low for j in self.turning]), np.array([j.high for j in self.turning])

    def base_from_tip(self, angles: ArrayLike) -> Matrix:
        """Return the (4, 4) pose of the tip, mm, at (J,) joint angles in rad."""
        return self._frames(np.asarray(angles, dtype=np.float64))[-1]

    def jacobian(self, angles: ArrayLike) -> NDArray[np.float64]:
        """Return the (6, J) velocity of the tip's origin, mm/rad, over its turning rate, in the base's axes."""
        frames = self._frames(np.asarray(angles, dtype=np.float64))
        columns = []
        for joint, frame in zip(self.joints, frames, strict=False):
            if joint.axis is not None:
                axis = frame[:3, :3] @ joint.axis
                columns.append(np.concatenate([np.cross(axis, frames[-1][:3, 3] - frame[:3, 3]), axis]))
        return np.stack(columns, axis=1)

    def _frames(self, angles: NDArray[np.float64]) -> list[Matrix]:
        """Return `base_from_joint` of every joint after its turn, and last of the tip, which is the last joint's."""
        frames, here, left = [], np.eye(4), iter(angles)
        for joint in self.joints:
            here = here @ joint.parent_from_joint
            if joint.axis is not None:
                here = here @ rigid(rotation_from_vector(joint.axis * next(left)), (0, 0, 0))
            frames.append(here)
        return [*frames, here]


def error(base_from_target: Matrix, base_from_tip: Matrix) -> NDArray[np.float64]:
    """Return the (6,) error from tip to target in the base's axes: mm, then a turn whose length is its angle, rad."""
    rotation = base_from_target[:3, :3] @ base_from_tip[:3, :3].T
    return np.concatenate([base_from_target[:3, 3] - base_from_tip[:3, 3], vector_from_rotation(rotation)])


def solve(arm: Arm, base_from_target: Matrix, start: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return the (J,) joint angles, rad, within the limits, that bring the tip to a pose in mm.

    Args:
        arm: the chain.
        base_from_target: (4, 4) mm.
        start: (J,) angles to begin from; None for home.

    Raises:
        ArmError: out of reach; the message says how far the tip stays away, and which joints are at their limits.
    """
    low, high = arm.limits
    angles = np.array(arm.home if start is None else start, dtype=np.float64)
    scale = np.repeat([1 / ARM_LENGTH, 1.0], 3)
    for _ in range(STEPS):
        away = error(base_from_target, arm.base_from_tip(angles))
        jacobian = arm.jacobian(angles) * scale[:, None]
        weighted = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + DAMPING**2 * np.eye(6))
        home = 0.5 * (arm.home - angles)
        # Not damped here: what pulls home must not pull the tip.
        step = weighted @ (away * scale) + home - np.linalg.pinv(jacobian, rcond=1e-2) @ (jacobian @ home)
        step *= min(1.0, STEP / max(1e-12, float(np.abs(step).max())))
        moved = np.clip(angles + step, low, high)
        still = float(np.abs(moved - angles).max()) < SETTLED
        if still and np.linalg.norm(away[:3]) < NEAR[0] and np.linalg.norm(away[3:]) < NEAR[1]:
            return angles
        angles = moved
    raise ArmError(_out_of_reach(arm, angles, error(base_from_target, arm.base_from_tip(angles))))


def follow(arm: Arm, base_from_targets: ArrayLike) -> NDArray[np.float64]:
    """Return the (N, J) joint angles, rad, that lead the tip along a closed path of (N, 4, 4) poses in mm.

    Raises:
        ArmError: a pose out of reach, named by its number, or a jump between two neighbours.
    """
    targets = np.asarray(base_from_targets, dtype=np.float64)
    path: list[NDArray[np.float64]] = []
    for number, target in enumerate(targets):
        try:
            path.append(solve(arm, target, path[-1] if path else None))
        except ArmError as refusal:
            raise ArmError(f"pose {number} of {len(targets)}: {refusal}") from None
    angles = np.stack(path)
    jumps = np.abs(angles - np.roll(angles, 1, axis=0)).max(axis=1)
    if len(path) > 1 and jumps.max() > STEP:
        raise ArmError(
            f"the arm jumps by {jumps.max():.2g} rad before pose {int(jumps.argmax())} of {len(path)}; "
            f"expected at most {STEP} rad: take more poses, another motion, or move the patient (world_from_ct)"
        )
    return angles


def loop(arm: Arm, base_from_targets: ArrayLike, period: float) -> CubicSpline:
    """Return the trajectory that leads the tip along a closed path again and again: `loop(t)` is (J,) rad at t s.

    Its derivative, `loop(t, 1)`, is (J,) rad/s.

    Raises:
        ArmError: a pose out of reach, a jump, or a joint faster than its limit.
    """
    angles = follow(arm, base_from_targets)
    angles = np.concatenate([angles, angles[:1]])
    path = CubicSpline(np.linspace(0.0, period, len(angles)), angles, bc_type="periodic", extrapolate="periodic")
    fastest = np.abs(path(np.linspace(0.0, period, 4 * len(angles)), 1)).max(axis=0)
    for joint, speed in zip(arm.turning, fastest, strict=True):
        if speed > joint.speed:
            raise ArmError(
                f"{joint.name} would turn at {speed:.2f} rad/s; expected at most {joint.speed:g}: take a longer period"
            )
    return path


def _out_of_reach(arm: Arm, angles: NDArray[np.float64], away: NDArray[np.float64]) -> str:
    low, high = arm.limits
    stuck = [name for name, a, lo, hi in zip(arm.names, angles, low, high, strict=True) if a in (lo, hi)]
    at_limits = f"; at their limits: {', '.join(stuck)}" if stuck else ""
    far, turned = np.linalg.norm(away[:3]), np.linalg.norm(away[3:])
    return (
        f"out of the arm's reach, the tip stays {far:.1f} mm and {turned:.2f} rad away{at_limits}; "
        "move the patient (world_from_ct), or take another motion"
    )

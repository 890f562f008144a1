# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A probe on the skin: actions move it along, the law of admittance holds force and orientation underneath."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from us_sim.control.admittance import ALIGN, ContactState, complied, moved_towards
from us_sim.control.guard import Guard
from us_sim.core.contact.touch import Touch
from us_sim.core.faulty_simulator import FaultySimulator
from us_sim.core.geometry.transforms import Matrix, rigid, rotation_from_vector
from us_sim.gym.config import EpisodeConfig

SLIDE, TILT, TURN = 40.0, 0.4, 0.5  # mm/s, rad/s, rad/s at an action of 1
MOST_TILT = 0.5  # rad off the skin's normal, about x and y
REACH, MOST_ANGLE = 100.0, 0.8  # mm, rad off the start's pose at an action of 1, where actions are poses
SETTLE = 2.0  # s at the start until the force has settled

Array = NDArray[np.float64]


class Wish(NamedTuple):
    """What the law of admittance is asked for, at a (4, 4) pose, mm, for some seconds.

    Attributes:
        force, normal: sensed there; N, (3,) in `probe`.
        tilt: (2,) rad about x and y that the beam shall have off the normal.
        slide, turn: (2,) mm/s along x and y, rad/s about the beam.
        target: N.
    """

    pose: Matrix
    force: float
    normal: Array
    tilt: Array
    slide: Array
    turn: float
    target: float
    seconds: float


# Asks how the probe touches, at a pose or where the law takes it from there; returns why the episode ends.
Motion = Generator[Matrix | Wish, tuple[Matrix, Touch], str]


class SkinProbe:
    """One probe in one episode.

    Attributes:
        pose: (4, 4) mm, as it is told; faults may put the probe elsewhere.
        touch: of the probe with the patient there, once it has settled.
        seconds: since the start.
    """

    touch: Touch

    def __init__(self, config: EpisodeConfig, pose: Matrix) -> None:
        self._config = config
        self._guard = Guard(config.force, config.force_limit, config.force_limit)  # any force below the limit holds
        self._tilt = np.zeros(2)
        self._dt = 1.0 / config.control_rate
        self.pose, self.seconds = pose, 0.0

    @property
    def force(self) -> float:
        """On the patient along the beam, N."""
        return -float(self.touch.wrench.force[2])

    @property
    def stamp(self) -> int:
        """ns since the start: what breath and faults follow."""
        return round(self.seconds * 1e9)

    def settle(self) -> Motion:
        """Stand on the skin, for the force to settle before the first action."""
        self.pose, self.touch = yield self.pose
        if self._config.action == "twist":
            for _ in range(round(SETTLE * self._config.control_rate)):
                yield from self._comply(np.zeros(2), 0.0)
        self.start, self.seconds = self.pose, 0.0
        return ""

    def act(self, action: Array) -> Motion:
        """Move for one period."""
        steps = max(1, round(self._config.period * self._config.control_rate))
        twist = dict(zip(self._config.axes, action, strict=False))
        for _ in range(steps):
            yield from self._towards(action) if self._config.action == "pose" else self._twist(twist)
            if wrong := self._guard.update(self._sensed(), self._dt):
                return wrong
        return ""

    def _twist(self, twist: Mapping[str, float]) -> Motion:
        slide = SLIDE * np.array([twist.get("x", 0.0), twist.get("y", 0.0)])
        rate = TILT * np.array([twist.get("tilt_x", 0.0), twist.get("tilt_y", 0.0)])
        self._tilt = np.clip(self._tilt + rate * self._dt, -MOST_TILT, MOST_TILT)
        return self._comply(slide, TURN * twist.get("turn", 0.0))

    def _comply(self, slide: Array, turn: float) -> Motion:
        """One step of the law."""
        contact, config = self.touch.contact, self._config
        return self._go(Wish(self.pose, self.force, contact.normal, self._tilt, slide, turn, config.force, self._dt))

    def _towards(self, action: Array) -> Motion:
        target = self.start @ rigid(rotation_from_vector(MOST_ANGLE * action[3:]), REACH * action[:3])
        return self._go(moved_towards(self.pose, target, SLIDE * self._dt, TURN * self._dt))

    def _go(self, asked: Matrix | Wish) -> Motion:
        before = self.touch
        self.pose, touch = yield asked
        self.touch = touch.after(before, self._dt)
        self.seconds += self._dt
        return ""

    def _sensed(self) -> ContactState:
        contact = self.touch.contact
        return ContactState(self.force, contact.in_contact, contact.normal)


def moved_together(simulators: Sequence[FaultySimulator], motions: Sequence[Motion]) -> list[str]:
    """Let probes move, each on its simulator, until all are through; return what each motion returns.

    They go in step: the law takes one pass for all, and so do the touches of all that share a simulator.
    """
    said = [""] * len(motions)
    answers: dict[int, tuple[Matrix, Touch] | None] = dict.fromkeys(range(len(motions)))  # to all that still move
    while answers:
        asked: dict[int, Matrix | Wish] = {}
        for n, answer in answers.items():
            try:
                asked[n] = next(motions[n]) if answer is None else motions[n].send(answer)
            except StopIteration as end:
                said[n] = end.value
        groups: dict[FaultySimulator, dict[int, Matrix]] = {}
        for n, pose in _fulfilled(asked).items():
            groups.setdefault(simulators[n], {})[n] = pose
        answers = {}
        for simulator, poses in groups.items():
            touches = simulator.touches(np.stack(list(poses.values())))
            answers |= zip(poses, zip(poses.values(), touches, strict=True), strict=True)
    return said


def _fulfilled(asked: Mapping[int, Matrix | Wish]) -> dict[int, Matrix]:
    """The pose that each has asked for, or where the law takes it."""
    poses = {n: one for n, one in asked.items() if not isinstance(one, Wish)}
    wishes = {n: one for n, one in asked.items() if isinstance(one, Wish)}
    if wishes:
        pose, force, normal, tilt, slide, turn, target, seconds = map(np.array, zip(*wishes.values(), strict=True))
        tilted = rotation_from_vector(np.pad(tilt, ((0, 0), (0, 1)))) @ normal[..., None]
        # The turn about the beam is asked for as a lateral direction ahead.
        ahead = turn / ALIGN
        lateral = np.stack([np.cos(ahead), np.sin(ahead), np.zeros_like(ahead)], axis=-1)
        poses |= zip(wishes, complied(pose, force, tilted[..., 0], slide, target, seconds, lateral), strict=True)
    return {n: poses[n] for n in asked}

"""A scan of the skin with constant force: over to the start, down to the skin, along the course, off again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from us_sim.control.admittance import Felt, carried, led, lifted
from us_sim.control.guard import Guard
from us_sim.control.raster import Course
from us_sim.core.geometry.transforms import Matrix, apply, inverse

STAND_OFF = 30.0  # mm above the skin's expected place where the descent begins
CARRY, CARRY_TURN = 60.0, 0.8  # mm/s, rad/s through the air
FOLLOW = 6.0  # 1/s, how hard the probe is drawn to the moving point of the course
LAG = 10.0  # mm that the probe may be behind that point; then the point waits
ARRIVED = 1.0  # mm


class Stage(Enum):
    """Where a scan stands."""

    CARRY = "on the way to the start"
    PRESS = "going down to the skin"
    SCAN = "scanning"
    LIFT = "lifting off"
    DONE = "done"


@dataclass
class Forces:
    """Statistics of the force while in contact, N."""

    count: int = 0
    total: float = 0.0
    greatest: float = 0.0

    def add(self, force: float) -> None:
        """Take one sample."""
        self.count, self.total, self.greatest = self.count + 1, self.total + force, max(self.greatest, force)

    @property
    def mean(self) -> float:
        """Of all samples; 0 of none."""
        return self.total / self.count if self.count else 0.0


class SkinScan:
    """One scan, step by step: `step` turns what is felt at a pose into the next pose.

    Attributes:
        course: where to.
        speed: along it, mm/s.
        guard: of the force.
        stage: where the scan stands.
        failure: why it was broken off; empty while all is well.
        forces: felt while scanning.
    """

    def __init__(self, course: Course, speed: float, guard: Guard) -> None:
        self.course, self.speed, self.guard = course, speed, guard
        self.stage, self.failure, self.forces = Stage.CARRY, "", Forces()
        self._way = 0.0  # mm of the course done
        self._legs: list[Matrix] = []

    def begin(self, ct_from_probe: Matrix | None) -> Matrix:
        """Return the first pose: the probe's own where it is known, else above the start of the course."""
        above = lifted(self.course.start, STAND_OFF)
        if ct_from_probe is None:
            return above
        self._legs = [lifted(ct_from_probe, STAND_OFF), above]
        return ct_from_probe

    @property
    def progress(self) -> float:
        """Part of the course scanned, 0 to 1: it goes on only in contact and within the tolerance."""
        return min(1.0, self._way / self.course.length)

    @property
    def remaining(self) -> float:
        """Estimated time to the end of the course, s."""
        return max(0.0, self.course.length - self._way) / self.speed

    def stop(self, why: str) -> None:
        """Break off: the probe lifts off, then the scan is done."""
        if self.stage not in (Stage.LIFT, Stage.DONE):
            self.failure = f"{why} ({self.stage.value}, {100 * self.progress:.0f} % done)"
            self.stage, self._legs = Stage.LIFT, []

    def step(self, ct_from_probe: Matrix, felt: Felt, seconds: float) -> Matrix:
        """Return the next pose, mm, `seconds` after the one at which `felt` was felt."""
        on_skin = self.stage in (Stage.PRESS, Stage.SCAN)
        if wrong := self.guard.feel(felt, seconds) if on_skin else self.guard.too_strong(felt):
            self.stop(wrong)
        if self.stage is Stage.CARRY:
            return self._carry(ct_from_probe, seconds)
        if self.stage is Stage.PRESS:
            if self.guard.stands:
                self.stage = Stage.SCAN
            return led(ct_from_probe, felt, np.zeros(2), self.guard.wanted, seconds, self.course.laterals[0])
        if self.stage is Stage.SCAN:
            return self._scan(ct_from_probe, felt, seconds)
        if self.stage is Stage.LIFT:
            return self._lift(ct_from_probe, seconds)
        return ct_from_probe

    def _carry(self, pose: Matrix, seconds: float) -> Matrix:
        while self._legs:
            new = carried(pose, self._legs[0], CARRY * seconds, CARRY_TURN * seconds)
            if new is not self._legs[0]:
                return new
            pose = self._legs.pop(0)
        self.stage = Stage.PRESS
        return pose

    def _scan(self, pose: Matrix, felt: Felt, seconds: float) -> Matrix:
        if felt.in_contact:
            self.forces.add(felt.force)
        point, lateral = self.course.at(self._way)
        error = apply(inverse(pose), point)[:2]
        behind = float(np.linalg.norm(error))
        if felt.in_contact and self.guard.holds(felt.force) and behind <= LAG:
            forward = min(self.speed * seconds, self.course.length - self._way)
            self._way += forward
            if forward == 0.0 and behind <= ARRIVED:
                self.stage = Stage.LIFT
        return led(pose, felt, self._slide(error), self.guard.wanted, seconds, lateral)

    def _slide(self, error: NDArray[np.float64]) -> NDArray[np.float64]:
        """(2,) speed towards the point of the course, not above 1.5 times the wished speed."""
        wish = FOLLOW * error
        return np.asarray(wish * min(1.0, 1.5 * self.speed / max(float(np.linalg.norm(wish)), 1e-9)))

    def _lift(self, pose: Matrix, seconds: float) -> Matrix:
        self._legs = self._legs or [lifted(pose, STAND_OFF)]
        new = carried(pose, self._legs[0], CARRY * seconds, CARRY_TURN * seconds)
        if new is self._legs[0]:
            self.stage = Stage.DONE
        return new

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A scan of the skin with constant force: transit to the start, approach, scan along the path, retract."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from us_sim.control.admittance import ContactState, admittance_step, moved_towards, retracted
from us_sim.control.guard import Guard
from us_sim.control.raster import ScanPath
from us_sim.core.geometry.transforms import Matrix, apply, inverse

STAND_OFF = 30.0  # mm above the skin's expected place where the descent begins
TRANSIT, TRANSIT_TURN = 60.0, 0.8  # mm/s, rad/s through the air
FOLLOW = 6.0  # 1/s, gain on the lateral tracking error
LAG = 10.0  # mm that the probe may be behind that point; then the point waits
ARRIVED = 1.0  # mm


class Stage(Enum):
    """Where a scan stands."""

    TRANSIT = "moving to the start"
    PRESS = "approaching the skin"
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
    """One scan, step by step: `step` turns the measured contact at a pose into the next pose.

    Attributes:
        path: where to.
        speed: along it, mm/s.
        guard: of the force.
        stage: where the scan stands.
        failure: why it was broken off; empty while all is well.
        forces: measured while scanning.
    """

    def __init__(self, path: ScanPath, speed: float, guard: Guard) -> None:
        self.path, self.speed, self.guard = path, speed, guard
        self.stage, self.failure, self.forces = Stage.TRANSIT, "", Forces()
        self._way = 0.0  # mm of the path done
        self._legs: list[Matrix] = []

    def begin(self, ct_from_probe: Matrix | None) -> Matrix:
        """Return the first pose: the probe's own where it is known, else above the start of the path."""
        above = retracted(self.path.start, STAND_OFF)
        if ct_from_probe is None:
            return above
        self._legs = [retracted(ct_from_probe, STAND_OFF), above]
        return ct_from_probe

    @property
    def progress(self) -> float:
        """Part of the path scanned, 0 to 1: it goes on only in contact and within the tolerance."""
        return min(1.0, self._way / self.path.length)

    @property
    def remaining(self) -> float:
        """Estimated time to the end of the path, s."""
        return max(0.0, self.path.length - self._way) / self.speed

    def stop(self, why: str) -> None:
        """Abort: the probe retracts, then the scan is done."""
        if self.stage not in (Stage.LIFT, Stage.DONE):
            self.failure = f"{why} ({self.stage.value}, {100 * self.progress:.0f} % done)"
            self.stage, self._legs = Stage.LIFT, []

    def step(self, ct_from_probe: Matrix, sensed: ContactState, seconds: float) -> Matrix:
        """Return the next pose, mm, `seconds` after the one at which `sensed` was measured."""
        on_skin = self.stage in (Stage.PRESS, Stage.SCAN)
        if wrong := self.guard.update(sensed, seconds) if on_skin else self.guard.too_strong(sensed):
            self.stop(wrong)
        if self.stage is Stage.TRANSIT:
            return self._transit(ct_from_probe, seconds)
        if self.stage is Stage.PRESS:
            if self.guard.settled:
                self.stage = Stage.SCAN
            return admittance_step(
                ct_from_probe, sensed, np.zeros(2), self.guard.target, seconds, self.path.laterals[0]
            )
        if self.stage is Stage.SCAN:
            return self._scan(ct_from_probe, sensed, seconds)
        if self.stage is Stage.LIFT:
            return self._lift(ct_from_probe, seconds)
        return ct_from_probe

    def _transit(self, pose: Matrix, seconds: float) -> Matrix:
        while self._legs:
            new = moved_towards(pose, self._legs[0], TRANSIT * seconds, TRANSIT_TURN * seconds)
            if new is not self._legs[0]:
                return new
            pose = self._legs.pop(0)
        self.stage = Stage.PRESS
        return pose

    def _scan(self, pose: Matrix, sensed: ContactState, seconds: float) -> Matrix:
        if sensed.in_contact:
            self.forces.add(sensed.force)
        point, lateral = self.path.at(self._way)
        error = apply(inverse(pose), point)[:2]
        behind = float(np.linalg.norm(error))
        if sensed.in_contact and self.guard.holds(sensed.force) and behind <= LAG:
            forward = min(self.speed * seconds, self.path.length - self._way)
            self._way += forward
            if forward == 0.0 and behind <= ARRIVED:
                self.stage = Stage.LIFT
        return admittance_step(pose, sensed, self._slide(error), self.guard.target, seconds, lateral)

    def _slide(self, error: NDArray[np.float64]) -> NDArray[np.float64]:
        """(2,) speed towards the point of the path, not above 1.5 times the commanded speed."""
        velocity = FOLLOW * error
        return np.asarray(velocity * min(1.0, 1.5 * self.speed / max(float(np.linalg.norm(velocity)), 1e-9)))

    def _lift(self, pose: Matrix, seconds: float) -> Matrix:
        self._legs = self._legs or [retracted(pose, STAND_OFF)]
        new = moved_towards(pose, self._legs[0], TRANSIT * seconds, TRANSIT_TURN * seconds)
        if new is self._legs[0]:
            self.stage = Stage.DONE
        return new

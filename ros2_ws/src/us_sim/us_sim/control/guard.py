# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Supervises force and contact: when contact is established, and when to abort."""

from __future__ import annotations

from dataclasses import dataclass

from us_sim.control.admittance import ContactState, press_velocity

SETTLED = 0.5  # s within the tolerance after which contact counts as established
DESCENT = 90.0  # mm of descent without contact after which the skin is not there
LOST = 1.5  # s without contact, once there was some
OUTSIDE = 5.0  # s of force outside the tolerance, once contact was established


@dataclass
class Guard:
    """Of one probe and one target force, N.

    Attributes:
        target, tolerance: force and accepted deviation.
        limit: force at which the motion is aborted.
        settled: the force has been within the tolerance for SETTLED.
    """

    target: float
    tolerance: float
    limit: float
    settled: bool = False
    _within: float = 0.0
    _outside: float = 0.0
    _apart: float = 0.0
    _descended: float = 0.0  # mm, before the first contact
    _touched: bool = False

    def holds(self, force: float) -> bool:
        """Whether a force lies within the tolerance."""
        return abs(force - self.target) <= self.tolerance

    def too_strong(self, sensed: ContactState) -> str:
        """Return what is wrong with the force, or nothing."""
        if sensed.force <= self.limit:
            return ""
        return f"the force is {sensed.force:.1f} N, above the limit of {self.limit:g} N"

    def update(self, sensed: ContactState, seconds: float) -> str:
        """Take the state of contact while the probe is on the skin; return why to abort, or nothing."""
        self._touched |= sensed.in_contact
        self._apart = 0.0 if sensed.in_contact else self._apart + seconds
        self._descended += 0.0 if self._touched else float(press_velocity(sensed.force, self.target)) * seconds
        holds = sensed.in_contact and self.holds(sensed.force)
        self._within = self._within + seconds if holds else 0.0
        self._outside = 0.0 if holds else self._outside + seconds
        self.settled |= self._within >= SETTLED
        if strong := self.too_strong(sensed):
            return strong
        if self._descended > DESCENT:
            return f"no skin within {DESCENT:g} mm along the beam; start closer to the skin, facing it"
        if self._touched and self._apart > LOST:
            return "contact with the skin is lost"
        if self.settled and self._outside > OUTSIDE:
            return (
                f"the force is {sensed.force:.1f} N, outside {self.target:g} ± {self.tolerance:g} N for {OUTSIDE:g} s"
            )
        return ""

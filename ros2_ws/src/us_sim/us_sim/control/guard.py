"""Watches force and contact: when the probe stands on the skin as wished, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass

from us_sim.control.admittance import Felt, press_velocity

SETTLED = 0.5  # s within the tolerance after which the probe stands
DESCENT = 90.0  # mm of descent without contact after which the skin is not there
LOST = 1.5  # s without contact, once there was some
OUTSIDE = 5.0  # s of force outside the tolerance, once the probe stood


@dataclass
class Guard:
    """Of one probe and one wanted force, N.

    Attributes:
        wanted, tolerance: force and accepted deviation.
        limit: force at which everything is given up.
        stands: the force has been within the tolerance for SETTLED.
    """

    wanted: float
    tolerance: float
    limit: float
    stands: bool = False
    _within: float = 0.0
    _outside: float = 0.0
    _apart: float = 0.0
    _descended: float = 0.0  # mm, before the first contact
    _touched: bool = False

    def holds(self, force: float) -> bool:
        """Whether a force lies within the tolerance."""
        return abs(force - self.wanted) <= self.tolerance

    def too_strong(self, felt: Felt) -> str:
        """Return what is wrong with the force, or nothing."""
        if felt.force <= self.limit:
            return ""
        return f"the force is {felt.force:.1f} N, above the limit of {self.limit:g} N"

    def feel(self, felt: Felt, seconds: float) -> str:
        """Take what is felt while the probe is led along the skin; return why to give up, or nothing."""
        self._touched |= felt.in_contact
        self._apart = 0.0 if felt.in_contact else self._apart + seconds
        self._descended += 0.0 if self._touched else press_velocity(felt.force, self.wanted) * seconds
        holds = felt.in_contact and self.holds(felt.force)
        self._within = self._within + seconds if holds else 0.0
        self._outside = 0.0 if holds else self._outside + seconds
        self.stands |= self._within >= SETTLED
        if strong := self.too_strong(felt):
            return strong
        if self._descended > DESCENT:
            return f"no skin within {DESCENT:g} mm along the beam; begin nearer to the skin, facing it"
        if self._touched and self._apart > LOST:
            return "contact with the skin is lost"
        if self.stands and self._outside > OUTSIDE:
            return f"the force is {felt.force:.1f} N, outside {self.wanted:g} ± {self.tolerance:g} N for {OUTSIDE:g} s"
        return ""

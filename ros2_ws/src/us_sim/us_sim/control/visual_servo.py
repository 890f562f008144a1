# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Image-based visual servoing on an organ: find it, centre it, hold it.

One image tells how far an organ lies off to the side, but not how far it reaches out of the image plane. So the probe
sweeps once across the organ, and each frame adds a slice: with Aₖ the area that frame k shows of the organ, cₖ its
centroid in `ct`, and hₖ how far the image plane has moved there since the last frame,

    c = Σ Aₖ hₖ cₖ / Σ Aₖ hₖ

is the centroid of the organ's volume (Cavalieri). It needs neither a model of the organ nor a gradient of the area,
which is flat exactly where the organ is in the middle. Then the image plane is turned along the body: breathing moves
organs that way, so that images show where they are, and the probe follows them along its x. Along its y it goes by the
sum. Images are old when they arrive; an alpha-beta filter (Benedict & Bordner 1962, IRE Trans. Autom. Control 7, 27)
extrapolates where the organ is by now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from us_sim.core.geometry.transforms import Matrix, apply, inverse

SWEEP_SPEED = 25.0  # mm/s across the organ and in search of it
CENTRE_SPEED = 30.0  # mm/s at most
GAIN = 4.0  # 1/s, speed over distance
ALONG_BODY = np.array([0.0, 0.0, 1.0])  # in `ct`
LEAST_AREA = 100.0  # mm² of an organ that count as seen
PASSED = 10.0  # mm without the organ after which its edge counts as passed
FARTHEST = 200.0  # mm of one pass over the organ
NEAR = 40.0  # mm between what an image shows and the sum: more is another organ of that name, such as the other kidney
NEWEST = 1.0  # s for which an image counts as what is seen now; without a newer one, no search goes on
AHEAD = 0.3  # s, the longest extrapolation
ALPHA, BETA = 0.8, 0.5  # gains on the innovation, for place and velocity: BETA = ALPHA² / (2 - ALPHA)
CENTRED, HELD = 5.0, 2.0  # mm off, in either direction, and s: from then on the organ is held

# Where to look for it: legs (x, y) of the probe, mm. Across the plane first, for one plane shows 10 cm to the sides.
SEARCH = ((0, 60), (0, -120), (40, 0), (0, 120), (-80, 0), (0, -120))

Array = NDArray[np.float64]


class Phase(Enum):
    """What the servo does."""

    PRESS = "press"
    SEARCH = "search"
    SWEEP = "sweep"
    CENTRE = "centre"
    HOLD = "hold"
    ABSENT = "absent"


@dataclass(frozen=True, eq=False)
class Observation:
    """An organ in one frame.

    Attributes:
        area: mm²; 0 if it is not there.
        centroid: (3,) mm in `ct`; NaN if it is not there.
        ct_from_probe: (4, 4) pose of the frame, mm.
        age: s that have passed since that pose.
    """

    area: float
    centroid: Array
    ct_from_probe: Matrix
    age: float = 0.0


@dataclass
class VolumeCentroid:
    """Centroid of a volume from slices through it."""

    volume: float = 0.0
    moment: Array = field(default_factory=lambda: np.zeros(3))
    last: Matrix | None = None

    def add(self, seen: Observation) -> None:
        """Take a frame."""
        if seen.area > 0 and self.last is not None:
            share = seen.area * abs(float(apply(inverse(self.last), seen.centroid)[1]))
            self.volume += share
            self.moment = self.moment + share * seen.centroid
        self.last = seen.ct_from_probe

    @property
    def centroid(self) -> Array:
        """(3,) mm in `ct`; NaN before the first slice."""
        return self.moment / self.volume if self.volume > 0 else np.full(3, np.nan)


@dataclass
class AlphaBetaFilter:
    """Position from intermittent, delayed observations: an alpha-beta filter.

    Attributes:
        place: (3,) mm; NaN before it was seen.
        velocity: (3,) mm/s.
        time: s, of both.
    """

    place: Array = field(default_factory=lambda: np.full(3, np.nan))
    velocity: Array = field(default_factory=lambda: np.zeros(3))
    time: float = -np.inf

    def add(self, place: Array, time: float) -> None:
        """Take an observation of a time; one older than the last is ignored, after a gap the filter starts anew."""
        passed = time - self.time
        if passed > NEWEST:
            self.place, self.velocity, self.time = place, np.zeros(3), time
        elif passed > 0:
            innovation = place - self.at(time)
            self.place = self.at(time) + ALPHA * innovation
            self.velocity = self.velocity + BETA / passed * innovation
            self.time = time

    def at(self, time: float) -> Array:
        """(3,) mm, where it is expected at a time."""
        return self.place + min(time - self.time, AHEAD) * self.velocity


class Servo:
    """Says how to slide the probe, from what its frames show.

    Attributes:
        phase: what it does.
        centre: (3,) middle of the organ, mm in `ct`; NaN until it was swept across.
    """

    def __init__(self) -> None:
        self.phase = Phase.PRESS
        self.centre: Array = np.full(3, np.nan)
        self._legs = [np.array(leg, dtype=np.float64) for leg in SEARCH]
        self._leg_done = 0.0
        self._direction = 1.0  # along the probe's y
        self._passes = 0
        self._pass_length = 0.0
        self._edge: Matrix | None = None  # last pose of this pass that saw the organ
        self._passed = 0.0  # mm, of the image plane since then
        self._slices = VolumeCentroid()
        self._filter = AlphaBetaFilter()
        self._now = self._looked = 0.0  # s; when the last frame came
        self._held = 0.0
        self._along: Array | None = None

    def begin(self) -> None:
        """Look for the organ: the probe stands on the skin."""
        self.phase = Phase.SEARCH

    def observe(self, seen: Observation) -> None:
        """Take a frame's organ."""
        self._looked = self._now
        if seen.area >= LEAST_AREA:
            self._filter.add(seen.centroid, self._now - seen.age)
        if self.phase is Phase.SEARCH and seen.area >= LEAST_AREA:
            self.phase = Phase.SWEEP
            if self._legs[0][1]:
                self._direction = float(np.sign(self._legs[0][1]))
        if self.phase is Phase.SWEEP:
            self._slices.add(seen)
            self._edge = seen.ct_from_probe if seen.area >= LEAST_AREA else self._edge
            if self._edge is not None:
                self._passed = abs(float(apply(inverse(self._edge), seen.ct_from_probe[:3, 3])[1]))

    def offset(self, ct_from_probe: Matrix) -> Array:
        """Return the (2,) place of the organ's middle along x and y of `probe`, mm: what is to become 0."""
        place = np.asarray(apply(inverse(ct_from_probe), self.centre)[:2])
        if self._visible:
            x = apply(inverse(ct_from_probe), self._filter.at(self._now))[0]
            place[0] = x if abs(x - place[0]) < NEAR else place[0]
        return place

    @property
    def lateral(self) -> Array | None:
        """(3,) unit, direction in `ct` that the probe's x shall have; None: it stays as it is."""
        return self._along

    def slide(self, ct_from_probe: Matrix, seconds: float) -> Array:
        """Return the (2,) speed along x and y of `probe`, mm/s, for the next `seconds`."""
        self._now += seconds
        blind = self._now - self._looked > NEWEST
        if self.phase is Phase.SEARCH and not blind:
            return self._search(seconds)
        if self.phase is Phase.SWEEP and not blind:
            return self._sweep(ct_from_probe, seconds)
        if self.phase in (Phase.CENTRE, Phase.HOLD):
            return self._centre(ct_from_probe, seconds)
        return np.zeros(2)

    @property
    def _visible(self) -> bool:
        return self._now - self._filter.time <= NEWEST

    def _search(self, seconds: float) -> Array:
        length = float(np.linalg.norm(self._legs[0]))
        direction = self._legs[0] / length
        self._leg_done += SWEEP_SPEED * seconds
        if self._leg_done >= length:
            self._legs.pop(0)
            self._leg_done = 0.0
            if not self._legs:
                self.phase = Phase.ABSENT
                return np.zeros(2)
        return SWEEP_SPEED * direction

    def _sweep(self, ct_from_probe: Matrix, seconds: float) -> Array:
        self._pass_length += SWEEP_SPEED * seconds
        if self._passed > PASSED or self._pass_length > FARTHEST:
            self._turn_back(ct_from_probe)
        seen = apply(inverse(ct_from_probe), self._filter.place)[0] if self._visible else 0.0
        return np.array([_limited(GAIN * seen, SWEEP_SPEED), self._direction * SWEEP_SPEED])

    def _turn_back(self, ct_from_probe: Matrix) -> None:
        """At the organ's edge: the first time go back over all of it, the second time go to its middle."""
        self._passes += 1
        self._direction = -self._direction
        self._passed = self._pass_length = 0.0
        self._edge = None
        if self._passes == 1:
            self._slices = VolumeCentroid()
        elif self._slices.volume == 0:
            self.phase = Phase.ABSENT  # it was seen on the way there only
        else:
            self.centre = self._slices.centroid
            self.phase = Phase.CENTRE
            self._along = ALONG_BODY if ct_from_probe[2, 0] >= 0 else -ALONG_BODY  # the shorter turn

    def _centre(self, ct_from_probe: Matrix, seconds: float) -> Array:
        offset = self.offset(ct_from_probe)
        self._held = self._held + seconds if self._visible and np.abs(offset).max() < CENTRED else 0.0
        if self._held >= HELD:
            self.phase = Phase.HOLD
        elif not self._visible:
            self.phase = Phase.CENTRE
        going = float(self._filter.velocity @ ct_from_probe[:3, 0]) if self._visible else 0.0
        velocity = GAIN * offset + np.array([going, 0.0])
        return np.array([_limited(value, CENTRE_SPEED) for value in velocity])


def _limited(value: float, most: float) -> float:
    return float(np.clip(value, -most, most))

"""A patient that can be computed by hand: a flat skin at z = 0, a spring below it, and a ball of an organ.

The body fills z > 0 of `ct`; the probe's beam, +z, points into it. A point presses with STIFFNESS times its depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from us_sim.control.admittance import ContactState
from us_sim.control.visual_servo import Observation
from us_sim.core.geometry.transforms import Matrix, rigid

STIFFNESS = 1.0  # N/mm
REACH = 60.0  # mm to either side of the probe that its image shows

Array = NDArray[np.float64]


def upright(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Matrix:
    """A probe that looks straight into the body, mm."""
    return rigid(np.eye(3), (x, y, z))


def contact_at(ct_from_probe: Matrix, stiffness: float = STIFFNESS) -> ContactState:
    """What a probe feels."""
    depth = float(ct_from_probe[2, 3])
    normal = ct_from_probe[:3, :3].T @ np.array([0.0, 0.0, -1.0])
    if depth <= 0:
        return ContactState(0.0, False, np.full(3, np.nan))
    return ContactState(stiffness * depth * float(-normal[2]), True, normal)


@dataclass
class Ball:
    """An organ: centre (3,) mm in `ct` and radius; a slice of it is a disc."""

    centre: Array = field(default_factory=lambda: np.array([20.0, 35.0, 60.0]))
    radius: float = 25.0

    def seen(self, ct_from_probe: Matrix) -> Observation:
        """What a frame shows."""
        place = ct_from_probe[:3, :3].T @ (self.centre - ct_from_probe[:3, 3])
        square = self.radius**2 - place[1] ** 2
        if square <= 0 or abs(place[0]) > REACH:
            return Observation(0.0, np.full(3, np.nan), ct_from_probe)
        disc = self.centre - place[1] * ct_from_probe[:3, 1]
        return Observation(math.pi * square, disc, ct_from_probe)

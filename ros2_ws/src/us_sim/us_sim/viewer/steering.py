"""Who moves the probe: the viewer follows what it is shown until the user takes the probe in hand."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from us_sim.core.geometry.transforms import Matrix
from us_sim.viewer.hand import Hand, SkinMesh


class Steering:
    """The probe's place, from others or from the user's hand. Callable from any thread.

    Until a skin is known the probe can only be followed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._skin: SkinMesh | None = None
        self._hand: Hand | None = None  # while the user drives
        self._shown: Matrix | None = None

    @property
    def driving(self) -> bool:
        """Whether the user moves the probe."""
        return self._hand is not None

    @property
    def ready(self) -> bool:
        """Whether the probe can be taken in hand."""
        return self._skin is not None

    def set_skin(self, skin: SkinMesh) -> None:
        """Put the probe, as it is held, on another patient's skin."""
        with self._lock:
            self._skin = skin
            if self._hand is not None:
                self._hand = self._hand.moved(skin, self._hand.point)

    def follow(self, ct_from_probe: Matrix) -> None:
        """Remember the pose, mm, of the newest frame."""
        with self._lock:
            self._shown = ct_from_probe

    def release(self) -> None:
        """Leave the probe to others."""
        with self._lock:
            self._hand = None

    def take(self) -> None:
        """Take the probe in hand where it is; without a frame yet, in the middle of the belly."""
        with self._lock:
            self._hand = self._held()

    def slide(self, towards: ArrayLike) -> None:
        """Move the probe to the place of the skin nearest to a (3,) point, mm in `ct`, held as before."""
        with self._lock:
            hand = self._held()
            self._hand = hand.moved(self._skin, towards) if hand is not None and self._skin is not None else None

    def turn(self, **changes: Any) -> None:
        """Change how the probe is held: rotate, tilt, rock in rad, press in mm."""
        with self._lock:
            hand = self._held()
            self._hand = replace(hand, **changes) if hand is not None else None

    def put(self, hand: Hand) -> None:
        """Hold the probe as another hand does."""
        with self._lock:
            self._hand = hand

    def ray(self, origin: ArrayLike, direction: ArrayLike) -> np.ndarray | None:
        """Return where a ray meets the skin, (3,) mm in `ct`, or None."""
        skin = self._skin
        return None if skin is None else skin.hit(origin, direction)

    def pose(self) -> Matrix | None:
        """Return `ct_from_probe`, mm: of the hand while the user drives, else of the newest frame."""
        with self._lock:
            if self._hand is not None and self._skin is not None:
                return self._hand.pose(self._skin)
            return self._shown

    def held(self) -> Hand | None:
        """Return how the probe is held now, by whomever."""
        with self._lock:
            return self._held()

    def _held(self) -> Hand | None:
        if self._hand is not None or self._skin is None:
            return self._hand
        if self._shown is not None:
            return Hand.holding(self._shown, self._skin)
        low, high = self._skin.vertices.min(axis=0), self._skin.vertices.max(axis=0)
        front = 0.5 * (low + high) + [0.0, float(high[1] - low[1]), 0.0]
        return Hand(self._skin.nearest(front))


def degrees(angle: float) -> float:
    """Return an angle for the eyes, -180 to 180."""
    return math.degrees(math.remainder(angle, 2 * math.pi))

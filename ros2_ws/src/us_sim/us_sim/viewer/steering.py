# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Who places the probe: the viewer follows the frames until the user takes control."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from us_sim.core.geometry.transforms import Matrix
from us_sim.viewer.placement import Placement
from us_sim.viewer.skin_mesh import SkinMesh


class Steering:
    """The probe's placement, by the user or, without mouse control, by others. Callable from any thread.

    Until a skin is known the probe can only be followed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._skin: SkinMesh | None = None
        self._placement: Placement | None = None  # while the user is in control
        self._shown: Matrix | None = None

    @property
    def in_control(self) -> bool:
        """Whether the user controls the probe."""
        return self._placement is not None

    @property
    def ready(self) -> bool:
        """Whether the user can take control."""
        return self._skin is not None

    def set_skin(self, skin: SkinMesh) -> None:
        """Move the probe, its orientation kept, onto another patient's skin."""
        with self._lock:
            self._skin = skin
            if self._placement is not None:
                self._placement = self._placement.moved(skin, self._placement.point)

    def follow(self, ct_from_probe: Matrix) -> None:
        """Remember the pose, mm, of the newest frame."""
        with self._lock:
            self._shown = ct_from_probe

    def release(self) -> None:
        """Give up control."""
        with self._lock:
            self._placement = None

    def take(self) -> None:
        """Take control of the probe where it is; without a frame yet, in the middle of the belly."""
        with self._lock:
            self._placement = self._current()

    def slide(self, towards: ArrayLike) -> None:
        """Move the probe to the place of the skin nearest to a (3,) point, mm in `ct`, its orientation kept."""
        with self._lock:
            placement = self._current()
            self._placement = (
                placement.moved(self._skin, towards) if placement is not None and self._skin is not None else None
            )

    def nudge(self, x: float, y: float) -> None:
        """Slide the probe over the skin by mm along its own lateral and elevation axes."""
        pose = self.pose()
        if pose is not None:
            self.slide(pose[:3, 3] + pose[:3, :3] @ (x, y, 0.0))

    def turn(self, **changes: Any) -> None:
        """Change the orientation or the indentation: rotate, tilt, rock in rad, press in mm."""
        with self._lock:
            placement = self._current()
            self._placement = replace(placement, **changes) if placement is not None else None

    def place(self, placement: Placement) -> None:
        """Set the whole placement."""
        with self._lock:
            self._placement = placement

    def ray(self, origin: ArrayLike, direction: ArrayLike) -> np.ndarray | None:
        """Return where a ray meets the skin, (3,) mm in `ct`, or None."""
        skin = self._skin
        return None if skin is None else skin.hit(origin, direction)

    def pose(self) -> Matrix | None:
        """Return `ct_from_probe`, mm: the user's while in control, else of the newest frame."""
        with self._lock:
            if self._placement is not None and self._skin is not None:
                return self._placement.pose(self._skin)
            return self._shown

    def placement(self) -> Placement | None:
        """Return the placement of the probe now, whoever controls it."""
        with self._lock:
            return self._current()

    def _current(self) -> Placement | None:
        if self._placement is not None or self._skin is None:
            return self._placement
        if self._shown is not None:
            return Placement.of_pose(self._shown, self._skin)
        low, high = self._skin.vertices.min(axis=0), self._skin.vertices.max(axis=0)
        front = 0.5 * (low + high) + [0.0, float(high[1] - low[1]), 0.0]
        return Placement(self._skin.nearest(front))


def degrees(angle: float) -> float:
    """Return an angle for display, -180 to 180."""
    return math.degrees(math.remainder(angle, 2 * math.pi))

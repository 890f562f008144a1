# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The demo's arm in the 3-D view, from `joint_states`: it stands where its angles and the probe's pose put it."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import JointState

from us_sim.core.errors import UsSimError
from us_sim.core.generator.shipped import shipped_arm
from us_sim.core.geometry.transforms import Matrix
from us_sim.ros.conversions import nanoseconds
from us_sim.viewer.arm_shape import ArmShape
from us_sim.viewer.scene import Scene

KEPT = 64  # joint states that may still find their frame


class ArmView:
    """Draws the arm once its joints and a frame of the same stamp are known; another robot's joints are left alone."""

    def __init__(self) -> None:
        self._shape: ArmShape | None = None
        self._states: OrderedDict[int, NDArray[np.float64]] = OrderedDict()  # by stamp, ns
        self._base: Matrix | None = None  # ct_from_base, mm
        self._drawn: int | None = None

    def turn(self, state: JointState) -> None:
        """Take joint angles."""
        if self._shape is None:
            try:
                self._shape = ArmShape(shipped_arm())
            except UsSimError:
                return  # not installed: there is nothing to draw
        angles = dict(zip(state.name, state.position, strict=False))
        found = np.array([angles.get(name, np.nan) for name in self._shape.names])
        if np.isfinite(found).all():
            self._states[nanoseconds(state.header.stamp)] = found
            while len(self._states) > KEPT:
                self._states.popitem(last=False)

    def hold(self, stamp: int, ct_from_probe: Matrix) -> None:
        """Take the probe's pose, mm, at a stamp, ns: it says where the base stands."""
        if self._shape is not None and stamp in self._states:
            self._base = self._shape.base(ct_from_probe, self._states[stamp])

    def show(self, scene: Scene) -> None:
        """Draw it, if it has moved."""
        if self._shape is not None and self._base is not None and self._states:
            stamp, angles = next(reversed(self._states.items()))
            if stamp != self._drawn:
                self._drawn = stamp
                scene.show_arm(self._shape, self._base, angles)

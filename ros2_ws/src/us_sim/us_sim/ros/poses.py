# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Validation of poses: finite, in a known frame, not older than the last one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped

from us_sim.core.errors import PoseError
from us_sim.core.geometry.transforms import Matrix
from us_sim.ros.conversions import nanoseconds, pose_matrix

if TYPE_CHECKING:
    from us_sim.core.contact.touch import Touch
    from us_sim.core.faulty_simulator import FaultySimulator

RESTART_NS = 1_000_000_000  # a stamp this much older than the last one: a bag was started again


class RefusedError(PoseError):
    """A pose that is dropped; `reason` is what diagnostics count."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class PendingError(RefusedError):
    """The transform of a pose is not there yet, but may come."""


@dataclass(frozen=True, eq=False)
class ProbePose:
    """An accepted pose.

    Attributes:
        stamp: of the message, or the time of receipt where it had none.
        ct_from_probe: (4, 4) mm.
        arrival: when it was received, s on the monotonic clock.
        frozen: it is shown again because the image is frozen.
        touch: of the probe there, once it is worked out.
        touched: what it was worked out with.
    """

    stamp: Time
    ct_from_probe: Matrix
    arrival: float
    frozen: bool = False
    touch: Touch | None = None
    touched: FaultySimulator | None = None


Lookup = Callable[[str, Time], Matrix]


def locate(message: PoseStamped, ct_frame: str, ct_from_frame: Lookup) -> Matrix:
    """Return `ct_from_probe`, mm, of a pose in `ct` or in a frame that `ct_from_frame` knows.

    Raises:
        RefusedError: NaN, Inf, an impossible quaternion, an empty or unknown frame.
    """
    try:
        frame_from_probe = pose_matrix(message.pose)
    except PoseError as error:
        raise RefusedError("invalid pose", str(error)) from None
    frame = message.header.frame_id
    if not frame:
        raise RefusedError("no frame", f"pose has an empty frame_id; expected {ct_frame!r}")
    if frame == ct_frame:
        return frame_from_probe
    return ct_from_frame(frame, message.header.stamp) @ frame_from_probe


class StampOrder:
    """Holds the last accepted stamp. Equal stamps pass: a pose may be asked for again."""

    def __init__(self) -> None:
        self._last: int | None = None

    def check(self, stamp: Time) -> None:
        """Raise unless the stamp may follow the last accepted one.

        Raises:
            RefusedError: the stamp is older, by at most a second, or negative.
        """
        if stamp.sec < 0:
            raise RefusedError("invalid stamp", f"stamp is {stamp.sec} s; expected zero or later")
        age = 0 if self._last is None else self._last - nanoseconds(stamp)
        if 0 < age <= RESTART_NS:
            raise RefusedError("old stamp", f"pose is {age * 1e-6:.3f} ms older than the last accepted one")

    def accept(self, stamp: Time) -> None:
        """Make this stamp the last accepted one."""
        self._last = nanoseconds(stamp)

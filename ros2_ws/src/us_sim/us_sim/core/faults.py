# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Fault injection: latency, jitter, dropped frames, calibration error, flipped images, dead elements, gel loss.

Every fault is a function of the seed and, where it changes from frame to frame, of the stamp: a recording of poses
meets the same faults again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from us_sim.core.config import check_ranges, setting
from us_sim.core.geometry.transforms import Matrix, rigid, rotation_from_vector

if TYPE_CHECKING:
    from us_sim.core.contact.contact import Contact

PATCH = 0.06  # of the face: standard deviation of the smoothing of gel patches
EDGE = 0.02  # of the face's lines over which a patch without gel begins


@dataclass(frozen=True)
class FaultSettings:
    """Faults to inject; the default is none. All of it changes live.

    Raises:
        ConfigError: a value outside its range, named with the range.
    """

    fault_latency: float = setting(0.0, "fault: latency added to every frame, s", 0.0, 5.0)
    fault_jitter: float = setting(0.0, "fault: maximum of the uniform random latency added on top, s", 0.0, 5.0)
    fault_drop: float = setting(0.0, "fault: probability that a frame is dropped", 0.0, 1.0)
    fault_position: float = setting(0.0, "fault: offset of the actual from the nominal pose, mm", 0.0, 50.0)
    fault_angle: float = setting(0.0, "fault: rotation of the actual from the nominal pose, rad", 0.0, 0.8)
    fault_flip: bool = setting(False, "fault: ~/image is mirrored left to right; slice and labels are not")
    fault_dead: float = setting(0.0, "fault: fraction of scan lines with dead elements", 0.0, 1.0)
    fault_gel: float = setting(0.0, "fault: fraction of the probe face without gel", 0.0, 1.0)

    def __post_init__(self) -> None:
        check_ranges(self)


def _random(seed: int, kind: int, stamp: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, kind, stamp])


def delay(settings: FaultSettings, seed: int, stamp: int) -> float:
    """Return the delay, s, of the frame of a stamp, ns."""
    if settings.fault_jitter == 0:
        return settings.fault_latency
    return settings.fault_latency + settings.fault_jitter * float(_random(seed, 0, stamp).random())


def is_lost(settings: FaultSettings, seed: int, stamp: int) -> bool:
    """Return whether the frame of a stamp, ns, is lost."""
    return settings.fault_drop > 0 and bool(_random(seed, 1, stamp).random() < settings.fault_drop)


@lru_cache(maxsize=4)
def calibration_error(seed: int, distance: float, angle: float) -> Matrix:
    """Return `nominal_from_actual`, (4, 4) mm: the actual pose of the probe in the frame of its nominal one.

    Args:
        seed: of the direction of the translation and the axis of the rotation.
        distance: of the translation, mm.
        angle: of the rotation, rad.
    """
    way, axis = _random(seed, 2).standard_normal((2, 3))
    turn = rotation_from_vector(angle * axis / np.linalg.norm(axis))
    return rigid(turn, distance * way / np.linalg.norm(way))


def actual_pose(settings: FaultSettings, seed: int, ct_from_nominal: Matrix) -> Matrix:
    """Return the actual pose of the probe, (4, 4), at a nominal one."""
    if settings.fault_position == 0 and settings.fault_angle == 0:
        return ct_from_nominal
    return ct_from_nominal @ calibration_error(seed, settings.fault_position, settings.fault_angle)


def element_mask(settings: FaultSettings, seed: int, lines: int) -> NDArray[np.float32] | None:
    """Return (lines,) 0 for scan lines with dead elements, else 1; None without any."""
    return None if settings.fault_dead == 0 else live_lines(seed, lines, settings.fault_dead)


def without_gel(contact: Contact, settings: FaultSettings, seed: int) -> Contact:
    """Return the contact after gel loss; dead elements do not affect it."""
    if settings.fault_gel == 0:
        return contact
    lines = contact.line_coupling * gel_coverage(seed, len(contact.line_coupling), settings.fault_gel)
    touches = bool(lines.any())
    normal = contact.normal if touches else np.full(3, np.nan)
    return replace(contact, line_coupling=lines, coupling=float(lines.mean()), in_contact=touches, normal=normal)


def mirrored(image: NDArray[np.uint8] | None, settings: FaultSettings) -> NDArray[np.uint8] | None:
    """Return an (H, W) image mirrored left to right, if that fault is set."""
    return np.ascontiguousarray(image[:, ::-1]) if settings.fault_flip and image is not None else image


@lru_cache(maxsize=4)
def live_lines(seed: int, lines: int, share: float) -> NDArray[np.float32]:
    """Return (lines,) 1, or 0 for the fraction of dead lines that the seed picks."""
    alive = np.ones(lines, np.float32)
    alive[_random(seed, 3).permutation(lines)[: round(share * lines)]] = 0
    return alive


@lru_cache(maxsize=4)
def gel_coverage(seed: int, lines: int, share: float) -> NDArray[np.float32]:
    """Return (lines,) 1 where there is gel, 0 in patches over a fraction of the face, with soft edges."""
    if share == 0:
        return np.ones(lines, np.float32)
    from scipy.ndimage import gaussian_filter1d  # not for all who only read the settings

    height = gaussian_filter1d(_random(seed, 4).standard_normal(lines), PATCH * lines, mode="reflect")
    rank = height.argsort().argsort() + 0.5  # the lowest lines run dry first
    return np.clip((rank - share * lines) / (EDGE * lines) + 0.5, 0, 1).astype(np.float32) * np.float32(share < 1)

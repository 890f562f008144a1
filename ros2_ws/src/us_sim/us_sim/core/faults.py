"""Fault injection: latency, jitter, dropped frames, calibration error, flipped images, dead elements, gel loss.

Every fault is a function of the seed and, where it changes from frame to frame, of the stamp: a recording of poses
meets the same faults again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from us_sim.core.config import check_ranges, setting
from us_sim.core.contact.contact import Contact
from us_sim.core.geometry.transforms import Matrix, rigid

PATCH = 0.06  # of the face: standard deviation that gel's patches are smoothed with
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
    """Return by how much the frame of a stamp, ns, comes late, s."""
    if settings.fault_jitter == 0:
        return settings.fault_latency
    return settings.fault_latency + settings.fault_jitter * float(_random(seed, 0, stamp).random())


def is_lost(settings: FaultSettings, seed: int, stamp: int) -> bool:
    """Return whether the frame of a stamp, ns, is lost."""
    return settings.fault_drop > 0 and bool(_random(seed, 1, stamp).random() < settings.fault_drop)


@lru_cache(maxsize=4)
def calibration_error(seed: int, distance: float, angle: float) -> Matrix:
    """Return `told_from_actual`, (4, 4): where the probe is in the frame in which its pose puts it.

    Args:
        seed: gives the direction of the way and the axis of the turn.
        distance: length of the way, mm.
        angle: of the turn, rad.
    """
    way, axis = _random(seed, 2).standard_normal((2, 3))
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross  # Rodrigues
    return rigid(turn, distance * way / np.linalg.norm(way))


def misplaced(settings: FaultSettings, seed: int, ct_from_told: Matrix) -> Matrix:
    """Return where the probe is, (4, 4), when its pose says `ct_from_told`."""
    if settings.fault_position == 0 and settings.fault_angle == 0:
        return ct_from_told
    return ct_from_told @ calibration_error(seed, settings.fault_position, settings.fault_angle)


def lines_left(settings: FaultSettings, seed: int, lines: int) -> NDArray[np.float32] | None:
    """Return (lines,) share of its coupling that dead elements and lost gel leave to each scan line; None: all."""
    if settings.fault_dead == 0 and settings.fault_gel == 0:
        return None
    return living_lines(seed, lines, settings.fault_dead) * gel_left(seed, lines, settings.fault_gel)


def dried(contact: Contact, settings: FaultSettings, seed: int) -> Contact:
    """Return the contact where gel is lost; dead elements do not show in it."""
    if settings.fault_gel == 0:
        return contact
    lines = contact.line_coupling * gel_left(seed, len(contact.line_coupling), settings.fault_gel)
    touches = bool(lines.any())
    normal = contact.normal if touches else np.full(3, np.nan)
    return replace(contact, line_coupling=lines, coupling=float(lines.mean()), in_contact=touches, normal=normal)


def flipped(image: NDArray[np.uint8] | None, settings: FaultSettings) -> NDArray[np.uint8] | None:
    """Return an (H, W) image as it is shown: mirrored left to right, if that is the fault."""
    return np.ascontiguousarray(image[:, ::-1]) if settings.fault_flip and image is not None else image


@lru_cache(maxsize=4)
def living_lines(seed: int, lines: int, share: float) -> NDArray[np.float32]:
    """Return (lines,) 1 or, for a share of them that the seed picks, 0: dead."""
    alive = np.ones(lines, np.float32)
    alive[_random(seed, 3).permutation(lines)[: round(share * lines)]] = 0
    return alive


@lru_cache(maxsize=4)
def gel_left(seed: int, lines: int, share: float) -> NDArray[np.float32]:
    """Return (lines,) 1 where there is gel, 0 in patches over a share of the face, soft at their edges."""
    if share == 0:
        return np.ones(lines, np.float32)
    height = gaussian_filter1d(_random(seed, 4).standard_normal(lines), PATCH * lines, mode="reflect")
    rank = height.argsort().argsort() + 0.5  # the lowest lines run dry first
    return np.clip((rank - share * lines) / (EDGE * lines) + 0.5, 0, 1).astype(np.float32) * np.float32(share < 1)

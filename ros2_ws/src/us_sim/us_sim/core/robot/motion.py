# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Motions of the probe over a patient's skin: closed, repeatable, normal to the skin, gently pressed.

All of them work around an acoustic window: the place on the upper belly or right flank from where the default
fan sees most of the liver before bone, lung or gas ends the view. A motion is a loop, sampled at even phases:
the pose after the last one is the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from us_sim.core.compute.grids import classes_at
from us_sim.core.errors import ConfigError
from us_sim.core.geometry.probe import PRESETS, PRESSED
from us_sim.core.geometry.transforms import Matrix, apply, inverse, pose_on_skin, rigid, rotation_from_vector
from us_sim.core.patient.patient import Patient
from us_sim.core.patient.surface import Skin
from us_sim.core.patient.volume import CtVolume
from us_sim.core.tissue import TissueClass

LIGHTLY = 5.0  # mm, while a place is looked for: the tissue is not yet moved out of the way then
FLATTENED = 15.0  # mm, over which the skin's normal is taken, about half a face
SWEEP = (math.radians(14), 20.0)  # half axes of the sweep: around the body, and along it in mm
TILT = math.radians(25)

_OPAQUE = [TissueClass.BONE, TissueClass.GAS, TissueClass.LUNG, TissueClass.BACKGROUND]


def motion(name: str, patient: Patient, count: int) -> NDArray[np.float64]:
    """Return (count, 4, 4) poses `ct_from_probe`, mm, one round of a motion.

    Args:
        name: `liver_sweep`, the probe slides around an ellipse on the skin, transverse to the body;
            `fan_tilt`, it tilts by ±25° about its face, out of its plane; `rotation`, it turns once about its beam.
        patient: whose skin and liver; without a labelled liver, the right upper quarter of the body.
        count: number of poses, at least 1.

    Raises:
        ConfigError: unknown name, or count below 1.
    """
    if name not in MOTIONS:
        raise ConfigError(f"unknown motion {name!r}; expected one of {', '.join(MOTIONS)}")
    if count < 1:
        raise ConfigError(f"count of poses is {count}; expected 1 or more")
    return MOTIONS[name](patient, 2 * math.pi * np.arange(count) / count)


def _liver_sweep(patient: Patient, phases: NDArray[np.float64]) -> NDArray[np.float64]:
    window = acoustic_window(patient)
    around = window.around + SWEEP[0] * np.cos(phases)
    along = window.along + min(SWEEP[1], _room(patient.volume)) * np.sin(phases)
    return np.stack([_on_skin(patient.skin, window.axis, a, z) for a, z in zip(around, along, strict=True)])


def _fan_tilt(patient: Patient, phases: NDArray[np.float64]) -> NDArray[np.float64]:
    return home(patient) @ np.stack([_turn(0, TILT * math.sin(phase)) for phase in phases])


def _rotation(patient: Patient, phases: NDArray[np.float64]) -> NDArray[np.float64]:
    return home(patient) @ np.stack([_turn(2, phase) for phase in phases])


MOTIONS: dict[str, Callable[[Patient, NDArray[np.float64]], NDArray[np.float64]]] = {
    "liver_sweep": _liver_sweep,
    "fan_tilt": _fan_tilt,
    "rotation": _rotation,
}


def _turn(axis: int, angle: float) -> Matrix:
    """Rotation about the probe's x (0), y (1) or z (2), at the middle of its face."""
    return rigid(rotation_from_vector(angle * np.eye(3)[axis]), (0, 0, 0))


# -- where the probe stands -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """A place on the skin: from `axis`, (3,) mm in `ct`, go `along` mm cranial, then out at `around` rad.

    `around` is counted from anterior towards the patient's right.
    """

    axis: NDArray[np.float64]
    around: float
    along: float


def acoustic_window(patient: Patient) -> Window:
    """Return the place on the upper belly or right flank that sees most of the liver, or else of soft tissue."""
    volume, axis = patient.volume, _middle_of_liver(patient.volume)
    low, high = (float(bound[2] - axis[2]) for bound in volume.bounds)
    free = max(0.0, _room(volume) - SWEEP[1])  # the sweep needs its share on both sides
    alongs = np.clip(np.arange(-60.0, 61.0, 10.0), (low + high) / 2 - free, (low + high) / 2 + free)
    arounds = np.radians(np.arange(-32.0, 97.0, 8.0))
    wanted = TissueClass.LIVER if (volume.tissue == TissueClass.LIVER).any() else TissueClass.SOFT
    poses = [[_on_skin(patient.skin, axis, a, z, LIGHTLY) for z in alongs] for a in arounds]
    seen = np.array([[_view(volume, pose, wanted) for pose in row] for row in poses])
    i, k = np.unravel_index(int(gaussian_filter(seen, 1.5, mode="nearest").argmax()), seen.shape)
    return Window(axis, float(arounds[i]), float(alongs[k]))


def _view(volume: CtVolume, ct_from_probe: Matrix, wanted: TissueClass) -> float:
    """Share of the default fan that shows the wanted class, with nothing opaque before it."""
    points = PRESETS["c5_2"].polar_points[6::12, 8::16]
    voxel_from_probe = inverse(volume.ct_from_voxel) @ ct_from_probe
    tissue = classes_at(volume.tissue, apply(voxel_from_probe, points))
    clear = ~np.logical_or.accumulate(np.isin(tissue, _OPAQUE), axis=1)
    return float((clear & (tissue == wanted)).mean())


def _room(volume: CtVolume) -> float:
    """How far from the middle of the CT, mm along the body, a face rests on skin alone, clear of the cuts."""
    low, high = volume.bounds
    return max(0.0, float(high[2] - low[2]) / 2 - FLATTENED)


def _middle_of_liver(volume: CtVolume) -> NDArray[np.float64]:
    """Middle of the liver, (3,) mm in `ct`; without one, of the body's right upper quarter."""
    voxels = np.argwhere(volume.tissue == TissueClass.LIVER)
    if len(voxels):
        return apply(volume.ct_from_voxel, voxels.mean(axis=0))
    body = apply(volume.ct_from_voxel, np.argwhere(volume.tissue[::4, ::4, ::4] > 0) * 4)
    low, high = body.min(axis=0), body.max(axis=0)
    return low + (high - low) * [0.7, 0.5, 0.7]


def home(patient: Patient) -> Matrix:
    """Return a pose to start from, (4, 4) mm: on the acoustic window, square to the skin, gently pressed."""
    window = acoustic_window(patient)
    return _on_skin(patient.skin, window.axis, window.around, window.along)


def _on_skin(skin: Skin, axis: NDArray[np.float64], around: float, along: float, pressed: float = PRESSED) -> Matrix:
    """Pose `pressed` mm in the skin, transverse; left in the image is right on the belly, posterior on the flank."""
    outward = np.array([math.sin(around), math.cos(around), 0.0])
    point = _leave(skin, axis + np.array([0.0, 0.0, along]), outward)
    normal = _flat_normal(skin, point)
    return pose_on_skin(point - pressed * normal, normal, [-math.cos(around), math.sin(around), 0.0])


def _leave(skin: Skin, inside: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Walk from a point in the body along a unit direction to the skin: sphere tracing, then bisection."""
    walked, step = 0.0, 0.0
    while (distance := float(skin.distance_at(inside + walked * direction))) < 0:
        step = max(0.5, -distance)
        walked += step
    low, high = walked - step, walked
    for _ in range(12):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if skin.distance_at(inside + middle * direction) < 0 else (low, middle)
    return inside + high * direction


def _flat_normal(skin: Skin, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Outward normal of the skin flattened over the probe's face."""
    steps = FLATTENED * np.eye(3)
    gradient = skin.distance_at(point + steps) - skin.distance_at(point - steps)
    return gradient / np.linalg.norm(gradient)

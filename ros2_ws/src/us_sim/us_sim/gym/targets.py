# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Where an organ is, and where a probe may start to look for it."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from us_sim.control.admittance import moved
from us_sim.core.errors import ConfigError
from us_sim.core.geometry.transforms import Matrix, apply, pose_on_skin
from us_sim.core.patient.breathing import inspired
from us_sim.core.patient.patient import Patient
from us_sim.core.tissue import TissueClass

Array = NDArray[np.float64]

ACCESSIBLE = math.radians(110.0)  # from anterior: a supine patient lies on the rest
AROUND, ALONG = math.radians(25.0), 40.0  # rad and mm to either side of the organ that an episode may start
TURNED = math.radians(20.0)  # about the beam
PRESSED = 6.0  # mm into the skin at the start
ENDS = 30.0  # mm at either end of the CT where a probe would stand on the cut


@lru_cache(maxsize=16)  # of each patient and organ that episodes take turns with; nobody writes to it
def organ_points(patient: Patient, organ: str) -> Array:
    """Return (N, 3) mm in `ct` of the voxels of an organ, by its class's name; of the kidneys, the right one.

    Raises:
        ConfigError: no class of that name, or the patient has no voxel of it.
    """
    names = {kind.name.lower(): kind for kind in TissueClass}
    if organ not in names:
        raise ConfigError(f"organ is {organ!r}; expected one of {', '.join(names)}")
    volume = patient.volume
    points = apply(volume.ct_from_voxel, np.argwhere(volume.tissue == names[organ]))
    if organ == "kidney":
        low, high = volume.bounds
        points = points[points[:, 0] > (low[0] + high[0]) / 2]
    if not len(points):
        raise ConfigError(f"{patient.name} has no {organ}; take another organ or patient")
    return points


def breathed(patient: Patient, points: Array, amplitude: float, phase: float) -> Array:
    """Return where (N, 3) points of the patient, mm in `ct` at the end of expiration, lie at a phase of the breath."""
    if not amplitude:
        return points
    at_rest = torch.from_numpy(points.astype(np.float32))
    back = patient.mobility.source(at_rest, np.eye(4), amplitude * inspired(phase)).numpy()
    return points + (points - back)


def start_pose(patient: Patient, target: Array, rng: np.random.Generator) -> Matrix:
    """Return a random pose, (4, 4) mm, pressed into the skin near a target, (3,) mm, the image transverse.

    It lies within AROUND and ALONG of the target as seen from the body's axis, never on the patient's back, and is
    turned about its beam by up to TURNED.
    """
    low, high = patient.volume.bounds
    middle = (low + high) / 2
    facing = math.atan2(target[0] - middle[0], target[1] - middle[1])
    around = float(np.clip(facing + rng.uniform(-AROUND, AROUND), -ACCESSIBLE, ACCESSIBLE))
    along = float(np.clip(target[2] + rng.uniform(-ALONG, ALONG), low[2] + ENDS, high[2] - ENDS))
    pose = on_skin(patient, np.array([middle[0], middle[1], along]), around)
    return moved(pose, np.array([0.0, 0.0, PRESSED]), np.array([0.0, 0.0, rng.uniform(-TURNED, TURNED)]), 1.0)


def on_skin(patient: Patient, inside: Array, around: float) -> Matrix:
    """Return the transverse pose, (4, 4) mm, square on the skin in a direction, rad from anterior to the right.

    Raises:
        ConfigError: no skin lies there.
    """
    outward = np.array([math.sin(around), math.cos(around), 0.0])
    ray = inside + np.arange(0.0, 500.0, 0.5)[:, None] * outward
    in_body = np.flatnonzero(patient.skin.distance_at(ray) < 0)
    if not len(in_body):
        raise ConfigError(f"{patient.name} has no skin around {np.round(inside).tolist()} mm; take another patient")
    point = ray[in_body[-1]]
    lateral = [-math.cos(around), math.sin(around), 0.0]
    return pose_on_skin(point, patient.skin.normal_at(point), lateral)

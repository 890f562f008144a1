# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Standard planes of abdominal ultrasound, found in a patient's labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from us_sim.core.compute.grids import classes_at
from us_sim.core.errors import ConfigError
from us_sim.core.geometry.transforms import Matrix, apply, inverse, pose_on_skin
from us_sim.core.patient.detail.landmarks import porta
from us_sim.core.patient.patient import Patient
from us_sim.core.tissue import TissueClass
from us_sim.gym.targets import ACCESSIBLE, PRESSED, organ_points

Array = NDArray[np.float64]

OPAQUE = (TissueClass.BONE, TissueClass.GAS, TissueClass.LUNG)
DIRECTIONS = np.linspace(-ACCESSIBLE, ACCESSIBLE, 45)  # rad from anterior, from which the landmark is looked at


@dataclass(frozen=True, eq=False)
class Plane:
    """A view to be found.

    Attributes:
        landmark: (3,) mm in `ct`, in the middle of the image.
        ct_from_probe: (4, 4) mm, a pose that shows it.
    """

    landmark: Array
    ct_from_probe: Matrix


def standard_plane(patient: Patient, name: str) -> Plane:
    """Return a standard plane of a patient.

    Args:
        patient: with a labelled liver and kidney.
        name: `kidney_long`, the right kidney along its long axis; `portal_bifurcation`, transverse where the portal
            vein enters the liver; `gallbladder_neck`, the gallbladder along its long axis, its neck in the middle.

    Raises:
        ConfigError: unknown name, or the patient does not have what it shows.
    """
    if name not in PLANES:
        raise ConfigError(f"plane is {name!r}; expected one of {', '.join(PLANES)}")
    landmark, axis = PLANES[name](patient)
    return Plane(landmark, _looking_at(patient, landmark, axis))


def _kidney_long(patient: Patient) -> tuple[Array, Array]:
    points = organ_points(patient, "kidney")
    return points.mean(axis=0), _long_axis(points)


def _portal_bifurcation(patient: Patient) -> tuple[Array, Array]:
    liver, vessels = organ_points(patient, "liver"), organ_points(patient, "vessel")
    return porta(liver, vessels), np.array([-1.0, 0.0, 0.0])


def _gallbladder_neck(patient: Patient) -> tuple[Array, Array]:
    liver, points = organ_points(patient, "liver"), _gallbladder(patient)
    axis = _long_axis(points)
    along = (points - points.mean(axis=0)) @ axis
    tips = along <= np.quantile(along, 0.1), along >= np.quantile(along, 0.9)
    ends = [points[tip].mean(axis=0) for tip in tips]
    entry = porta(liver, organ_points(patient, "vessel"))
    return min(ends, key=lambda end: float(np.linalg.norm(end - entry))), axis


PLANES: dict[str, Callable[[Patient], tuple[Array, Array]]] = {
    "kidney_long": _kidney_long,
    "portal_bifurcation": _portal_bifurcation,
    "gallbladder_neck": _gallbladder_neck,
}


def _gallbladder(patient: Patient) -> Array:
    """(N, 3) mm of the fluid that touches the liver most."""
    volume = patient.volume
    parts, count = ndimage.label(volume.tissue == TissueClass.FLUID)
    near = ndimage.binary_dilation(volume.tissue == TissueClass.LIVER, iterations=3)
    touching = np.bincount(parts[near], minlength=count + 1)
    touching[0] = 0
    if not touching.any():
        raise ConfigError(f"{patient.name} has no fluid at its liver to be the gallbladder; take another plane")
    return apply(volume.ct_from_voxel, np.argwhere(parts == touching.argmax()))


def _long_axis(points: Array) -> Array:
    """(3,) unit, the direction in which (N, 3) points spread most, caudal to cranial."""
    _, axes = np.linalg.eigh(np.cov(points.T))
    return axes[:, -1] * (1.0 if axes[2, -1] >= 0 else -1.0)


def _looking_at(patient: Patient, landmark: Array, axis: Array) -> Matrix:
    """The pose on the skin that sees a landmark best, `axis` in its plane: a short way, no gas, lung or bone on it."""
    steps = np.arange(0.0, 400.0, 1.0)[:, None]
    best: tuple[float, Array, Array] | None = None
    for angle in DIRECTIONS:
        outward = np.array([math.sin(angle), math.cos(angle), 0.0])
        if abs(outward @ axis) > 0.9:
            continue
        ray = landmark + steps * outward
        outside = np.flatnonzero(patient.skin.distance_at(ray) > 0)
        if not len(outside):
            continue
        way = ray[: outside[0]]
        classes = classes_at(patient.volume.tissue, apply(inverse(patient.volume.ct_from_voxel), way))
        cost = len(way) + 20.0 * float(np.isin(classes, OPAQUE).sum())
        if best is None or cost < best[0]:
            best = cost, ray[outside[0]] - PRESSED * outward, outward
    if best is None:
        raise ConfigError(f"{patient.name} has no skin that sees {np.round(landmark).tolist()} mm; take another plane")
    return pose_on_skin(best[1], best[2], axis)

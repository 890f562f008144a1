# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Random probe poses of a sonographer: on the skin, towards an organ, varying in tilt, rotation and indentation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix, apply, inverse
from us_sim.core.patient.patient import Patient
from us_sim.core.patient.surface import Skin
from us_sim.core.tissue import TissueClass as T

Array = NDArray[np.float64]
Rng = np.random.Generator

# How often a pose is aimed at a class, where the patient has it.
_AIMS = {T.LIVER: 4.0, T.KIDNEY: 3.0, T.SPLEEN: 2.0, T.PANCREAS: 2.0, T.VESSEL: 1.0, T.FLUID: 1.5, T.SOFT: 1.0}
_OPAQUE = np.isin(np.arange(len(T)), (T.BONE, T.GAS, T.LUNG, T.BACKGROUND))

CANDIDATES = 12  # poses looked at before one is taken
CLEAR = 0.45  # share of the fan that a good pose sees
LIVER = (0.25, 0.60)  # share of the fan that shows liver in a pose of the real frames' kind
DIAPHRAGM = 0.15  # share of the scan lines that end at the lung behind the liver, for it to count as seen
AS_IT_COMES = 0.1  # share of poses that are taken whatever they show: ribs and bowel gas are part of the trade
FLATTENED = 15.0  # mm over which the skin's normal is taken
CUT = 20.0  # mm from the CT's ends within which no probe is placed
STEEPEST = math.radians(35)  # between beam and skin normal
ROUND_THE_BODY = math.radians(115)  # from anterior to either side: the patient lies on the back


@dataclass(frozen=True, eq=False)
class Aims:
    """Where a patient's organs lie, for drawing poses: made once for a patient.

    Attributes:
        patient: whose skin the probe stands on.
        classes: aimed at, and their weights.
        points: (N, 3) mm in `ct`, some voxels of each class.
        centre: (3,) mm in `ct`, middle of the body.
    """

    patient: Patient
    classes: list[T]
    weights: Array
    points: list[Array]
    centre: Array


def aims(patient: Patient, only: T | None = None) -> Aims:
    """Find what poses are aimed at: all organs, or one class; without labels the soft tissue."""
    volume = patient.volume
    low, high = volume.bounds
    step = tuple(slice(None, None, max(1, n // 80)) for n in volume.hu.shape)
    thinned = volume.tissue[step]
    scale = np.array([s.step for s in step])
    wanted = [only] if only is not None else list(_AIMS)
    found: list[tuple[T, Array]] = []
    for tissue_class in wanted:
        points = apply(volume.ct_from_voxel, np.argwhere(thinned == tissue_class) * scale)
        points = points[(points[:, 2] > low[2] + CUT) & (points[:, 2] < high[2] - CUT)]
        if len(points):
            found.append((tissue_class, points))
    if not found:
        points = apply(volume.ct_from_voxel, np.argwhere(thinned > 0) * scale)
        found = [(T.SOFT, points)]
    centre = apply(volume.ct_from_voxel, np.argwhere(thinned > 0).mean(axis=0) * scale)
    weights = np.array([_AIMS[c] for c, _ in found])
    return Aims(patient, [c for c, _ in found], weights / weights.sum(), [p for _, p in found], centre)


def draw_pose(rng: Rng, where: Aims, probe: ProbeGeometry, liver_view: bool = False) -> Matrix:
    """Draw one (4, 4) pose `ct_from_probe`, mm.

    Args:
        rng: decides everything.
        where: from `aims`.
        probe: whose fan has to see something.
        liver_view: a pose of the real frames' kind: 25 to 60 % liver, in half of them with diaphragm.
    """
    as_it_comes, diaphragm = rng.random() < AS_IT_COMES, rng.random() < 0.5
    poses, good = _candidates(rng, where)
    clear, liver, dome = _views(where.patient, probe, poses)
    if liver_view:
        fits = (liver >= LIVER[0]) & (liver <= LIVER[1]) & (not diaphragm or dome >= DIAPHRAGM)
        badness = np.maximum(LIVER[0] - liver, 0) + np.maximum(liver - LIVER[1], 0)
        badness = badness + (0.1 if diaphragm else 0.0) * (dome < DIAPHRAGM)
    else:
        fits, badness = clear >= CLEAR, np.maximum(CLEAR - clear, 0)
        fits = fits | as_it_comes
    badness = np.where(fits, 0, badness) + np.where(good, 0, 10)
    return poses[int(badness.argmin())]


def _candidates(rng: Rng, where: Aims) -> tuple[Matrix, NDArray[np.bool_]]:
    """(CANDIDATES, 4, 4) poses, and whether each stands clear of the CT's ends."""
    skin, n = where.patient.skin, CANDIDATES
    chosen = rng.choice(len(where.classes), n, p=where.weights)
    target = np.stack([where.points[c][rng.integers(len(where.points[c]))] for c in chosen])
    aside = target - where.centre
    around = np.arctan2(aside[:, 0], aside[:, 1]) + rng.normal(0, math.radians(35), n)
    around = np.clip(around, -ROUND_THE_BODY, ROUND_THE_BODY)
    rise = rng.normal(0, math.radians(15), n)
    outward = np.stack([np.sin(around) * np.cos(rise), np.cos(around) * np.cos(rise), np.sin(rise)], axis=-1)
    point = leave(skin, target, outward)
    normal = flat_normal(skin, point)
    beam = _tilted(rng, normal, target - point)
    across = np.stack([-np.cos(around), np.sin(around), np.zeros(n)], axis=-1)
    x = _turned(rng, beam, across)
    pressed = np.clip(rng.normal(5.5, 2.0, n), 0.0, 11.0)
    poses = np.tile(np.eye(4), (n, 1, 1))
    poses[:, :3, :3] = np.stack([x, np.cross(beam, x), beam], axis=-1)
    poses[:, :3, 3] = point - pressed[:, None] * normal
    low, high = where.patient.volume.bounds
    good = (point[:, 2] > low[2] + CUT) & (point[:, 2] < high[2] - CUT) & (np.abs(normal[:, 2]) < 0.8)
    return poses, good


def leave(skin: Skin, inside: Array, direction: Array) -> Array:
    """Walk from (N, 3) points in the body along unit directions to the skin: sphere tracing, then bisection."""
    walked, step = np.zeros(len(inside)), np.zeros(len(inside))

    def distance(way: Array) -> Array:
        return skin.distance_at(inside + way[:, None] * direction)

    while ((depth := distance(walked)) < 0).any():
        step = np.where(depth < 0, np.maximum(1.0, -depth), step)
        walked = walked + np.where(depth < 0, step, 0)
    low, high = walked - step, walked
    for _ in range(8):
        middle = 0.5 * (low + high)
        within = distance(middle) < 0
        low, high = np.where(within, middle, low), np.where(within, high, middle)
    return inside + high[:, None] * direction


def flat_normal(skin: Skin, point: Array) -> Array:
    """Outward (N, 3) normals of the skin flattened over the probe's face."""
    steps = FLATTENED * np.eye(3)
    gradient = skin.distance_at(point[:, None] + steps) - skin.distance_at(point[:, None] - steps)
    return _unit(gradient)


def _tilted(rng: Rng, normal: Array, to_target: Array) -> Array:
    """Beam directions between the skin's normal and the target, a little off, and never too flat on the skin."""
    n = len(normal)
    share = rng.uniform(0, 0.8, n)[:, None]
    wanted = _unit(-normal * (1 - share) + _unit(to_target) * share + rng.normal(0, 0.10, (n, 3)))
    cosine = -(wanted * normal).sum(axis=-1)
    aside = _unit(wanted + cosine[:, None] * normal)
    angle = np.minimum(np.arccos(np.clip(cosine, -1, 1)), STEEPEST)[:, None]
    return -normal * np.cos(angle) + aside * np.sin(angle)


def _turned(rng: Rng, beam: Array, across: Array) -> Array:
    """Image columns: half of the planes transverse, three in ten along the body, the rest anyhow."""
    n = len(beam)
    x = _unit(across - (across * beam).sum(axis=-1, keepdims=True) * beam)
    kind = rng.random(n)
    angle = rng.normal(0, math.radians(12), n) + np.where(kind < 0.5, 0, math.pi / 2)
    angle = np.where(kind < 0.8, angle, rng.uniform(-math.pi, math.pi, n))[:, None]
    return x * np.cos(angle) + np.cross(beam, x) * np.sin(angle)


def _views(patient: Patient, probe: ProbeGeometry, poses: Matrix) -> tuple[Array, Array, Array]:
    """Shares of each fan: clear of bone, gas and lung; liver; scan lines that end at lung behind liver."""
    points = probe.polar_points[:: max(1, probe.scan_lines // 16), :: max(1, probe.samples // 24)]
    volume = patient.volume
    voxel_from_probe = inverse(volume.ct_from_voxel) @ poses
    voxels = np.einsum("bij,lsj->blsi", voxel_from_probe[:, :3, :3], points) + voxel_from_probe[:, None, None, :3, 3]
    voxels = np.rint(voxels).astype(np.intp)
    inside = ((voxels >= 0) & (voxels < volume.tissue.shape)).all(axis=-1)
    i, j, k = np.moveaxis(np.where(inside[..., None], voxels, 0), -1, 0)
    tissue = np.where(inside, volume.tissue[i, j, k], T.BACKGROUND)
    # A line may cross the gel before the skin: air counts as opaque only behind the body's first sample.
    entered = np.logical_or.accumulate(tissue != T.BACKGROUND, axis=-1)
    blocked = np.logical_or.accumulate(_OPAQUE[tissue] & entered, axis=-1)
    clear = entered & ~blocked
    liver = clear & (tissue == T.LIVER)
    first = np.argmax(blocked, axis=-1)
    ends_at = np.take_along_axis(tissue, first[..., None], axis=-1)[..., 0]
    dome = (ends_at == T.LUNG) & blocked.any(axis=-1) & liver.any(axis=-1)
    return clear.mean(axis=(1, 2)), liver.mean(axis=(1, 2)), dome.mean(axis=1)


def _unit(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(length, 1e-12)

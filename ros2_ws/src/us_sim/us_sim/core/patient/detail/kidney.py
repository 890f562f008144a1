# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The kidney's inside: cortex, medullary pyramids with columns between them, and the bright sinus.

A sonographer sees cortex a little darker than liver, pyramids darker still, arcuate vessels as specks between the two,
and in the middle the echogenic fat of the sinus with vessels in it (Rumack, Diagnostic Ultrasound, ch. The kidney).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from us_sim.core.geometry.transforms import apply
from us_sim.core.patient.detail.region import Region
from us_sim.core.patient.detail.tubes import noise, tube_distance
from us_sim.core.tissue import TissueClass as T

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST = 30.0  # ml; smaller pieces of the class are no kidney
CORTEX = 7.0  # mm, half of it to a pyramid's round base
PYRAMIDS = 13
COLUMN = 3.0  # mm, half-width in terms of the distance to the two nearest pyramids
MEDULLA, SPECK, CAPSULE, SINUS = -8.0, 12.0, 6.0, 8.0  # half dB
SINUS_SIZE = (0.52, 0.5, 0.42)  # of the half axes: along, to the hilum, across


class Frame(NamedTuple):
    """A kidney's middle, its axes (columns: along, to the hilum, across) and half axes, mm."""

    middle: Points
    axes: Points
    half: Points


def paint_kidneys(whole: Region, rng: np.random.Generator) -> None:
    """Paint each kidney that the volume holds, in place."""
    if whole.of_class(T.KIDNEY, 0.0) is None:
        return
    parts, _ = ndimage.label(whole.tissue[::2, ::2, ::2] == T.KIDNEY)
    voxel = 8 * float(np.prod(whole.spacing)) / 1000
    for part, box in enumerate(ndimage.find_objects(parts), start=1):
        if box is not None and np.count_nonzero(parts[box] == part) * voxel > LEAST:
            low, high = np.array([[s.start, s.stop] for s in box]).T * 2
            _paint_kidney(whole.around(low, high, 4.0), rng, body_middle(whole))


def body_middle(whole: Region) -> Points:
    """Return (3,) mm in `ct`, the middle of the body."""
    body = np.argwhere(whole.tissue[::16, ::16, ::16] != T.BACKGROUND) * 16.0
    return apply(whole.ct_from_voxel, body.mean(axis=0))


def _paint_kidney(region: Region, rng: np.random.Generator, middle: Points) -> None:
    parts, _ = ndimage.label(region.tissue == T.KIDNEY)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kidney = parts == sizes.argmax()
    places = apply(region.ct_from_voxel, np.moveaxis(np.indices(kidney.shape), 0, -1)).astype(np.float32)
    frame = _frame(places[kidney].astype(float), middle)
    whole = kidney | ndimage.binary_closing(kidney, iterations=6)
    depth = ndimage.distance_transform_edt(np.pad(whole, 1), sampling=region.spacing)[1:-1, 1:-1, 1:-1]
    sinus = _sinus(region, places, frame)
    _paint_parenchyma(region, kidney & (sinus > 0), depth, sinus, places, rng)
    _paint_sinus(region, kidney, sinus, frame, rng)


def _frame(places: Points, middle: Points) -> Frame:
    """Return the axes of a kidney of which (N, 3) places are known, the hilum towards the body's middle."""
    centre = places.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((places - centre)[::7].T))
    along = vectors[:, 2]
    hilum = middle - centre
    hilum = hilum * [1, 0.6, 0]  # medial, and a little to the front
    hilum += np.array([0, 0.25 * np.linalg.norm(hilum), 0])
    hilum -= along * (hilum @ along)
    hilum /= np.linalg.norm(hilum)
    axes = np.stack([along, hilum, np.cross(along, hilum)], axis=1)
    spread = np.quantile(np.abs((places - centre) @ axes), 0.98, axis=0)
    return Frame(centre, axes, spread)


def _sinus(region: Region, places: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """Return (I, J, K), below 0 inside the sinus and about mm outside: an ellipsoid with a ragged outline."""
    centre = frame.middle + 0.32 * frame.half[1] * frame.axes[:, 1]
    size = np.array(SINUS_SIZE) * frame.half
    scaled = ((places - centre.astype(np.float32)) @ frame.axes.astype(np.float32)) / size.astype(np.float32)
    ragged = 0.16 * noise(np.ones(places.shape[:3], dtype=bool), region.ct_from_voxel, 11.0, 5)
    return ((np.linalg.norm(scaled, axis=-1) - 1 + ragged) * size.min()).astype(np.float32)


def _paint_parenchyma(
    region: Region, solid: Mask, depth: Points, sinus: NDArray[np.float32], places: NDArray[np.float32],
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Paint pyramids into what lies under the cortex: cells around points on a shell, columns of cortex between."""
    shell = solid & (np.abs(depth - CORTEX - 3) < 1.0) & (sinus > 0.5)
    if np.count_nonzero(shell) < PYRAMIDS:
        return
    centres = _spread(places[shell].astype(float), PYRAMIDS, rng)
    under = solid & (depth > 0.5 * CORTEX) & (sinus > 0.3)
    away, _ = cKDTree(centres).query(places[under], k=2)
    apart = away[:, 1] - away[:, 0]
    bulge = CORTEX - 2.5 * np.clip(apart / 12, 0, 1)  # a pyramid's base is round
    into, beside = depth[under] - bulge, apart - COLUMN
    inside = np.clip(np.minimum(into, beside), -0.5, 1) * (2 / 3) + 1 / 3
    echo = MEDULLA * inside
    arcuate = (np.abs(into) < 0.8) & (beside > 0) & (noise_at_points(region, under) > 0.9)
    echo[arcuate] = SPECK
    region.add_echo(under, echo.astype(np.float32))
    region.add_echo(solid & (depth < 1.01 * float(region.spacing.max())), CAPSULE)


def noise_at_points(region: Region, where: Mask) -> NDArray[np.float32]:
    """Return (N,) noise of 4 mm at the chosen voxels."""
    return noise(where, region.ct_from_voxel, 4.0, 7)[where]


def _spread(points: Points, count: int, rng: np.random.Generator) -> Points:
    """Return `count` of the points, each as far as can be from those before (Gonzalez 1985)."""
    chosen = [int(rng.integers(len(points)))]
    away = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < count:
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return points[chosen]


def _paint_sinus(
    region: Region, kidney: Mask, sinus: NDArray[np.float32], frame: Frame, rng: np.random.Generator
) -> None:
    """Paint the sinus' fat where the CT shows kidney, and vessels in it; what is there already gets its echo alone."""
    inside = sinus < 0
    known = inside & np.isin(region.tissue, (T.FAT, T.FLUID, T.VESSEL))
    drawn = np.count_nonzero(known) < 0.4 * np.count_nonzero(inside)
    if drawn:
        region.tissue[inside & kidney] = T.FAT
    fat = inside & (region.tissue == T.FAT)
    region.add_echo(fat, SINUS + 6.0 * noise(fat, region.ct_from_voxel, 5.0, 9)[fat])
    if not drawn:
        return
    along, hilum, across = frame.axes.T
    gate = frame.middle + 0.9 * frame.half[1] * hilum
    way = rng.uniform(-0.5, 0.5, 7)
    ends = frame.middle + np.outer(way * frame.half[0], along)
    ends += np.outer(rng.uniform(-0.3, 0.1, 7) * frame.half[1], hilum)
    ends += np.outer(rng.uniform(-0.35, 0.35, 7) * frame.half[2], across)
    segments = np.broadcast_to(gate, ends.shape), ends, np.full(7, 1.6), np.full(7, 0.9)
    region.paint_vessels(tube_distance(sinus.shape, region.ct_from_voxel, segments, 1.0), fat)

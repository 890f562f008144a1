# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A procedural abdomen: from a seed to a CT with a tissue class for every voxel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us_sim.core.errors import ConfigError
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.borders import UNKNOWN, fill_borders
from us_sim.core.patient.detail.apply import detailed
from us_sim.core.patient.phantom.chest import paint_heart, paint_lungs, paint_ribs
from us_sim.core.patient.phantom.gut import paint_colon, paint_small_bowel, paint_stomach
from us_sim.core.patient.phantom.organs import (
    paint_gallbladder,
    paint_kidney,
    paint_liver,
    paint_pancreas,
    paint_spleen,
    visceral_surface,
)
from us_sim.core.patient.phantom.shapes import WARP_LIMIT, Canvas, Field, Points
from us_sim.core.patient.phantom.spine import paint_back, paint_spine
from us_sim.core.patient.phantom.texture import scanned, smooth_noise
from us_sim.core.patient.phantom.vessels import Course, paint_arcades, paint_great_vessels, paint_liver_vessels
from us_sim.core.patient.phantom.wall import Build, paint_wall
from us_sim.core.patient.volume import AIR_HU, CtVolume, content_hash
from us_sim.core.tissue import TissueClass as T

_SPACING = 1.5  # mm
_LENGTH = 300.0  # mm from the lowest to the highest slice
_MARGIN = 8.0  # mm of air around the skin

# Mean HU in the portal venous phase, and how far a patient may lie from it.
_LEVELS = {
    T.BACKGROUND: (AIR_HU, 0), T.LIVER: (108, 10), T.KIDNEY: (175, 15), T.SPLEEN: (120, 10),
    T.PANCREAS: (92, 10), T.VESSEL: (160, 12), T.FLUID: (8, 5), T.BONE: (300, 40), T.GAS: (-960, 10),
    T.LUNG: (-840, 30), T.FAT: (-100, 8), T.MUSCLE: (58, 6), T.SKIN: (60, 10), T.SOFT: (45, 6),
}  # fmt: skip


def phantom(seed: int = 0, detail: bool = False) -> CtVolume:
    """Return a synthetic supine patient: 1.5 mm voxels, RAS+, the origin before the first lumbar vertebra.

    The anatomy is written once as a reference, painted in an order in which later parts cover earlier ones.
    A patient is that reference scaled and smoothly bent, with each organ's size and place drawn from the
    seed, seen in the portal venous phase. The same seed gives the same patient. With `detail` finer vessels, walls and
    layers are drawn into the organs, as `detail.apply` does it.

    Raises:
        ConfigError: a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"the phantom's seed is {seed}; expected 0 or more")
    rng = np.random.default_rng(seed)
    build = Build(
        scale=rng.uniform([0.95, 0.95, 0.95], [1.1, 1.1, 1.05]),
        fat=rng.triangular(5, 12, 30),
        muscle=rng.uniform(0.85, 1.12),
    )
    x, y, z = axes = _axes(build)
    canvas = _air(build, axes, rng)
    cavity = paint_wall(canvas, build, x, y, z)
    gut, courses = _paint_inside(canvas, cavity, rng)
    ct_from_voxel = np.diag([_SPACING, _SPACING, _SPACING, 1.0])
    ct_from_voxel[:3, 3] = x[0], y[0], z[0]
    echo, border = None, canvas.border
    if detail:
        echo, border = _paint_detail(canvas, build, ct_from_voxel, gut, courses, seed)
    else:
        fill_borders(canvas.tissue, border)
    hu = scanned(rng, canvas.hu, canvas.tissue)
    sha256 = content_hash(hu, canvas.tissue, ct_from_voxel, echo, border)
    return CtVolume(hu, canvas.tissue, ct_from_voxel, f"phantom-{seed}", sha256, echo=echo, border=border)


def _paint_detail(
    canvas: Canvas, build: Build, ct_from_voxel: Matrix, gut: NDArray[np.bool_],
    courses: tuple[list[Course], list[Course]], seed: int,
) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:  # fmt: skip
    """Paint what is finer than the reference anatomy into the voxels as they are; return their echo and borders."""
    veins, portal = ([(_in_ct(canvas, build, path), radii) for path, radii in tree] for tree in courses)
    fine = detailed(
        canvas.hu, canvas.tissue, ct_from_voxel, gut, seed, (veins, portal), (1, 1, 1), border=canvas.border
    )
    changed = fine.tissue != canvas.tissue
    levels = np.array([canvas.levels[c] for c in T], dtype=np.int16)
    canvas.hu[changed] = levels[fine.tissue[changed]]
    canvas.tissue[:] = fine.tissue
    return fine.echo, fine.border


def _in_ct(canvas: Canvas, build: Build, points: Points) -> Points:
    """Return (N, 3) places of the reference anatomy, mm, where this patient has them in `ct`."""
    places = points
    for _ in range(4):  # the bend is gentle: what it adds changes little over what it moves
        index = [np.abs(axis[None] - p[:, None]).argmin(axis=1) for axis, p in zip(canvas.axes, places.T, strict=True)]
        places = points - canvas.warp[:, index[0], index[1], index[2]].T
    return places * build.scale


def _axes(build: Build) -> tuple[Points, Points, Points]:
    """Return the voxel centres along x, y, z in mm: skin and margin fit in."""
    z = np.arange(_LENGTH / _SPACING) * _SPACING - _LENGTH / 2
    side, front, back = np.ceil((build.half_axes(z, "skin").max(axis=1) + _MARGIN) / _SPACING)
    return np.arange(-side, side + 1) * _SPACING, np.arange(-back, front + 1) * _SPACING, z


def _air(build: Build, axes: tuple[Points, Points, Points], rng: np.random.Generator) -> Canvas:
    """Return a canvas of nothing but air, its anatomy bent by waves of 90 and 30 mm."""
    shape = (len(axes[0]), len(axes[1]), len(axes[2]))
    warp = np.empty((3, *shape), dtype=np.float32)
    for part in warp:
        part[:] = 2.2 * smooth_noise(rng, shape, 90 / _SPACING)
        part += 1.0 * smooth_noise(rng, shape, 30 / _SPACING)
    np.clip(warp, -WARP_LIMIT, WARP_LIMIT, out=warp)
    levels = {c: round(mean + rng.uniform(-spread, spread)) for c, (mean, spread) in _LEVELS.items()}
    x, y, z = ((axis / scale).astype(np.float32) for axis, scale in zip(axes, build.scale, strict=True))
    tissue, hu, border = np.zeros(shape, np.uint8), np.full(shape, AIR_HU, np.int16), np.full(shape, UNKNOWN, np.uint8)
    return Canvas((x, y, z), warp, tissue, hu, border, levels)


def _paint_inside(
    canvas: Canvas, cavity: Field, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], tuple[list[Course], list[Course]]]:
    """Paint all that lies inside the wall, and the ribs in it; return where gut is, and the liver's vessels."""
    roof = paint_lungs(canvas, cavity, rng)
    floor = visceral_surface(rng)
    paint_liver(canvas, roof, cavity, floor, rng)
    paint_spleen(canvas, roof, cavity, rng)
    before = canvas.tissue.copy()
    paint_stomach(canvas, roof, cavity, rng)
    gut = canvas.tissue != before
    paint_gallbladder(canvas, floor, rng)
    paint_back(canvas, rng)
    for side in (1, -1):
        paint_kidney(canvas, side, rng)
    paint_pancreas(canvas, rng)
    paint_heart(canvas, rng)
    paint_great_vessels(canvas, rng)
    courses = paint_liver_vessels(canvas, floor, rng)
    before = canvas.tissue.copy()
    paint_colon(canvas, rng)
    paint_small_bowel(canvas, rng)
    gut |= canvas.tissue != before
    paint_arcades(canvas, rng)
    paint_ribs(canvas, cavity, rng)
    paint_spine(canvas, rng)
    return gut & np.isin(canvas.tissue, (T.SOFT, T.GAS, T.FLUID)), courses

"""A procedural abdomen: from a seed to a CT with a tissue class for every voxel."""

from __future__ import annotations

import numpy as np

from us_sim.core.errors import ConfigError
from us_sim.core.patient.labels import content_hash
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
from us_sim.core.patient.phantom.vessels import paint_arcades, paint_great_vessels, paint_liver_vessels
from us_sim.core.patient.phantom.wall import Build, paint_wall
from us_sim.core.patient.volume import AIR_HU, CtVolume
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


def phantom(seed: int = 0) -> CtVolume:
    """Return a made-up patient on the back: 1.5 mm voxels, RAS+, the origin before the first lumbar vertebra.

    The anatomy is written once as a reference, painted in an order in which later parts cover earlier ones.
    A patient is that reference scaled and smoothly bent, with each organ's size and place drawn from the
    seed, seen in the portal venous phase. The same seed gives the same patient.

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
    _paint_inside(canvas, cavity, rng)
    hu = scanned(rng, canvas.hu, canvas.tissue)
    ct_from_voxel = np.diag([_SPACING, _SPACING, _SPACING, 1.0])
    ct_from_voxel[:3, 3] = x[0], y[0], z[0]
    sha256 = content_hash(hu, canvas.tissue, ct_from_voxel)
    return CtVolume(hu, canvas.tissue, ct_from_voxel, f"phantom-{seed}", sha256)


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
    return Canvas((x, y, z), warp, np.zeros(shape, np.uint8), np.full(shape, AIR_HU, np.int16), levels)


def _paint_inside(canvas: Canvas, cavity: Field, rng: np.random.Generator) -> None:
    """Paint all that lies inside the wall, and the ribs in it."""
    roof = paint_lungs(canvas, cavity, rng)
    floor = visceral_surface(rng)
    paint_liver(canvas, roof, cavity, floor, rng)
    paint_spleen(canvas, roof, cavity, rng)
    paint_stomach(canvas, roof, cavity, rng)
    paint_gallbladder(canvas, floor, rng)
    paint_back(canvas, rng)
    for side in (1, -1):
        paint_kidney(canvas, side, rng)
    paint_pancreas(canvas, rng)
    paint_heart(canvas, rng)
    paint_great_vessels(canvas, rng)
    paint_liver_vessels(canvas, floor, rng)
    paint_colon(canvas, rng)
    paint_small_bowel(canvas, rng)
    paint_arcades(canvas, rng)
    paint_ribs(canvas, cavity, rng)
    paint_spine(canvas, rng)

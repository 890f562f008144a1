"""Probe positions for an organ: candidates on the skin around it, rated by what their frames show."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.tissue import TissueClass
from us_sim.viewer.placement import Placement
from us_sim.viewer.skin_mesh import SkinMesh

AROUND = np.radians(np.linspace(-105.0, 105.0, 12))  # from anterior towards the patient's right; not from the table
ALONG = (-60.0, -30.0, 0.0, 30.0, 60.0)  # mm cranial of the organ
FAR = 2000.0  # mm, outside of every patient
OPAQUE = [TissueClass.BONE, TissueClass.GAS, TissueClass.LUNG, TissueClass.BACKGROUND]


def candidates(skin: SkinMesh, middle: ArrayLike) -> list[Placement]:
    """Return at most 60 placements on the skin around an organ whose middle, (3,) mm in `ct`, is given."""
    placements = []
    for along in ALONG:
        inside = np.asarray(middle, dtype=np.float64) + np.array([0.0, 0.0, along])
        for around in AROUND:
            outward = np.array([math.sin(around), math.cos(around), 0.0])
            point = skin.hit(inside + FAR * outward, -outward)
            if point is not None:
                placements.append(Placement(point))
    return placements


def share_seen(labels: NDArray[np.uint8], probe: ProbeGeometry, organ: int) -> float:
    """Return the share of a fan, from (H, W) labels, that shows an organ with nothing opaque before it."""
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    points = probe.polar_points[2::4, 2::4].astype(np.float64)
    column = np.clip(np.rint((points[..., 0] - x0) / dx).astype(int), 0, probe.width - 1)
    row = np.clip(np.rint((points[..., 2] - z0) / dz).astype(int), 0, probe.height - 1)
    tissue = labels[row, column]
    clear = ~np.logical_or.accumulate(np.isin(tissue, OPAQUE), axis=1)
    return float((clear & (tissue == organ)).mean())

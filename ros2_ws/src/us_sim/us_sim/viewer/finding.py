# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Probe positions for an organ: candidates on the skin around it, rated by what their frames show."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix, apply
from us_sim.viewer.pictures import STRIDE, Pixels, coupled_samples, tissue_of_samples
from us_sim.viewer.placement import Placement
from us_sim.viewer.skin_mesh import Array, SkinMesh

AROUND = np.radians(np.linspace(-105.0, 105.0, 12))  # from anterior towards the patient's right; not from the table
ALONG = (-60.0, -30.0, 0.0, 30.0, 60.0)  # mm cranial of the organ
FAR = 2000.0  # mm, outside of every patient


@dataclass(frozen=True, eq=False)
class Box:
    """A box in `ct`, mm, and the (4, 4) pose from which it is looked at."""

    low: Array
    high: Array
    ct_from_probe: Matrix


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


def share_seen(
    labels: Pixels, coupling: ArrayLike, probe: ProbeGeometry, organ: int, within: Box | None = None
) -> float:
    """Return the share of a fan that shows an organ: on coupled scan lines, with nothing opaque before it.

    Args:
        labels: (H, W) classes.
        coupling: (L,) of the scan lines, 0 to 1.
        probe: whose frame it is.
        organ: class.
        within: only what lies in a box counts: one of two kidneys.
    """
    seen = coupled_samples(labels, probe, coupling) & (tissue_of_samples(labels, probe) == organ)
    if within is not None:
        points = apply(within.ct_from_probe, probe.polar_points[:, STRIDE // 2 :: STRIDE].astype(np.float64))
        seen &= ((points >= within.low) & (points <= within.high)).all(axis=-1)
    return float(seen.mean())

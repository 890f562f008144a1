# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Contact of probe and skin: which scan lines are coupled, how deep the face is pressed in, and where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import apply
from us_sim.core.patient.surface import Skin

COUPLED_GAP = 2.0  # mm of gap that gel fills: a scan line crosses it without loss
AIR_GAP = 5.0  # mm of gap from which on air uncouples a scan line


@dataclass(frozen=True, eq=False)
class Contact:
    """How the probe touches the skin.

    Attributes:
        in_contact: at least one scan line is coupled.
        coupling: mean of `line_coupling`.
        line_coupling: (L,) float32, 0 uncoupled to 1 coupled.
        line_distance: (L,) float64 mm from the skin to where the line leaves the face, negative below it.
        penetration: mm of the face below the skin at its deepest line, at least 0.
        point: (3,) deepest, or without contact nearest, point of the face, mm in `probe`.
        normal: (3,) unit skin normal under the face, out of the body, in `probe`; NaN without contact. It is the mean
            over the coupled lines, weighted with how far each lies below AIR_GAP: that of the deepest line alone
            jumps where two lines are equally deep, and a controller that follows it never rests.
    """

    in_contact: bool
    coupling: float
    line_coupling: NDArray[np.float32]
    line_distance: NDArray[np.float64]
    penetration: float
    point: NDArray[np.float64]
    normal: NDArray[np.float64]


def contact(skin: Skin, probe: ProbeGeometry, ct_from_probe: ArrayLike) -> Contact:
    """Return the contact of a probe at one pose, (4, 4) rigid, mm.

    A line is coupled while its gap is at most COUPLED_GAP; beyond, coupling falls linearly to 0 at AIR_GAP. A line
    that points out of the body is not coupled, however deep its origin lies. So every pose has an answer: far
    away nothing is coupled, and deep inside the body the lines that run away from the nearest skin are.
    """
    pose = np.asarray(ct_from_probe, dtype=np.float64)
    origins = apply(pose, probe.line_origins)
    distance = skin.distance_at(origins)
    normals = skin.normal_at(origins) @ pose[:3, :3]  # rows in probe
    inward = (normals * probe.line_directions).sum(axis=-1) < 0
    by_gap = np.clip((AIR_GAP - distance) / (AIR_GAP - COUPLED_GAP), 0.0, 1.0)
    line_coupling = np.where(inward, by_gap, 0.0).astype(np.float32)
    nearest = int(distance.argmin())
    in_contact = bool(line_coupling.any())
    mean = np.where(inward, np.clip(AIR_GAP - distance, 0.0, None), 0.0) @ normals
    return Contact(
        in_contact=in_contact,
        coupling=float(line_coupling.mean(dtype=np.float64)),
        line_coupling=line_coupling,
        line_distance=distance,
        penetration=max(0.0, -float(distance[nearest])),
        point=probe.line_origins[nearest].copy(),
        normal=mean / max(float(np.linalg.norm(mean)), 1e-12) if in_contact else np.full(3, np.nan),
    )

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The probe as one holds it, for the 3-D views: its face, a neck, a grip."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from us_sim.core.geometry.probe import ProbeGeometry

if TYPE_CHECKING:
    import trimesh

NECK, GRIP, BUTT = -34.0, -60.0, -125.0  # z of the sections, mm in `probe`
THICKNESS = 18.0  # of the head, along elevation, mm
FACETS, CORNERS = 12, 16  # of the face, and of a section: few, as rviz gets the triangles with each frame


@lru_cache(maxsize=4)
def housing(probe: ProbeGeometry) -> trimesh.Trimesh:
    """Return the outer surface of a transducer with this face, mm in `probe`; one skin, without inner walls."""
    import trimesh

    lines = np.linspace(0, probe.scan_lines - 1, FACETS + 1).round().astype(int)
    face = probe.line_origins[lines]
    width = float(face[:, 0].max() - face[:, 0].min())
    front = np.concatenate([face + np.array([0.0, y, 0.0]) for y in (-0.5 * THICKNESS, 0.5 * THICKNESS)])
    shoulder, grip = _oval(max(0.46 * width, 12.0), 11.0, NECK), _oval(15.0, 11.0, GRIP)
    sections = (front, shoulder), (shoulder, grip), (grip, _oval(12.0, 10.0, BUTT))
    parts = [trimesh.Trimesh(np.concatenate(ends)).convex_hull for ends in sections]
    body = trimesh.util.concatenate(parts)
    heights = body.triangles[:, :, 2]
    walls = [np.isclose(heights, z).all(axis=1) for z in (NECK, GRIP)]
    body.update_faces(~np.any(walls, axis=0))
    body.merge_vertices()
    return body


def _oval(half_width: float, half_height: float, z: float) -> NDArray[np.float64]:
    angles = np.linspace(0.0, 2 * math.pi, CORNERS, endpoint=False)
    return np.stack([half_width * np.cos(angles), half_height * np.sin(angles), np.full(CORNERS, z)], axis=-1)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The spleen's vessels, which fan out from the hilum and are seen only near it."""

from __future__ import annotations

import numpy as np

from us_sim.core.patient.detail.kidney import body_middle
from us_sim.core.patient.detail.region import Region, scattered, solid
from us_sim.core.patient.detail.trees import Tree, grown, leaves, murray, smoothed
from us_sim.core.patient.detail.tubes import tube_distance
from us_sim.core.tissue import TissueClass as T

LEAST = 40.0  # ml
NEAR = 32.0  # mm from the hilum, as far as vessels are wide enough to be seen
ROOT, END = 2.6, (0.8, 1.3)  # mm
WALL = 8.0  # half dB


def paint_spleen(whole: Region, rng: np.random.Generator) -> None:
    """Paint vessels into the spleen, in place."""
    region = whole.of_class(T.SPLEEN, 4.0)
    if region is None:
        return
    organ = solid(region, region.tissue == T.SPLEEN)
    if len(organ.points) * 0.027 < LEAST:
        return
    centre = organ.points.mean(axis=0)
    level = organ.points[np.abs(organ.points[:, 2] - centre[2]) < 12]
    medial = np.sign(body_middle(whole)[0] - centre[0])
    hilum = level[np.argmax(medial * level[:, 0] + 0.4 * level[:, 1])]
    wanting = scattered(organ, 9.0, 4.0, rng)
    wanting = wanting[np.linalg.norm(wanting - hilum, axis=1) < NEAR]
    points, parent = grown(hilum[None], np.array([-1]), wanting, lambda p: organ.inside(p, 2.0), 4.0)
    if len(points) < 3:
        return
    radius = murray(parent, float(np.clip(ROOT / np.cbrt(leaves(parent)), *END)))
    tree = Tree(smoothed(points, parent, 1), parent, radius)
    distance = tube_distance(region.tissue.shape, region.ct_from_voxel, tree.segments(), 2.0)
    spleen = region.tissue == T.SPLEEN
    region.add_echo(spleen & (distance < 0.8), WALL)
    lumen = spleen & (distance < 0)
    region.tissue[lumen] = T.VESSEL
    region.echo[lumen] = 0

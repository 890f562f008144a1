# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Where the liver's veins leave and its portal vein enters, from the vessels that are known or from its shape.

Axes of `ct`: x to the patient's right, y to the front, z to the head.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

Points = NDArray[np.float64]

NEAR = 14.0  # mm from the liver within which a large vessel counts as its own
COLUMN = 6.0  # mm, cells in which upright vessels are looked for
LONG = 0.45  # of the liver's height over which the vena cava has to be seen
WIDE = 16.0  # mm from the middle of the vena cava to what may be another vessel


def confluence(liver: Points, vessels: Points) -> Points:
    """Return (3,) mm, where the hepatic veins meet: in the vena cava under the dome.

    Args:
        liver: (N, 3) mm, places inside.
        vessels: (M, 3) mm of known vessels; empty if there are none.
    """
    low, high = liver[:, 2].min(), liver[:, 2].max()
    cava = _cava(liver, vessels)
    if len(cava):
        level = min(cava[:, 2].max(), high - 0.12 * (high - low))
        return cava[np.abs(cava[:, 2] - level) < 6].mean(axis=0)
    upper = liver[liver[:, 2] > high - 0.35 * (high - low)]
    medial, back = np.quantile(upper[:, 0], 0.45), np.quantile(upper[:, 1], 0.1)
    wanted = np.array([medial, back, high - 0.2 * (high - low)])
    return upper[np.linalg.norm(upper - wanted, axis=1).argmin()]


def porta(liver: Points, vessels: Points) -> Points:
    """Return (3,) mm, where the portal vein enters: in the middle of the known vessels at the liver but the cava."""
    cava = _cava(liver, vessels)
    if len(cava):
        others = vessels[cKDTree(cava).query(vessels)[0] > WIDE / 2]
        low, high = liver[:, 2].min(), liver[:, 2].max()
        others = others[(others[:, 2] > low + 0.15 * (high - low)) & (others[:, 2] < high - 0.25 * (high - low))]
        others = others[cKDTree(liver).query(others)[0] < NEAR / 2] if len(others) else others
        if len(others):
            return others[np.linalg.norm(others - np.median(others, axis=0), axis=1).argmin()]
    low, high = liver.min(axis=0), liver.max(axis=0)
    middle = liver.mean(axis=0)
    wanted = middle + np.array([-0.12, -0.05, -0.22]) * (high - low)
    return liver[np.linalg.norm(liver - wanted, axis=1).argmin()]


def _cava(liver: Points, vessels: Points) -> Points:
    """Return (M, 3) of the vessels that run upright along most of the liver, beside it: the vena cava."""
    low, high = liver.min(axis=0), liver.max(axis=0)
    held = vessels[(vessels[:, 2] > low[2]) & (vessels[:, 2] <= high[2])] if len(vessels) else vessels
    if not len(held):
        return np.empty((0, 3))
    held = held[cKDTree(liver).query(held)[0] < NEAR]
    if not len(held):
        return held
    cells = np.floor((held - held.min(axis=0)) / COLUMN).astype(int)
    seen = np.zeros(cells.max(axis=0) + 1, dtype=bool)
    seen[tuple(cells.T)] = True
    height = ndimage.uniform_filter(seen.sum(axis=2).astype(float), 3, mode="constant")
    filled = ndimage.maximum_filter(seen, size=(3, 3, 1)).sum(axis=2) * COLUMN / (high[2] - low[2])
    height[filled < LONG] = 0
    if not height.any():
        return np.empty((0, 3))
    i, j = np.unravel_index(int(height.argmax()), height.shape)
    middle = held[:, :2].min(axis=0) + (np.array([i, j]) + 0.5) * COLUMN
    return held[np.linalg.norm(held[:, :2] - middle, axis=1) < WIDE]

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Contrast-enhanced blood distinguished from bone without labels: both are bright, but bone has a brighter cortex.

Thick bright regions are looked at one by one. Blood is as bright in its middle as at its rim and dark around it; the
spongy middle of a bone lies in a cortex. Thin vessels follow from what touches the thick ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.grid import coarse_steps, coarsen, grow, refine

_BLOCK = 2.0  # mm, resolution of everything but the vessel's edge
_BRIGHT = 200  # HU of blood with contrast agent in the portal venous phase and before
_EDGE = 130  # HU, half-way between tissue and the faintest blood that is found
_CORE = 4.0  # mm, radius of a ball that fits into a vessel that is found by itself
_LEAST, _SURE = 2e3, 50e3  # mm³ of a core that counts by itself, and of one that only a heart fills
_BRANCH = 1.25  # brightest of a thin vessel over the blood's level; of a rib or vertebra more
_SMALL = 50.0  # mm³ of a core that counts where the blood's level is known
_LEVELS = (200.0, 900.0)  # HU
_RIM, _SHELL = 1.35, 0.9  # brightest of the rim and of the shell over the middle; of bone 1.4 and above
_SPREAD, _SPREAD_SURE = 0.8, 1.6  # 5 to 95 % over the middle; streaks where agent flows in
_HOT, _AROUND = 1.6, 10.0  # over the mean within so many mm: metal and lime, not streaks of agent that flows in


def blood_with_contrast(hu: NDArray[np.int16], ct_from_voxel: Matrix) -> NDArray[np.bool_] | None:
    """Return the (I, J, K) mask of blood brightened by contrast agent; None where there is none.

    Args:
        hu: (I, J, K) Hounsfield units.
        ct_from_voxel: (4, 4), voxel index to mm in `ct`.
    """
    steps = coarse_steps(ct_from_voxel, _BLOCK)
    ct_from_block = ct_from_voxel @ np.diag([*steps, 1.0])
    blocks = coarsen(hu, steps, -1000, 2000)
    sizes = np.linalg.norm(ct_from_block[:3, :3], axis=0)
    smooth = ndimage.gaussian_filter(blocks, 1.0 / sizes)
    radius = max(_CORE, 1.01 * float(sizes.max()))
    bright = smooth > _BRIGHT
    if np.count_nonzero(bright) * sizes.prod() < _LEAST:
        return None
    cores = bright & ~grow(~bright, ct_from_block, radius)
    seeds, level = _seeds(cores, blocks, ct_from_block, radius)
    if level == 0:
        return None
    zone = grow(seeds, ct_from_block, radius) & (smooth > _EDGE)
    zone = grow(zone, ct_from_block, 1.01 * float(sizes.max())) | _thin(zone, smooth, level)
    near = grow(zone, ct_from_block, 1.01 * float(sizes.max()))
    around = ndimage.uniform_filter(blocks, np.maximum(1, np.rint(_AROUND / sizes)).astype(int).tolist())
    hot = _HOT * np.maximum(around, level)
    blood = hu > _EDGE
    for block in range(len(blocks)):  # a plane of blocks after the other: the limits of all voxels take much memory
        part = hu[block * steps[0] : (block + 1) * steps[0]]
        mask, limit = (refine(values[block : block + 1], steps, part.shape) for values in (near, hot))
        blood[block * steps[0] : (block + 1) * steps[0]] &= mask & (part < limit)
    return blood


def _seeds(
    cores: NDArray[np.bool_], blocks: NDArray[np.float32], ct_from_block: Matrix, radius: float
) -> tuple[NDArray[np.bool_], float]:
    """Return the cores that are blood, and the blood's level in HU; 0 where none is."""
    numbered, _ = ndimage.label(cores)
    seeds, levels, weights = np.zeros(cores.shape, dtype=bool), [], []
    small = []
    sizes = np.linalg.norm(ct_from_block[:3, :3], axis=0)
    reach, block = np.ceil(3 * radius / sizes).astype(int), float(sizes.prod())
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        volume = block * np.count_nonzero(numbered[box] == number)
        if volume < _SMALL:
            continue
        wide = tuple(slice(max(0, s.start - r), s.stop + r) for s, r in zip(box, reach, strict=True))
        core = numbered[wide] == number
        middle, likely = _likeness(core, blocks[wide], ct_from_block, radius)
        if likely and volume >= _LEAST:
            seeds[wide] |= core
            levels.append(middle)
            weights.append(volume)
        elif likely:
            small.append((wide, core, middle))
    if not levels:
        return seeds, 0.0
    level = float(np.average(levels, weights=weights))
    for wide, core, middle in small:
        if 0.6 * level < middle < 1.3 * level:
            seeds[wide] |= core
    return seeds, level


def _likeness(
    core: NDArray[np.bool_], blocks: NDArray[np.float32], ct_from_block: Matrix, radius: float
) -> tuple[float, bool]:
    """Return the level in the middle of a core, HU, and whether rim and shell look like those of blood."""
    opened = grow(core, ct_from_block, radius)
    shell = grow(opened, ct_from_block, radius) & ~opened
    volume = np.count_nonzero(core) * abs(np.linalg.det(ct_from_block[:3, :3]))
    low, middle, high = np.percentile(blocks[core], [5, 50, 95])
    rim = np.percentile(blocks[opened & ~core], 90)
    around = np.percentile(blocks[shell], 90) if shell.any() else 0.0
    spread = _SPREAD_SURE if volume >= _SURE else _SPREAD
    likely = rim < _RIM * middle and around < _SHELL * middle and high - low < spread * middle
    return float(middle), bool(likely and _LEVELS[0] <= middle <= _LEVELS[1])


def _thin(zone: NDArray[np.bool_], smooth: NDArray[np.float32], level: float) -> NDArray[np.bool_]:
    """Return what is bright, touches blood, and is nowhere brighter than blood: branches of vessels."""
    rest = (smooth > max(_EDGE, 0.4 * level)) & ~zone
    numbered, count = ndimage.label(rest, np.ones((3, 3, 3)))
    if not count:
        return np.zeros(zone.shape, dtype=bool)
    index = np.arange(1, count + 1)
    touching = ndimage.maximum(ndimage.binary_dilation(zone, np.ones((3, 3, 3))), numbered, index)
    brightest = ndimage.maximum(smooth, numbered, index)
    branch = np.concatenate([[False], (np.asarray(touching) > 0) & (np.asarray(brightest) < _BRANCH * level)])
    return branch[numbered]

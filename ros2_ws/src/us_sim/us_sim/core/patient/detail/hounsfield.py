# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Echogenicity from HU alone, for a CT without labels: fluid, parenchyma and interfaces.

Contrast-enhanced blood is classified before: `patient.contrast` finds it.

The idea is that of Wein et al. 2008 (Med. Image Anal. 12, 577): echogenicity from a window of HU, reflection from its
gradient. Before that the noise is taken off by total variation (Chambolle 2004), which keeps borders. Parenchyma is the
mode of the soft tissue; what lies below (muscle, blood without agent, gut) and what agent has lifted far above it
(renal cortex, veins) scatters less.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.grid import coarse_steps, coarsen
from us_sim.core.tissue import TissueClass as T

Array = NDArray[np.float32]

MOST = 3_000_000  # blocks that are denoised; a finer CT is averaged first
WINDOW = (-200.0, 400.0)  # HU
STRENGTH, ROUNDS = 24.0, 30  # of the denoising, HU
PARENCHYMA = (40, 140)  # HU between which the mode is looked for
FLUID_LEAST = 2.0  # ml
WATER, WIDE = (-10.0, 8.0), 5.0  # HU of fluid, and mm that it measures at least from its middle
FLAT = 2.5  # HU/mm inside tissue, away from its borders
BELOW, ABOVE = 0.4, 0.12  # half dB lost for each HU below and above parenchyma
DARKEST = -14.0  # half dB
BORDER, SLOPE, BRIGHTEST = 5.0, 1.6, 12.0  # HU/mm from which borders echo, half dB for each more, and at most
FATTY = (-30.0, 8.0)  # HU below 0 where soft tissue mixes with fat, and half dB there


class Seen(NamedTuple):
    """Classes (I, J, K) uint8, and echo (I, J, K) int8 in half dB."""

    tissue: NDArray[np.uint8]
    echo: NDArray[np.int8]


def seen_in(hu: NDArray[np.int16], tissue: NDArray[np.uint8], ct_from_voxel: Matrix) -> Seen:
    """Return classes with fluid added, and the echo of soft tissue.

    Args:
        hu: (I, J, K) Hounsfield units.
        tissue: (I, J, K) classes from HU alone, of `tissue_from_hu`.
        ct_from_voxel: (4, 4).
    """
    calm, steps = _denoised(hu, ct_from_voxel)
    spacing = np.linalg.norm(ct_from_voxel[:3, :3], axis=0) * steps
    classes = tissue[:: steps[0], :: steps[1], :: steps[2]].copy()
    even = _slope(calm, spacing) < FLAT
    usual = parenchyma(calm[even & (classes == T.SOFT)])
    classes[_fluid(calm, classes, spacing)] = T.FLUID
    echo = np.where(classes == T.SOFT, _tone(calm, usual, spacing), 0).astype(np.int8)
    fine = [_repeated(part, steps, hu.shape) for part in (classes, echo)]
    new = (fine[0] == T.FLUID) & np.isin(tissue, (T.SOFT, T.BONE, T.FAT))
    return Seen(np.where(new, fine[0], tissue), np.where(tissue == T.SOFT, fine[1], 0).astype(np.int8))


def _denoised(hu: NDArray[np.int16], ct_from_voxel: Matrix) -> tuple[Array, tuple[int, int, int]]:
    """Return HU without noise, on blocks of voxels where there are too many, and the blocks' steps."""
    from skimage.restoration import denoise_tv_chambolle  # and all of scipy.stats

    spacing = np.linalg.norm(ct_from_voxel[:3, :3], axis=0)
    size = max(float(spacing.min()), float(np.cbrt(np.prod(spacing) * hu.size / MOST)))
    steps = coarse_steps(ct_from_voxel, size)
    image = np.clip(coarsen(hu, steps), *WINDOW)
    return denoise_tv_chambolle(image, STRENGTH, max_num_iter=ROUNDS).astype(np.float32), steps


def parenchyma(soft: Array) -> float:
    """Return the mode of soft tissue, HU: the highest of the histogram's humps in PARENCHYMA."""
    counts, edges = np.histogram(soft, bins=np.arange(PARENCHYMA[0], PARENCHYMA[1] + 1, 1))
    smooth = ndimage.gaussian_filter1d(counts.astype(float), 4)
    return float(edges[smooth.argmax()]) if counts.any() else 50.0


def _fluid(calm: Array, classes: NDArray[np.uint8], spacing: NDArray) -> NDArray[np.bool_]:
    """Return where soft tissue has the HU of water over a wide, even region."""
    wet = (calm > WATER[0]) & (calm < WATER[1]) & (classes == T.SOFT)
    deep = ndimage.distance_transform_edt(wet, sampling=spacing) > WIDE
    core = ndimage.binary_dilation(deep, iterations=max(1, round(WIDE / float(spacing.mean()))), mask=wet)
    return _large(core, FLUID_LEAST / float(np.prod(spacing)) * 1000)


def _large(mask: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """Return the connected parts of a mask that have at least so many voxels."""
    parts, _ = ndimage.label(mask)
    keep = np.bincount(parts.ravel()) >= least
    keep[0] = False
    return keep[parts]


def _tone(calm: Array, usual: float, spacing: NDArray) -> Array:
    """Return half dB of soft tissue: most in parenchyma and at borders, and where fat is mixed in."""
    off = calm - usual
    tone = np.maximum(np.where(off < 0, BELOW * off, -ABOVE * off), DARKEST)
    tone = np.where((calm > FATTY[0]) & (calm < 0), FATTY[1], tone)
    border = np.clip(SLOPE * (_slope(calm, spacing) - BORDER), 0, BRIGHTEST)
    return np.rint(tone + border).astype(np.float32)


def _slope(calm: Array, spacing: NDArray) -> Array:
    """Return HU/mm between tissues; gas and bone count as their neighbours do."""
    x, y, z = np.gradient(np.clip(calm, -60, 200), *spacing)
    return np.sqrt(x * x + y * y + z * z)


def _repeated(blocks: NDArray, steps: tuple[int, int, int], shape: tuple[int, ...]) -> NDArray:
    """Return every voxel with its block's value."""
    for axis, step in enumerate(steps):
        if step > 1:
            blocks = np.repeat(blocks, step, axis=axis)
    return blocks[: shape[0], : shape[1], : shape[2]]

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Smooth random fields: the warp that makes shapes natural and the texture and noise of the HU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from us_sim.core.patient.volume import AIR_HU
from us_sim.core.tissue import TissueClass as T

Field = NDArray[np.float32]

# Standard deviation of the texture of a few mm, HU; classes that are missing here have 3.
_TEXTURE = {
    T.BACKGROUND: 0,
    T.LIVER: 5,
    T.KIDNEY: 7,
    T.SPLEEN: 5,
    T.PANCREAS: 12,
    T.VESSEL: 2,
    T.FLUID: 2,
    T.BONE: 50,
    T.GAS: 4,
    T.LUNG: 45,
    T.FAT: 6,
    T.MUSCLE: 10,
    T.SKIN: 12,
    T.SOFT: 8,
}
_BLUR = 0.6  # standard deviation of the scanner's point spread, voxels
_NOISE = 12.0  # standard deviation of the noise left after the point spread, HU


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int, int], wavelength: float) -> Field:
    """Return a field of mean 0 and standard deviation 1 that varies over `wavelength` voxels.

    A cubic B-spline over random control points that lie half a wavelength apart: no border effect, and the
    cost does not grow with the wavelength.
    """
    step = wavelength / 2
    field = rng.standard_normal([int(np.ceil(n / step)) + 4 for n in shape], dtype=np.float32)
    for axis in (2, 1, 0):  # the longest pass last, along the slowest axis: it copies whole slabs
        field = _refine(field, axis, shape[axis], step)
    return field / np.float32((151 / 315) ** 1.5)  # the mean sum of squared weights along one axis is 151/315


def _refine(control: Field, axis: int, count: int, step: float) -> Field:
    """Evaluate a uniform cubic B-spline at `count` voxels along one axis."""
    position = np.arange(count) / step
    first = position.astype(np.intp)
    t = position - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    shape = [1, 1, 1]
    shape[axis] = count
    terms = (
        np.take(control, first + j, axis=axis) * weight.astype(np.float32).reshape(shape)
        for j, weight in enumerate(weights)
    )
    result = next(terms)
    for term in terms:
        result += term
    return result


def scanned(rng: np.random.Generator, hu: NDArray[np.int16], tissue: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return the HU (I, J, K) as a scanner shows them: texture, noise, and borders blurred over a voxel."""
    amplitude = np.array([_TEXTURE[c] for c in T], dtype=np.float32)[tissue]
    image = smooth_noise(rng, hu.shape, 5.0)
    image *= amplitude
    image += hu
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    kernel = np.exp(-0.5 * (np.arange(-2, 3) / _BLUR) ** 2)
    kept = float((kernel**2).sum() / kernel.sum() ** 2) ** 1.5  # of the noise's standard deviation
    noise *= _NOISE / kept
    image += noise
    image = gaussian_filter(image, _BLUR, truncate=2 / _BLUR, mode="nearest")
    return np.clip(np.rint(image), AIR_HU - 24, 3071).astype(np.int16)

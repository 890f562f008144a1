# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A phantom degraded to a clinical CT: coarser voxels, noise, varying contrast enhancement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

from us_sim.core.patient.volume import AIR_HU, CtVolume, content_hash
from us_sim.core.tissue import CLASS_COUNT
from us_sim.core.tissue import TissueClass as T

SPACING = (1.5, 3.0)  # mm
NOISE = (10.0, 20.0)  # HU
WITHOUT_AGENT = 0.4  # share of patients scanned without contrast agent

# Mean HU without contrast agent (liver, vena cava and portal vein as measured on a native CT; others: textbooks).
_NATIVE = {T.LIVER: 50, T.KIDNEY: 32, T.SPLEEN: 46, T.PANCREAS: 38, T.VESSEL: 40, T.SOFT: 35, T.MUSCLE: 52}


def clinical(volume: CtVolume, rng: np.random.Generator) -> CtVolume:
    """Return the volume on a grid of 1.5 to 3 mm with 10 to 20 HU of noise, classes by nearest neighbour.

    The amount of contrast agent is drawn too: none, or anything up to a little more than the phantom's own.
    """
    spacing = np.array([*[rng.uniform(*SPACING)] * 2, rng.uniform(*SPACING)])
    agent = 0.0 if rng.random() < WITHOUT_AGENT else rng.uniform(0.2, 1.15)
    ratio = spacing / volume.spacing
    shape = tuple(np.maximum(2, np.floor((np.array(volume.hu.shape) - 1) / ratio).astype(int) + 1))
    hu = volume.hu + _shift(volume, agent)[volume.tissue]
    hu = gaussian_filter(hu, 0.45 * np.sqrt(np.maximum(ratio**2 - 1, 0)))
    hu = affine_transform(hu, ratio, output_shape=shape, order=1, mode="nearest")
    hu += rng.uniform(*NOISE) * _noise(rng, shape)
    tissue = _nearest(volume.tissue, ratio, shape)
    ct_from_voxel = volume.ct_from_voxel @ np.diag([*ratio, 1.0])
    values = np.clip(np.rint(hu), AIR_HU - 24, 3071).astype(np.int16)
    return CtVolume(values, tissue, ct_from_voxel, volume.name, content_hash(values, tissue, ct_from_voxel))


def _shift(volume: CtVolume, agent: float) -> NDArray[np.float32]:
    """(classes,) HU to add so that a share `agent` of each class's enhancement is left."""
    shift = np.zeros(CLASS_COUNT, np.float32)
    thinned = tuple(slice(None, None, 3) for _ in range(3))
    hu, tissue = volume.hu[thinned], volume.tissue[thinned]
    for tissue_class, native in _NATIVE.items():
        chosen = hu[tissue == tissue_class]
        if len(chosen):
            shift[tissue_class] = (agent - 1) * (float(np.median(chosen)) - native)
    return shift


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise of unit variance with the grain that a reconstruction kernel leaves."""
    noise = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 0.6)
    return noise / noise.std()


def _nearest(tissue: NDArray[np.uint8], ratio: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    i, j, k = (np.rint(np.arange(n) * r).astype(np.intp) for n, r in zip(shape, ratio, strict=True))
    return np.ascontiguousarray(tissue[np.ix_(i, j, k)])

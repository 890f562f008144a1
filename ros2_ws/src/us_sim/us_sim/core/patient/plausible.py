# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Consistency of labels and CT: HU, side and body outline of each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.loops import counts_along, values_by_class
from us_sim.core.tissue import TissueClass

_LEAST = 50  # voxels of a class from which on its share says something
_OUTSIDE = 0.05  # share of the labels outside the body that resampling explains
_MIDDLE = 10.0  # mm to the wrong side of the body's middle that a turned patient explains
_CAUSE = (
    "the label array may be flipped, its affine shifted, the labels of another patient or their meaning another one"
)
# class: HU limit, whether the class lies above it, share of voxels beyond it that noise and partial volume explain.
# Measured on the real abdomen with its own labels: bone 5 %, lung 1 %, liver and spleen 0; flipped 23 to 49 % of bone.
_LIMITS: tuple[tuple[TissueClass, int, bool, float], ...] = (
    (TissueClass.BONE, 0, True, 0.12),
    (TissueClass.LUNG, -300, False, 0.25),
    (TissueClass.LIVER, -150, True, 0.12),
    (TissueClass.KIDNEY, -150, True, 0.2),
    (TissueClass.SPLEEN, -150, True, 0.12),
    (TissueClass.VESSEL, -200, True, 0.2),
    (TissueClass.FLUID, -200, True, 0.25),
    (TissueClass.MUSCLE, -200, True, 0.2),
    (TissueClass.FAT, 100, False, 0.25),
)


def doubts(
    classes: NDArray[np.uint8], hu: NDArray[np.int16], body: NDArray[np.bool_], ct_from_voxel: Matrix
) -> tuple[str, ...]:
    """Return what speaks against the labels of a CT, each with its number and the likely cause; often nothing.

    Args:
        classes: (I, J, K) uint8 ids, 0 where unlabelled.
        hu: (I, J, K) Hounsfield units.
        body: (I, J, K) as from `body_mask`.
        ct_from_voxel: (4, 4), voxel index to mm in `ct`.
    """
    counts = counted(classes, hu, body)
    found = [*_by_hounsfield(counts), *_by_side(classes, counts, body, ct_from_voxel)]
    labelled = int(counts[:, 0].sum())
    outside = labelled - int(counts[:, 3].sum())
    if labelled and outside > _OUTSIDE * labelled:
        found.append(f"{100 * outside / labelled:.0f} % of the labels lie outside the body")
    return tuple(f"{finding}: {_CAUSE}" for finding in found)


def counted(classes: NDArray[np.uint8], hu: NDArray[np.int16], body: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return (C, 4) voxels of each class but 0: all, those below and above its HU limit, those in the body."""
    limits = np.zeros(len(TissueClass), dtype=np.int64)
    counts = np.zeros((len(limits), 4), dtype=np.int64)
    for tissue, limit, _, _ in _LIMITS:
        limits[tissue] = limit
    values_by_class(hu, classes, body, limits, counts)
    return counts


def _by_hounsfield(counts: NDArray[np.int64]) -> list[str]:
    found = []
    for tissue, limit, above, allowed in _LIMITS:
        size, below, over, _ = counts[tissue].tolist()
        if size < _LEAST:
            continue
        share = (below if above else over) / size
        if share > allowed:
            found.append(
                f"{tissue.name.lower()}: {100 * share:.0f} % of its voxels lie {'below' if above else 'above'} {limit} "
                f"HU (normally under {100 * allowed:.0f} %)"
            )
    return found


def _by_side(
    classes: NDArray[np.uint8], counts: NDArray[np.int64], body: NDArray[np.bool_], ct_from_voxel: Matrix
) -> list[str]:
    middle = _centre(body.view(np.uint8), 1, ct_from_voxel)
    found = []
    for tissue, side, sign in ((TissueClass.LIVER, "left", -1), (TissueClass.SPLEEN, "right", 1)):
        place = _centre(classes, tissue, ct_from_voxel) if counts[tissue, 0] else None
        if middle is not None and place is not None and sign * (place - middle) > _MIDDLE:
            found.append(f"{tissue.name.lower()}: lies {abs(place - middle):.0f} mm to the {side} of the body's middle")
    return found


def _centre(values: NDArray[np.uint8], wanted: int, ct_from_voxel: Matrix) -> float | None:
    """Return the mean x in `ct`, mm, of the voxels of a value, which grows to the patient's right; None of a few."""
    along = [np.zeros(size, dtype=np.int64) for size in values.shape]
    counts_along(values, wanted, *along)
    count = along[0].sum()
    if count < _LEAST:
        return None
    means = [float(np.dot(counts, np.arange(len(counts))) / count) for counts in along]
    return float(ct_from_voxel[0] @ (*means, 1.0))

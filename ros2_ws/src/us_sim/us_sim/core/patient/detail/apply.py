# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""From a CT and its classes to finer voxels with the detail painted in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.borders import UNKNOWN, fill_borders, forget
from us_sim.core.patient.detail.gut import paint_gut
from us_sim.core.patient.detail.kidney import paint_kidneys
from us_sim.core.patient.detail.liver import Courses, paint_liver
from us_sim.core.patient.detail.refine import factors, refined_affine, refined_hu, refined_tissue
from us_sim.core.patient.detail.region import Region
from us_sim.core.patient.detail.soft import paint_diaphragm, paint_fat_and_pancreas
from us_sim.core.patient.detail.spleen import paint_spleen
from us_sim.core.tissue import TissueClass as T

_GUT, _GUT_GAS = len(T), len(T) + 1  # classes of their own while borders are smoothed


class Detailed(NamedTuple):
    """HU (I, J, K) int16, classes uint8, echo int8 in half dB, border uint8 and `ct_from_voxel` of finer voxels."""

    hu: NDArray[np.int16]
    tissue: NDArray[np.uint8]
    echo: NDArray[np.int8]
    border: NDArray[np.uint8]
    ct_from_voxel: Matrix


def detailed(
    hu: NDArray[np.int16], tissue: NDArray[np.uint8], ct_from_voxel: Matrix, gut: NDArray[np.bool_] | None, seed: int,
    courses: Courses | None = None, split: tuple[int, int, int] | None = None, echo: NDArray[np.int8] | None = None,
    border: NDArray[np.uint8] | None = None,
) -> Detailed:  # fmt: skip
    """Return a patient with the detail that the voxels were too coarse for; the given arrays stay as they are.

    Args:
        hu: (I, J, K) Hounsfield units.
        tissue: (I, J, K) classes.
        ct_from_voxel: (4, 4).
        gut: (I, J, K) where stomach and bowel are known to be; None for nowhere.
        seed: of all that is drawn.
        courses: of the liver's great vessels, where they are known.
        split: voxels into which each is split along its axes; None for as many as the detail asks for.
        echo: (I, J, K) half dB derived from HU; None for 0.
        border: (I, J, K) as in `patient.borders`, of voxels that are not split; None where labels alone tell it.
    """
    split = split or factors(hu.shape, np.linalg.norm(ct_from_voxel[:3, :3], axis=0))
    fine = tissue.copy()
    hollow = gut
    if max(split) > 1:
        if gut is not None:
            fine[gut & (tissue == T.SOFT)] = _GUT
            fine[gut & (tissue == T.GAS)] = _GUT_GAS
        fine = refined_tissue(fine, split)
        hollow = fine >= _GUT
        fine[fine == _GUT] = T.SOFT
        fine[fine == _GUT_GAS] = T.GAS
    affine = refined_affine(ct_from_voxel, split)
    border = np.full(fine.shape, UNKNOWN, np.uint8) if border is None else border.copy()
    fill_borders(fine, border)
    before = fine.copy()
    hu = refined_hu(hu, split) if max(split) > 1 else hu
    whole = Region(hu, fine, _refined_echo(echo, fine.shape, split), border, affine)
    rng = np.random.default_rng([seed, 11])
    paint_liver(whole, rng, courses)
    paint_kidneys(whole, rng)
    paint_spleen(whole, rng)
    if hollow is not None:
        paint_gut(whole, hollow, seed)
    paint_diaphragm(whole)
    paint_fat_and_pancreas(whole, seed)
    forget(border, (fine != before) & (fine != T.VESSEL))
    fill_borders(fine, border)
    return Detailed(hu, fine, whole.echo, border, affine)


def _refined_echo(
    echo: NDArray[np.int8] | None, shape: tuple[int, ...], split: tuple[int, int, int]
) -> NDArray[np.int8]:
    """Return echo (I', J', K') on the fine grid, trilinear; 0 if there is none."""
    if echo is None:
        return np.zeros(shape, dtype=np.int8)
    return refined_hu(echo.astype(np.int16), split).astype(np.int8) if max(split) > 1 else echo.copy()

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Tissue classes and their acoustic properties: the one table that physics, labels and messages read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class TissueClass(IntEnum):
    """Class of a voxel. 0 to 4 are the paper's classes (Table I), the others are ours."""

    BACKGROUND = 0  # air outside the body
    LIVER = 1
    KIDNEY = 2
    SPLEEN = 3
    PANCREAS = 4
    VESSEL = 5
    FLUID = 6  # gallbladder, bladder, renal pelvis, cysts, gastric fluid
    BONE = 7
    GAS = 8
    LUNG = 9
    FAT = 10
    MUSCLE = 11
    SKIN = 12
    SOFT = 13  # everything else: bowel wall, stomach wall, adrenals, connective tissue


@dataclass(frozen=True)
class Tissue:
    """Acoustic properties of one class.

    Attributes:
        impedance: Z, MRayl.
        attenuation: α, dB/(cm MHz), one way.
        scatterer_density: scatterers per resolution cell. The renderer tells only 0, none, from fully developed
            speckle, which begins at about 10.
        backscatter: mean scattered intensity, dB relative to liver.
        heterogeneity: standard deviation of the backscatter over patches of several mm, dB.
        specularity: 0 to 1, how much of an interface's echo is mirror-like rather than diffuse.
        color: RGB, 0 to 255; Table I of the paper for classes 1 to 4, vessels and fluid as in the
            US simulation & segmentation dataset.
        source: where impedance and attenuation come from; backscatter values are fitted by eye and by the grey
            levels of depth-matched regions of real frames.
    """

    impedance: float
    attenuation: float
    scatterer_density: float
    backscatter: float
    heterogeneity: float
    specularity: float
    color: tuple[int, int, int]
    source: str


_LOTUS = "Velikova et al. 2024 (LOTUS), Bürger et al. 2013, tables of tissue properties"
_DUCK = "Duck 1990, Physical Properties of Tissue, ch. 4"
_KIDNEY = _LOTUS + "; attenuation fitted: real kidney and liver differ by 0.4 grey at equal depth"
_ITIS = "IT'IS Foundation tissue database v4, acoustic properties"

TISSUES: dict[TissueClass, Tissue] = {
    TissueClass.BACKGROUND: Tissue(0.0004, 40.0, 0, -60, 0, 1.0, (0, 0, 0), _DUCK),
    TissueClass.LIVER: Tissue(1.65, 0.55, 10, 0, 1.4, 0.5, (100, 0, 100), _LOTUS),
    TissueClass.KIDNEY: Tissue(1.62, 0.55, 10, -0.5, 1.0, 0.6, (255, 255, 0), _KIDNEY),
    TissueClass.SPLEEN: Tissue(1.64, 0.40, 10, 1, 0.6, 0.6, (255, 0, 255), "Lu et al. 1999; " + _DUCK),
    TissueClass.PANCREAS: Tissue(1.66, 0.75, 10, 3, 2.0, 0.4, (0, 0, 255), _ITIS),
    TissueClass.VESSEL: Tissue(1.61, 0.15, 10, -27, 0, 0.9, (255, 0, 0), _LOTUS),
    TissueClass.FLUID: Tissue(1.53, 0.05, 10, -36, 0, 0.9, (0, 255, 0), _DUCK),
    TissueClass.BONE: Tissue(7.8, 10.0, 10, -12, 0, 0.9, (255, 255, 255), _LOTUS),
    TissueClass.GAS: Tissue(0.0004, 40.0, 10, -25, 0, 0.8, (90, 160, 200), _LOTUS),
    TissueClass.LUNG: Tissue(0.26, 30.0, 10, -18, 2.0, 0.9, (150, 200, 230), _DUCK),
    TissueClass.FAT: Tissue(1.38, 0.63, 10, 6.5, 2.0, 0.6, (230, 200, 110), _LOTUS),
    TissueClass.MUSCLE: Tissue(1.62, 1.0, 10, 4.5, 3.0, 0.7, (190, 80, 70), _LOTUS),
    TissueClass.SKIN: Tissue(1.68, 0.9, 10, 3, 0.8, 0.6, (240, 190, 160), _DUCK),
    TissueClass.SOFT: Tissue(1.60, 0.7, 10, 3, 2.5, 0.5, (160, 120, 120), _ITIS),
}


def column(name: str, table: Mapping[TissueClass, Tissue] = TISSUES) -> NDArray[np.float32]:
    """Return one property of all classes of a table as (14,) float32, indexed by class id."""
    return np.array([getattr(table[c], name) for c in TissueClass], dtype=np.float32)


CLASS_COUNT = len(TissueClass)
CLASS_COLORS: NDArray[np.uint8] = np.array([TISSUES[c].color for c in TissueClass], dtype=np.uint8)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Elasticity of each tissue class: Young's modulus at rest and its stiffening under compression.

Tissue is nearly incompressible, so that E = 3G. The moduli are those of quiet tissue under small strain;
`STIFFNESS_FACTOR` makes up for what they leave out (skin tension, muscle tone, loading within a second) and is fitted
to 0.4 N/mm of a curved abdominal probe on the belly of the built-in phantom.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from us_sim.core.tissue import TissueClass

STIFFNESS_FACTOR = 5.0  # effective over elastographic moduli


@dataclass(frozen=True)
class Elasticity:
    """Elastic properties of one class.

    Attributes:
        modulus: Young's modulus E at rest, kPa; inf where it is rigid.
        stiffening: n of E(C) = E · C^(−n), C the compressed over the free thickness.
        source: where both come from.
    """

    modulus: float
    stiffening: float
    source: str


_HATT = "Hatt et al. 2023 (doi 10.1016/j.jmbbm.2023.105924): |G*| of fat 0.75 kPa · C^-1.18, muscle 0.96 kPa · C^-0.36"
_LIVER = "healthy liver, PMC6925591"
_ORGAN = "as liver, scaled by magnetic resonance elastography of the organ"
_SKIN = "dermis under indentation is 5 to 20 times as stiff as the fat below; judgement"

ELASTICITIES: dict[TissueClass, Elasticity] = {
    TissueClass.BACKGROUND: Elasticity(2.3, 1.18, "a border voxel: as fat"),
    TissueClass.LIVER: Elasticity(5.4, 0.36, _LIVER),
    TissueClass.KIDNEY: Elasticity(7.5, 0.36, _ORGAN),
    TissueClass.SPLEEN: Elasticity(7.5, 0.36, _ORGAN),
    TissueClass.PANCREAS: Elasticity(4.0, 0.36, _ORGAN),
    TissueClass.VESSEL: Elasticity(3.0, 0.36, "as the organ around it"),
    TissueClass.FLUID: Elasticity(3.0, 0.36, "as the organ around it"),
    TissueClass.BONE: Elasticity(np.inf, 0.0, "rigid"),
    TissueClass.GAS: Elasticity(2.3, 0.36, "in bowel, whose wall carries the load"),
    TissueClass.LUNG: Elasticity(2.3, 0.36, "behind ribs; judgement"),
    TissueClass.FAT: Elasticity(2.3, 1.18, _HATT),
    TissueClass.MUSCLE: Elasticity(2.9, 0.36, _HATT),
    TissueClass.SKIN: Elasticity(25.0, 1.18, _SKIN),
    TissueClass.SOFT: Elasticity(2.6, 0.36, "between fat and muscle; judgement"),
}


@cache
def elasticity_table() -> NDArray[np.float64]:
    """Return (classes, 2): effective Young's modulus at rest, kPa, and the exponent of its stiffening.

    It is shared: nobody writes to it.
    """
    rows = [(STIFFNESS_FACTOR * ELASTICITIES[c].modulus, ELASTICITIES[c].stiffening) for c in TissueClass]
    return np.array(rows, dtype=np.float64)

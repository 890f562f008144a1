# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Coupling: what lies between the probe's face and the skin, and where the skin of a coarse CT begins."""

from __future__ import annotations

from torch import Tensor

from us_sim.core.physics.imaging import Formation
from us_sim.core.sampling.anatomy import Anatomy
from us_sim.core.tissue import TissueClass

DEPTH = 8.0  # mm of coupling gel that may lie between face and skin
IMPEDANCE = 1.65  # MRayl
STEPS = 5.0  # mm under the skin's smooth surface where voxels of the label map may still say air
AIR = int(TissueClass.BACKGROUND)


def with_gel(anatomy: Anatomy, form: Formation) -> tuple[Tensor, Tensor]:
    """Impedance and attenuation with the air between face and skin replaced by gel, which matches the skin.

    The voxels of a coarse CT stand in steps across the smooth skin: air between them and the skin is none.
    """
    gap = (anatomy.skin_distance > -0.5) & (form.depths < DEPTH)
    gap |= (anatomy.tissue == AIR) & (anatomy.skin_distance > -STEPS) & (anatomy.skin_distance <= 0)
    return anatomy.impedance.masked_fill(gap, IMPEDANCE), anatomy.attenuation.masked_fill(gap, 0.0)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Tissue mechanics and respiration: settings of contact force, deformation and breathing."""

from __future__ import annotations

from dataclasses import dataclass

from us_sim.core.config import check_ranges, setting


@dataclass(frozen=True)
class MechanicsSettings:
    """Tissue mechanics and respiratory motion; all of it changes live.

    Raises:
        ConfigError: a value outside its range, named with the range.
    """

    deformation: bool = setting(True, "tissue deforms under probe pressure, in image, slice and labels")
    stiffness: float = setting(1.0, "stiffness scale of the contact force (1 = nominal)", 0.1, 10.0)
    damping: float = setting(0.3, "Hunt-Crossley damping of the contact force, s/m", 0.0, 20.0)
    friction: float = setting(0.1, "Coulomb friction coefficient between probe face and skin", 0.0, 1.0)
    breathing_amplitude: float = setting(0.0, "craniocaudal respiratory amplitude, mm; 0 for breath-hold", 0.0, 40.0)
    breathing_period: float = setting(4.0, "respiratory period, s", 1.0, 20.0)

    def __post_init__(self) -> None:
        check_ranges(self)


RIGID = MechanicsSettings(deformation=False)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Ultrasound of procedural abdomens by the physics renderer, with masks, on the fly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scyclegan_train.data.patient_source import PatientUs, phantom_cases
from us_sim.core.generator.card import Card


class PhysicsUs(PatientUs):
    """Physics frames of phantoms by seed, other seeds than those of the CT; options as for PatientSource."""

    def __init__(self, seeds: Sequence[int], card: Card, **options: Any) -> None:
        super().__init__(phantom_cases(seeds), card, degrade=False, **options)

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

"""CT slices of procedural abdomens, on the fly: training needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scyclegan_train.data.patient_source import PatientCt, phantom_cases
from us_sim.core.generator.card import Card


class PhantomCt(PatientCt):
    """CT slices of phantoms by seed, degraded to clinical resolution and noise; options as for PatientSource."""

    def __init__(self, seeds: Sequence[int], card: Card, **options: Any) -> None:
        super().__init__(phantom_cases(seeds), card, **options)

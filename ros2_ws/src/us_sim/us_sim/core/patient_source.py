# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The patient that the settings name: a CT with its labels, or a built-in phantom. Without torch."""

from __future__ import annotations

import re

from us_sim.core.config import SimConfig
from us_sim.core.errors import PatientError
from us_sim.core.patient.patient import Patient, builtin_patient, load_patient

_PHANTOM = "phantom:"
_LAST = SimConfig.__dataclass_fields__["seed"].metadata["high"]


def open_patient(config: SimConfig) -> Patient:
    """Load the CT that the parameters name, with its labels, or make the built-in phantom where they name none.

    Raises:
        PatientError: it cannot be used, or labels are named without a CT, or what they mean without labels.
    """
    for name in ("label_scheme", "labels_map"):
        if getattr(config, name) and not config.labels:
            raise PatientError(
                f"{name} is {getattr(config, name)!r}, but labels is empty; name the labels that it is about"
            )
    seed = phantom_seed(config.ct)
    if seed is not None and not config.labels:
        return builtin_patient(seed, config.detail)
    if config.ct and seed is None:
        return load_patient(
            config.ct,
            config.labels or None,
            config.label_scheme or None,
            config.labels_map or None,
            detail=config.detail,
            seed=config.seed,
        )
    if config.labels:
        raise PatientError(
            f"labels is {config.labels!r}, but ct is {config.ct or 'empty'}; name the CT that the labels belong to"
        )
    return builtin_patient(config.seed, config.detail)


def phantom_seed(ct: str) -> int | None:
    """Return the seed of a built-in phantom that `ct` names as `phantom:7`; None for a path.

    Raises:
        PatientError: what follows `phantom:` is no seed.
    """
    if not ct.startswith(_PHANTOM):
        return None
    seed = ct.removeprefix(_PHANTOM)
    if not re.fullmatch("[0-9]{1,10}", seed) or int(seed) > _LAST:
        raise PatientError(f"ct is {ct!r}; expected {_PHANTOM} and a seed from 0 to {_LAST}, as in {_PHANTOM}7")
    return int(seed)

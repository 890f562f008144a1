# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The README that goes with every export: where the frames come from, and what may be done with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from us_sim.core.files import atomic_write
from us_sim.offline.export.samples import Source

PHANTOM = "phantom-"  # what names of built-in patients begin with

TEXT = """---
license: {licence}
tags: [ultrasound, simulation, ct]
---
# {name}

Simulated B-mode ultrasound with tissue classes, poses and wrench, made with us_sim {version}. Research only; not
frames of people.

| | |
|---|---|
| frames | {frames} |
| patient | {patient}, SHA-256 {sha256} |
| renderer | {renderer} |
| seed | {seed} |
| generator's training data | {generator} |
| licence | {terms} |

Classes: {classes}. Poses are `ct_from_probe`: x y z in m, quaternion x y z w. The wrench is the force of the patient on
the probe and its torque, in `probe`, N and N m.
"""


def write_card(source: Source, frames: int, file: Path) -> None:
    """Write the card of an export."""
    about = source.about
    patient: Any = about.get("patient", {})
    named = patient if isinstance(patient, dict) else {"name": patient, "sha256": about.get("patient_sha256", "")}
    built_in = str(named.get("name")).startswith(PHANTOM)
    text = TEXT.format(
        name=source.name, version=about.get("versions", {}).get("us_sim", "unknown"), frames=frames,
        patient=named.get("name"), sha256=named.get("sha256"), renderer=about.get("renderer"),
        seed=about.get("seed", "unknown"), generator=_training_data(about.get("generator")),
        licence="apache-2.0" if built_in else "other", terms="apache-2.0" if built_in else "that of the CT",
        classes=", ".join(f"{number} {name}" for name, number in source.classes.items()),
    )  # fmt: skip
    with atomic_write(file) as partial:
        partial.write_text(text)


def _training_data(generator: Any) -> str:
    """What a generator was trained on, with licences; `generator` is its entry in the dataset's card, or its name."""
    if not isinstance(generator, dict):
        return f"see the card of {generator}" if generator else "none"
    data = generator["card"].get("training_data") or []
    return "; ".join(f"{one['name']} ({one['licence']})" for one in data) or "unknown"

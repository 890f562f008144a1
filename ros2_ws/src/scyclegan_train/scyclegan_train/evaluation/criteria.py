# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The results of an evaluation, and the acceptance criteria of a generator."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scyclegan_train.evaluation.downstream import Use
from scyclegan_train.evaluation.held_out import PHYSICS
from scyclegan_train.evaluation.intervals import Interval, clustered
from scyclegan_train.evaluation.likeness import Blocks, compared
from scyclegan_train.evaluation.measure import Findings

TRUSTED = 0.3  # Dice of organs on physics frames, below which the segmenter is not a valid reference


@dataclass
class Report:
    """The results of an evaluation.

    Attributes:
        findings: by renderer; physics first.
        kid: of each renderer's liver views, and of seen real frames, to the held-out real frames.
        frd, grey: FRD of the same sets, and distance of their grey levels by depth.
        real_blocks, real_greys: of the held-out real frames; empty without them.
        deterministic: by renderer.
        milliseconds, step: of a frame and of a step of its training, median, by renderer.
        fid: of each renderer's liver views to the held-out real frames.
        use: Dice of segmenters on real frames; None without real masks.
        about: seeds, poses, files, segmenter.
    """

    findings: dict[str, Findings]
    about: dict[str, Any]
    kid: dict[str, Interval] = field(default_factory=dict)
    frd: dict[str, float] = field(default_factory=dict)
    grey: dict[str, float] = field(default_factory=dict)
    real_blocks: Blocks = field(default_factory=dict)
    real_greys: Findings | None = None
    deterministic: dict[str, bool] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)
    step: dict[str, float] = field(default_factory=dict)
    fid: dict[str, float] = field(default_factory=dict)
    use: Use | None = None


def means(findings: Findings) -> dict[str, Interval]:
    """Mean over patients with its interval, by metric."""
    names = dict.fromkeys(str(row["metric"]) for row in findings.rows)
    found = {}
    for name in names:
        rows = [row for row in findings.rows if row["metric"] == name]
        found[name] = clustered([float(r["value"]) for r in rows], [str(r["patient"]) for r in rows])
    return found


def difference(findings: Findings, physics: Findings, metric: str) -> Interval:
    """A renderer's mean less that of physics, paired by patient."""
    values, patients = [], []
    by_patient = [_by_patient(part, metric) for part in (findings, physics)]
    for patient in by_patient[0].keys() & by_patient[1].keys():
        values.append(by_patient[0][patient] - by_patient[1][patient])
        patients.append(patient)
    return clustered(values, patients)


def _by_patient(findings: Findings, metric: str) -> dict[str, float]:
    kept: dict[str, list[float]] = {}
    for row in findings.rows:
        if row["metric"] == metric and math.isfinite(float(row["value"])):
            kept.setdefault(str(row["patient"]), []).append(float(row["value"]))
    return {patient: float(np.mean(values)) for patient, values in kept.items()}


def criteria(report: Report, name: str) -> list[tuple[str, str, bool | None]]:
    """Acceptance criteria of a generator: the criterion, the value, and whether it is met (None: unknown).

    No degenerate generator meets all: a flat image hallucinates nothing and does not flicker, noise has texture, an
    image of the labels has contrast, and one frame for all poses has everything but the patient's anatomy. Dice
    counts only if the segmenter finds organs in physics frames, which it was trained on.
    """
    own, physics = means(report.findings[name]), means(report.findings[PHYSICS])
    organs, ridges, poses = (difference(report.findings[name], report.findings[PHYSICS], metric).value for metric in
                             ("dice organs", "hallucinated structures", "correlation of different poses"))  # fmt: skip
    printed = own["shuffled labels: dice to shuffled map"].value
    flicker = _ratio(own["flicker"].value, physics["flicker"].value)
    rows = compared(report.findings[name].blocks, report.real_blocks)
    inside = float(np.mean([is_within(r) for r in rows])) if rows else math.nan
    texture, contrast, borders = likeness_ratios(report, name)
    if not physics["dice organs"].value >= TRUSTED:
        organs = printed = math.nan
    reference = "real frames" if report.real_blocks else PHYSICS
    found = [
        ("organ Dice at least that of the physics frames - 0.03", organs, organs >= -0.03, "{:+.3f}"),
        ("Dice against the shuffled labels below 0.2", printed, printed < 0.2, "{:.3f}"),
        ("hallucinated structures at most physics + 2 points", 100 * ridges, ridges <= 0.02, "{:+.2f} points"),
        ("gCNR across borders at least half that of physics", borders, borders >= 0.5, "{:.2f} times"),
        ("motion-compensated change 0.3 to 1.2 times physics", flicker, 0.3 <= flicker <= 1.2, "{:.2f} times"),
        ("correlation of different poses at most physics + 0.2", poses, poses <= 0.2, "{:+.2f}"),
        (f"texture: SD of liver ROIs 0.5 to 2 times {reference}", texture, 0.5 <= texture <= 2, "{:.2f} times"),
        (f"contrast: range of grey levels 0.5 to 2 times {reference}", contrast, 0.5 <= contrast <= 2, "{:.2f} times"),
        ("liver ROIs within the real range", inside, inside == 1, "{:.0%} of the statistics"),
    ]
    lines = [(text, shape.format(v), bool(met)) if math.isfinite(v) else (text, "not measured", None)
             for text, v, met, shape in found]  # fmt: skip
    same = report.deterministic.get(name)
    return [*lines, ("the same pose gives the same frame, bit for bit", str(same), same)]


def likeness_ratios(report: Report, name: str) -> tuple[float, float, float]:
    """Ratios of liver ROI SD and grey-level range to real frames, or else to physics; of gCNR to physics.

    NaN where one side has nothing to measure.
    """
    own, physics = report.findings[name], report.findings[PHYSICS]
    blocks, greys = report.real_blocks or physics.blocks, report.real_greys or physics
    deviations = [
        _ratio(*(float(np.median([b.std() for b in some[depth]])) for some in (own.blocks, blocks)))
        for depth in own.blocks.keys() & blocks.keys()
    ]
    borders = [[value.value for metric, value in means(part).items() if metric.startswith("gCNR")
                and math.isfinite(value.value)] for part in (own, physics)]  # fmt: skip
    gcnr = _ratio(*(float(np.mean(part)) if part else math.nan for part in borders))
    return float(np.mean(deviations)) if deviations else math.nan, _ratio(_range(own), _range(greys)), gcnr


def _range(findings: Findings) -> float:
    """5th to 95th percentile of the grey levels of the liver views, visible pixels only; NaN without any."""
    greys = [piece for pieces in findings.greys for piece in pieces if len(piece)]
    return float(np.subtract(*np.percentile(np.concatenate(greys), (95, 5)))) if greys else math.nan


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference else math.nan


def is_within(row: dict[str, Any]) -> bool:
    return bool(row["low"] <= row["value"] <= row["high"])

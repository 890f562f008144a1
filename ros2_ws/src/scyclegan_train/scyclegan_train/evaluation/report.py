# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The evaluation's report: tables as Markdown and JSON, and figures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scyclegan_train.evaluation.by_method import cell, methods, spread
from scyclegan_train.evaluation.criteria import Report, criteria, difference, is_within, means
from scyclegan_train.evaluation.downstream import Use
from scyclegan_train.evaluation.held_out import PHYSICS
from scyclegan_train.evaluation.intervals import Interval
from scyclegan_train.evaluation.likeness import NAKAGAMI, STATISTICS, compared
from scyclegan_train.evaluation.measure import DEPTH_BINS

REAL = "real"
UNTESTED = (
    "Real patients' CT: the held-out patients are phantoms.",
    "Real frames of other people: the available ones show one volunteer, one style and no population.",
)
TITLES = {
    "dice": "Anatomy: Dice by an independent segmenter, visible pixels",
    "gCNR": "Border contrast: gCNR of pixels 1 to 6 mm from a border",
    "hallucinated structures": "Fraction of pixels more than 5 mm from any interface on bright ridges",
    "shuffled": "With permuted organ labels as input",
    "SSIM": "Against the physics frame of the same pose, visible pixels",
    "cycle": "Cycle consistency of both generators, L1",
    "correlation of different": "Between frames of different poses; 1: mode collapse",
    "flicker": "Slow sweep, 0.6 mm per frame: motion-compensated change, grey levels; texture correlation after 3 mm",
}


def untested(report: Report) -> list[str]:
    """What was not tested, and what the test needs."""
    lines = list(UNTESTED)
    if not any(name.startswith("cycle") for findings in report.findings.values() for name in findings.metrics()):
        lines.append("Cycle L1 and the time of a training step: an artifact holds one direction only; give --run.")
    if not report.fid:
        lines.append("FID: needs real frames and, by --inception, an Inception network, which is not shipped.")
    if report.use is None:
        lines.append("Segmenters trained on real and on synthetic frames: needs real masks, by --masked.")
    if not report.real_blocks:
        lines.append("Realism against real frames: no folder of frames was given.")
    return lines


# -- Markdown ------------------------------------------------------------------------------------------


def markdown(report: Report) -> str:
    """Return the report as Markdown."""
    names = list(report.findings)
    lines = ["# Evaluation", "", *(f"- {key}: {value}" for key, value in report.about.items()), ""]
    lines += ["Means over patients with 95 % bootstrap intervals over patients; —: too few pixels.", ""]
    lines += [f"## Criteria: {name}\n\n{_criteria_table(report, name)}\n" for name in names if name != PHYSICS]
    lines += _method_lines(report)
    lines += ["## Numbers", "", _number_table(report, names), ""]
    lines += ["## Realism: against held-out real frames", "", *_likeness(report, names)]
    lines += ["## Speed and determinism", "", _table(
        ["renderer", "ms per frame, median", "deterministic"],
        [[n, f"{report.milliseconds[n]:.0f}", str(report.deterministic[n])] for n in report.milliseconds],
    ), ""]  # fmt: skip
    for title, head, values in (
        ("Time of a training step", "ms, median", report.step),
        ("FID of liver views to the held-out real frames", "FID", report.fid),
    ):
        if values:
            lines += [f"## {title}", "", _table(["", head], [[n, f"{v:.3g}"] for n, v in values.items()]), ""]
    if report.use is not None:
        lines += ["## Downstream task: Dice on real frames, by training data", "", *_use_lines(report.use)]
    lines += ["## Figures", "", "![frames](frames.png)", "", "![grey by depth](depth.png)", ""]
    lines += ["## Not tested", "", *(f"- {text}" for text in untested(report))]
    return "\n".join(lines) + "\n"


def _criteria_table(report: Report, name: str) -> str:
    said = {True: "yes", False: "**no**", None: "unknown"}
    rows = [[text, found, said[met]] for text, found, met in criteria(report, name)]
    return _table(["criterion", "found", "met"], rows)


def _number_table(report: Report, names: Sequence[str]) -> str:
    tables = {name: means(report.findings[name]) for name in names}
    metrics = dict.fromkeys(m for name in names for m in tables[name])
    rows: list[list[str]] = []
    for metric in metrics:
        title = next((f"*{text}*" for start, text in TITLES.items() if metric.startswith(start)), "")
        if title and title not in (row[0] for row in rows):
            rows.append([title, *[""] * (2 * len(names) - 1)])
        row = [metric, *(interval_text(tables[name].get(metric)) for name in names)]
        row += [
            interval_text(difference(report.findings[n], report.findings[PHYSICS], metric))
            for n in names
            if n != PHYSICS
        ]
        rows.append(row)
    return _table(["", *names, *(f"{n} minus physics" for n in names if n != PHYSICS)], rows)


def _method_lines(report: Report) -> list[str]:
    """Methods trained with several seeds, beside physics."""
    groups = methods(list(report.findings))
    if not groups:
        return []
    columns = {PHYSICS: [PHYSICS], **groups}
    metrics = dict.fromkeys(m for names in groups.values() for m in report.findings[names[0]].metrics())
    body = [[m, *(cell([report.findings[n] for n in names], m) for names in columns.values())] for m in metrics]
    body.append(["KID", *(_kid_of(report, names) for names in columns.values())])
    rows = {name: compared(found.blocks, report.real_blocks) for name, found in report.findings.items()}
    inside = {name: 100 * float(np.mean([is_within(r) for r in rs])) for name, rs in rows.items() if rs}
    body.append(["liver statistics within the real range, %",
                 *(spread([inside[n] for n in names]) if inside else "—" for names in columns.values())])  # fmt: skip
    heads = [f"{method}, {len(names)} seeds" if method in groups else method for method, names in columns.items()]
    return ["## By method", "", _table(["", *heads], body), ""]


def _use_lines(use: Use) -> list[str]:
    """Dice of segmenters by organ and training data, on people whom they have not seen."""
    shown = [organ for organ, count in use.frames.items() if count]
    heads = [f"{organ.name.lower()}, {use.frames[organ]} frames" for organ in shown]
    rows = [[name, *(interval_text(of[organ]) for organ in shown)] for name, of in use.dice.items()]
    lines = [f"Mean over the {use.people} people or series, with 95 % bootstrap intervals over them; each is tested by "
             "segmenters that have not seen them, all trained in as many steps. A gallbladder counts as fluid.",
             "", _table(["", *heads], rows), ""]  # fmt: skip
    if use.absent:
        lines += [f"No real frame shows: {', '.join(organ.name.lower() for organ in use.absent)}.", ""]
    return lines


def _use_json(use: Use | None) -> dict[str, Any]:
    if use is None:
        return {}
    dice = {name: {organ.name.lower(): asdict(value) for organ, value in of.items()} for name, of in use.dice.items()}
    frames = {organ.name.lower(): count for organ, count in use.frames.items()}
    return {"dice": dice, "frames": frames, "people": use.people}


def _kid_of(report: Report, names: Sequence[str]) -> str:
    found = [report.kid[name].value for name in names if name in report.kid]
    return "—" if not found else spread(found) if len(found) > 1 else f"{found[0]:.3g}"


def _likeness(report: Report, names: Sequence[str]) -> list[str]:
    if not report.real_blocks:
        return ["Not tested: no folder of real frames was given.", ""]
    return [
        "Liver views against held-out real frames. KID on the segmenter's features (0: the same distribution); without "
        "weights, FRD on radiomic features (the lower, the nearer) and the distance of grey levels by depth:", "",
        _table(["", "KID", "FRD", "grey levels"], _distances(report)), "",
        "Liver ROIs, median against the 5th to 95th percentile of real ROIs; speckle size in samples and lines:", "",
        _roi_table(report, names, STATISTICS), "", "`!` lies outside the real range.", "",
        "Nakagami's m and Ω of the same ROIs, log compression undone at the default dynamic range. Compounded frames "
        "have an m above 1: compare columns, not textbooks.", "",
        _roi_table(report, names, NAKAGAMI), "",
    ]  # fmt: skip


def _distances(report: Report) -> list[list[str]]:
    return [[name, interval_text(value), *(f"{found[name]:.3g}" if name in found else "—"
                                           for found in (report.frd, report.grey))]
            for name, value in report.kid.items()]  # fmt: skip


def _roi_table(
    report: Report, names: Sequence[str], statistics: Mapping[str, Callable[[NDArray[np.float64]], float]]
) -> str:
    tables = {name: compared(report.findings[name].blocks, report.real_blocks, statistics) for name in names}
    rows = {(r["depth"], r["statistic"]): r for table in tables.values() for r in table}
    body = []
    for (depth, statistic), real in sorted(rows.items(), key=str):
        row = [f"{depth:.0f} mm", str(statistic), f"{real['low']:.2f} to {real['high']:.2f}"]
        for name in names:
            own = next((r for r in tables[name] if (r["depth"], r["statistic"]) == (depth, statistic)), None)
            row.append("—" if own is None else f"{own['value']:.2f}{'' if is_within(own) else ' !'}")
        body.append(row)
    return _table(["depth", "statistic", REAL, *names], body)


def interval_text(interval: Interval | None) -> str:
    """A value with its interval, in three figures."""
    if interval is None or not math.isfinite(interval.value):
        return "—"
    if not math.isfinite(interval.low):
        return f"{interval.value:.3g}"
    return f"{interval.value:.3g} ({interval.low:.3g} to {interval.high:.3g})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# -- files ---------------------------------------------------------------------------------------------


def write(report: Report, folder: Path, frames: NDArray[np.uint8]) -> None:
    """Write report.md, report.json and the figures."""
    from PIL import Image

    (folder / "report.md").write_text(markdown(report))
    (folder / "report.json").write_text(json.dumps(_plain(as_json(report)), indent=1))
    Image.fromarray(frames).save(folder / "frames.png")
    _draw_depths(report, folder / "depth.png")


def as_json(report: Report) -> dict[str, Any]:
    """The same as plain values, with every patient's rows."""
    return {
        "about": report.about,
        "renderers": {
            name: {
                "means": {metric: asdict(value) for metric, value in means(findings).items()},
                "minus physics": {m: asdict(difference(findings, report.findings[PHYSICS], m))
                                  for m in means(findings)},
                "blocks": compared(findings.blocks, report.real_blocks, STATISTICS | NAKAGAMI),
                "deterministic": report.deterministic.get(name),
                "milliseconds": report.milliseconds.get(name),
                "rows": findings.rows,
            }
            for name, findings in report.findings.items()
        },
        "criteria": {
            name: [{"criterion": t, "found": f, "met": m} for t, f, m in criteria(report, name)]
            for name in report.findings if name != PHYSICS
        },
        "kid": {name: asdict(value) for name, value in report.kid.items()},
        "frd": report.frd, "grey levels": report.grey,
        "step milliseconds": report.step, "fid": report.fid, "use": _use_json(report.use),
        "not tested": untested(report),
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """NaN as null: JSON has none."""
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _draw_depths(report: Report, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    parts = dict(report.findings) | ({REAL: report.real_greys} if report.real_greys else {})
    middle = (DEPTH_BINS[1:] + DEPTH_BINS[:-1]) / 2
    for name, findings in parts.items():
        levels = np.full((3, len(middle)), math.nan)
        for k, pieces in enumerate(findings.greys):
            if sum(map(len, pieces)) > 100:
                levels[:, k] = np.percentile(np.concatenate(pieces), (10, 50, 90))
        (line,) = axes.plot(middle, levels[1], label=name)
        axes.fill_between(middle, levels[0], levels[2], color=line.get_color(), alpha=0.15)
    axes.set(xlabel="depth / mm", ylabel="grey level", title="Liver views: median, and 10th to 90th percentile")
    axes.legend()
    figure.savefig(path, dpi=120)

"""Several seeds of a method in one column."""

from __future__ import annotations

import numpy as np

from scyclegan_train.evaluation import criteria, report
from scyclegan_train.evaluation.by_method import cell, methods, spread
from scyclegan_train.evaluation.intervals import Interval
from scyclegan_train.evaluation.measure import Findings


def found(*values: float) -> Findings:
    made = Findings()
    for patient, value in zip("abc", values, strict=False):
        made.add(patient, "SSIM", value)
    return made


def test_names_are_method_and_seed() -> None:
    names = ["physics", "ours-0", "ours-1", "cycle-gan-10", "cycle-gan-2", "alone-3", "plain"]
    assert methods(names) == {"ours": ["ours-0", "ours-1"], "cycle-gan": ["cycle-gan-10", "cycle-gan-2"]}


def test_a_cell_says_mean_interval_and_seeds() -> None:
    """Patients a, b: means over seeds 0.3 and 0.5; seeds: 0.3 and 0.5."""
    assert cell([found(0.2, 0.4), found(0.4, 0.6)], "SSIM") == "0.4 (0.3 to 0.5); seeds 0.3 to 0.5"
    assert cell([found(0.25)], "SSIM") == "0.25"
    assert cell([found(0.25)], "PSNR") == "—"
    assert spread([3.0, 1.0, 2.0]) == "1 to 3"


def test_the_report_has_a_column_for_each_method() -> None:
    made = criteria.Report({"physics": found(1.0, 1.0), "ours-0": found(0.2, 0.4), "ours-1": found(0.4, 0.6)}, {})
    made.kid = {name: Interval(value, np.nan, np.nan, 1) for name, value in (("ours-0", 0.1), ("ours-1", 0.2))}
    lines = report._method_lines(made)
    assert "|  | physics | ours, 2 seeds |" in lines[2]
    assert "| SSIM | 1 (1 to 1) | 0.4 (0.3 to 0.5); seeds 0.3 to 0.5 |" in lines[2]
    assert "| KID | — | 0.1 to 0.2 |" in lines[2]
    made.findings.pop("ours-1")
    assert report._method_lines(made) == []

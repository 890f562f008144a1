"""The table of goals: what is met, and what its parts read from the measurements."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.table import Table

from us_sim.bench import batch, goals, loading, suite
from us_sim.bench.goals import Goal
from us_sim.bench.timing import Row


def test_a_goal_is_met_at_its_value() -> None:
    assert Goal("frames", 30.0, 30.0, "a second").met
    assert not Goal("frames", 29.9, 30.0, "a second").met
    assert Goal("a load", 2.0, 2.0, "s", least=False).met
    assert not Goal("a load", 2.1, 2.0, "s", least=False).met


def test_goals_are_shown_with_their_verdict() -> None:
    table, console = Table("what", "here", "goal", "", "limit here"), Console(width=100)
    goals.shown(
        iter([Goal("frames", 31.0, 30.0, "a second"), Goal("a load", 2.5, 2.0, "s", least=False, limit="2.2")]), table
    )
    with console.capture() as caught:
        console.print(table)
    lines = [line.split("│")[1:-1] for line in caught.get().splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["frames", "31.00 a second", "at least 30", "met", ""],
        ["a load", "2.50 s", "at most 2", "missed", "2.2"],
    ]


def test_ratios_are_those_of_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = {"us_sim reslice": (2.0, 1.0), "scipy map_coordinates": (15.0, 14.0)}  # VTK is not installed
    rows = {f"{name}, random planes": {"median": ms, "cpu": cpu} for name, (ms, cpu) in slices.items()}
    monkeypatch.setattr(suite, "slices", lambda repeats: rows)
    assert [(one.found, one.met) for one in goals.planes(3)] == [(7.5, False)]
    assert next(goals.planes(3)).limit == "14.00 ms of CPU there, 1.00 here"


def test_batches_are_compared_with_both_versions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone, together = {"median": 4.0, "cpu": 5.0}, {"over_single": 2.4, "over_other": 2.6, "most": 2.9, "cpu": 2.75}
    asked = []

    def rows(repeats: int, other: Path | None) -> dict[str, Row]:
        asked.append(other)
        return {"single call, lite": alone, "batch of 64, lite": together}

    monkeypatch.setattr(batch, "rows", rows)
    assert list(goals.batches(tmp_path, 3)) == [
        Goal("batch of 64, lite", 2.4, 2.5, "times single calls", limit="2.9: 5.00 ms of CPU alone, 2.75 in a batch"),
        Goal("batch of 64, lite", 2.6, 2.5, "times the other's"),
    ]
    assert asked == [tmp_path]


def test_loads_and_starts_are_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    both = [loading.Load("made", 20.0, 25.0, 1584.0), loading.Load("read", 0.8, 1.0, 1500.0)]
    monkeypatch.setattr(loading, "loads", lambda: iter(both))
    assert [one.found for one in goals.loads()] == [20.0, 1.584, 1.0]
    said = SimpleNamespace(returncode=0, stdout="first 20.1 s; again 9.0, 9.2, 9.4, median 9.2 s\n", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *given, **options: said)
    assert [one.found for one in goals.starts(3)] == [9.2]
    said.returncode, said.stderr = 1, "no module rclpy\n"
    assert list(goals.starts(3)) == []
    assert "start left out: no module rclpy" in capsys.readouterr().err

"""The table of goals: what is met, and what its parts read from the measurements."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.table import Table

from us_sim.bench import batch, goals, loading, suite
from us_sim.bench.goals import Goal


def test_a_goal_is_met_at_its_value() -> None:
    assert Goal("frames", 30.0, 30.0, "a second").met
    assert not Goal("frames", 29.9, 30.0, "a second").met
    assert Goal("a load", 2.0, 2.0, "s", least=False).met
    assert not Goal("a load", 2.1, 2.0, "s", least=False).met


def test_goals_are_shown_with_their_verdict() -> None:
    table, console = Table("what", "here", "goal", ""), Console(width=100)
    goals.shown(iter([Goal("frames", 31.0, 30.0, "a second"), Goal("a load", 2.5, 2.0, "s", least=False)]), table)
    with console.capture() as caught:
        console.print(table)
    lines = [line.split("│")[1:-1] for line in caught.get().splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["frames", "31.00 a second", "at least 30", "met"],
        ["a load", "2.50 s", "at most 2", "missed"],
    ]


def test_ratios_are_those_of_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = {"us_sim reslice": 2.0, "scipy map_coordinates": 15.0}  # VTK is not installed
    monkeypatch.setattr(
        suite, "slices", lambda repeats: {f"{name}, random planes": {"median": ms} for name, ms in slices.items()}
    )
    monkeypatch.setattr(batch, "rows", lambda repeats: {"single": {"median": 4.0}, "batch": {"over_single": 2.6}})
    assert [(one.found, one.met) for one in goals.planes(3)] == [(7.5, False)]
    assert [(one.found, one.met) for one in goals.batches(3)] == [(2.6, True)]


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

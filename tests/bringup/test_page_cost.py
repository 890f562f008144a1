"""What a page costs, measured: of processes, and as a line."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("rclpy")

from us_sim.bringup import browser, page_cost

BUSY = """
import subprocess, sys, time
us_sim_viewer_node = "us_sim.viewer.node"
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
end = time.process_time() + 0.3
while time.process_time() < end: pass
print(child.pid, flush=True)
input()
"""


def test_cpu_is_that_of_a_process_and_what_it_started() -> None:
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        child = int(process.stdout.readline())
        assert page_cost.descendants(process.pid) == {process.pid, child}
        spent = page_cost.cpu_seconds(process.pid, None)
        assert 0.25 < spent["viewer"] < 3.0
        assert (spent["node"], spent["browser"]) == (0.0, 0.0)
        assert page_cost.cpu_seconds(os.getpid(), process.pid)["browser"] >= spent["viewer"]
    finally:
        process.kill()  # its child reads the end of its input
        process.wait()


def test_a_measurement_in_one_line() -> None:
    line = page_cost.Found(16.04, 5.5, {"node": 56.2, "viewer": 9.9}).line
    assert line == "node 16.0 frames/s, page 5.5 pictures/s; CPU ms for each frame: node 56, viewer 10"


def test_without_a_browser_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(browser, "PROGRAM", None)
    started: list[Any] = []
    monkeypatch.setattr(page_cost, "simulated", started.append)
    assert page_cost.main([]) == 2
    assert "no browser on the PATH: install one of chromium, " in capsys.readouterr().err
    assert not started

"""What /diagnostics tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from us_sim_msgs.msg import FrameInfo

from us_sim.ros import heartbeat
from us_sim.ros.diagnostics import Statistics

if TYPE_CHECKING:
    from tests.ros.conftest import World


def test_a_report_counts_since_the_last_one() -> None:
    statistics = Statistics()
    for latency in (0.010, 0.020, 0.030):
        statistics.count("received")
        statistics.rendered(latency)
    statistics.refuse("old stamp")
    assert statistics.refuse("old stamp") == 2
    good, line, values = statistics.report()
    told = {value.key: value.value for value in values}
    assert not good
    assert "2 poses refused" in line
    assert told["latency median (ms)"] == "20.0"
    assert told["latency 95 % (ms)"] == "29.0"  # between the second and the third: 20 + 0.9 · 10
    assert (told["poses received"], told["poses rendered"]) == ("3", "3")
    assert (told["poses refused"], told["poses refused: old stamp"]) == ("2", "2")
    good, line, _ = statistics.report()
    assert good
    assert line == "0.0 frames/s"


def test_without_frames_there_is_no_latency() -> None:
    told = {value.key: value.value for value in Statistics().report()[2]}
    assert told["latency median (ms)"] == "-"


def test_the_node_tells_patient_device_and_state(world: World) -> None:
    node = world.start("left")
    world.listen(FrameInfo, "left/us_sim/frame_info")
    world.listened(node.session.outputs.frame_info)
    messages = world.listen(DiagnosticArray, "/diagnostics")
    status = world.until(lambda: messages)[-1].status[0]
    told = {value.key: value.value for value in status.values}
    assert status.name == "/left/us_sim"
    assert status.level == DiagnosticStatus.OK
    assert (told["patient"], told["generator"], told["renderer"]) == ("phantom-0", "abdomen", "physics")
    assert told["device"] == "cpu (a fake computes nothing)"


def test_a_node_that_failed_to_configure_says_why(world: World) -> None:
    world.start(ct="/nowhere.nii.gz")
    messages = world.listen(DiagnosticArray, "/diagnostics")
    status = world.until(lambda: messages)[-1].status[0]
    assert status.level == DiagnosticStatus.WARN
    assert "not configured: /nowhere.nii.gz: no such file" in status.message


def test_an_active_node_that_nobody_listens_to_says_so(world: World) -> None:
    world.start()
    messages = world.listen(DiagnosticArray, "/diagnostics")
    status = world.until(lambda: messages)[-1].status[0]
    assert (status.level, status.message) == (DiagnosticStatus.WARN, "0.0 frames/s, nobody listens")


def test_poses_that_cease_are_told_with_their_age(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "STALE", 0.2)
    node = world.start()
    world.listen(FrameInfo, "us_sim/frame_info")
    world.listened(node.session.outputs.frame_info)
    messages = world.listen(DiagnosticArray, "/diagnostics")
    world.until(lambda: messages)
    assert "no pose" not in messages[-1].status[0].message  # none has been promised yet
    world.sender(node)
    world.until(lambda: "no pose has come for" in messages[-1].status[0].message)
    assert messages[-1].status[0].level == DiagnosticStatus.WARN

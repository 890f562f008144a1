"""What the badge says, and who is said to move the probe."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("rclpy")
from us_sim.viewer.link import mover
from us_sim.viewer.status import Facts, status

LIVE = Facts(known=True, alive=True)


@pytest.mark.parametrize(
    ("changes", "badge", "note"),
    [
        ({}, "LIVE", ""),
        ({"age": 60.0}, "STILL", ""),
        ({"frozen": True, "age": 60.0}, "FROZEN", ""),
        ({"frozen": True, "cine": True}, "CINE", ""),
        ({"alive": False, "frozen": True}, "CONNECTION LOST", "does not answer any more"),
        ({"known": False, "starting": 23.4}, "STARTING", "patient, generator, 23 s"),
        ({"known": False}, "WAITING", "start it with make sim"),
        ({"known": False, "failure": "ct is 'x'"}, "NOT STARTED", "could not start: ct is 'x'"),
        ({"image": False}, "NO IMAGE", "click the skin"),
        ({"busy": "Looking for liver: 12 of 60 positions"}, "LIVE", "12 of 60"),
        ({"loading": "patient a.nii, 4 s"}, "LIVE", "Loading patient a.nii, 4 s"),
        ({"deaf": True}, "LIVE", "takes its poses from TF"),
    ],
)
def test_the_badge_says_whether_the_picture_is_live(changes: dict[str, object], badge: str, note: str) -> None:
    _, said, why = status(replace(LIVE, **changes))  # type: ignore[arg-type]
    assert said == badge
    assert note in why
    assert bool(note) == bool(why)


@pytest.mark.parametrize(
    ("publishers", "in_control", "demo_held", "servo", "scanning", "words"),
    [
        ([], False, False, False, False, ""),
        (["probe_motion"], False, False, False, False, "the demo"),
        (["probe_motion"], True, True, False, False, "you"),
        (["probe_motion", "us_sim_servo"], False, False, True, False, "the servo"),
        (["probe_motion", "us_sim_servo"], False, False, False, False, "the demo"),
        (["probe_motion", "us_sim_scan"], False, False, False, True, "the scan"),
        (["fake_arm"], False, False, False, False, "the arm"),
        (["probe_motion", "us_sim_scan"], False, True, False, False, ""),
        (["franka_bridge", "probe_motion"], False, True, False, False, "franka_bridge"),
    ],
)
def test_the_true_mover_is_named(
    publishers: list[str], in_control: bool, demo_held: bool, servo: bool, scanning: bool, words: str
) -> None:
    assert mover(publishers, in_control, demo_held, servo, scanning) == words

"""The controllers as programs: started, interrupted, and with a parameter that cannot be."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from tests.ros.conftest import DOMAIN

from us_sim.bringup.processes import python_main

ENVIRONMENT = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)}


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("us_sim.control.scan", "waiting for goals on /us_sim_scan/scan"),
        ("us_sim.control.servo", "waiting for us_sim and for the pose of its probe"),
    ],
)
def test_a_controller_says_what_it_waits_for_and_ends_when_interrupted(module: str, words: str) -> None:
    with subprocess.Popen(python_main(module), stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "[us_sim" in line)
        assert words in line
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("module", "parameter", "words"),
    [
        ("us_sim.control.scan", "force_limit:=.nan", "force_limit"),
        ("us_sim.control.servo", "force:=.nan", "force"),
        ("us_sim.control.servo", "force:=29.0", "force is 29 N; expected less than force_limit, 25 N"),
    ],
)
def test_a_parameter_that_cannot_be_ends_the_program_with_a_line(module: str, parameter: str, words: str) -> None:
    command = [*python_main(module), "--ros-args", "-p", parameter]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, timeout=120, check=False)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr

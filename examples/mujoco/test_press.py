"""The arm comes to rest where the patient pushes back as hard as it presses."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from tests.core.patients import box_patient

pytest.importorskip("mujoco")


def test_the_arm_rests_where_the_forces_balance() -> None:
    press = runpy.run_path(str(Path(__file__).with_name("press.py")))["press"]
    simulator, pose, felt = press(box_patient())
    assert felt == pytest.approx(5.0, abs=0.1)
    assert simulator.contact(pose).coupling > 0.5

"""The arm comes to rest where the patient pushes back as hard as it presses."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from tests.core.patients import box_patient

from us_sim.core.geometry.transforms import apply, inverse, rigid
from us_sim.core.robot.motion import motion

mujoco = pytest.importorskip("mujoco")

EXAMPLE = runpy.run_path(str(Path(__file__).with_name("press.py")))


def test_the_arm_rests_where_the_forces_balance() -> None:
    patient = box_patient()
    simulator, pose, felt = EXAMPLE["press"](patient)
    assert felt == pytest.approx(5.0, abs=0.1)
    assert simulator.contact(pose).coupling > 0.5
    x, y, z = apply(inverse(motion("liver_sweep", patient, 1)[0]), pose[:3, 3])
    assert np.hypot(x, y) < 1.0  # mm: it went straight ahead
    assert z > -15.0


def test_the_model_begins_with_the_probe_where_it_is_told() -> None:
    """Six joints; the face's site in the world, m, is the pose, mm."""
    patient = box_patient()
    start = motion("liver_sweep", patient, 1)[0] @ rigid(np.eye(3), (3.0, -4.0, -20.0))
    model = mujoco.MjModel.from_xml_string(EXAMPLE["described"](patient, start))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    assert model.nv == 6
    np.testing.assert_allclose(1e3 * data.site("face").xpos, start[:3, 3], atol=1e-3)
    np.testing.assert_allclose(data.site("face").xmat.reshape(3, 3), start[:3, :3], atol=1e-6)

"""Contact, indentation and force of a pose, worked out once, at rest and on the move."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.patients import box_patient, on_the_box

from us_sim.core.contact import touch as module
from us_sim.core.contact.contact import Contact, contact
from us_sim.core.contact.deformation import displacement, displacements
from us_sim.core.contact.force import wrench
from us_sim.core.contact.indentation import Face, Indentation, face_of, indentation, indentations
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.contact.touch import touch_at, touches_at
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.patient import Patient
from us_sim.core.simulator import Simulator

LINEAR = ProbeGeometry(ProbeKind.LINEAR, 60.0, aperture=40.0, width=64, height=64, scan_lines=64, samples=192)
DAMPED = MechanicsSettings(damping=5.0, friction=0.2)


@pytest.fixture(scope="module")
def patient() -> Patient:
    return box_patient()


def test_it_holds_what_contact_indentation_and_force_say(patient: Patient) -> None:
    pose = on_the_box(pressed=4.0)
    found, state = touch_at(patient, LINEAR, DAMPED, pose), indentation(patient, face_of(LINEAR), pose)
    np.testing.assert_array_equal(found.contact.line_distance, contact(patient.skin, LINEAR, pose).line_distance)
    np.testing.assert_array_equal(found.indentation.penetration, state.penetration)
    np.testing.assert_array_equal(found.wrench.force, wrench(state, DAMPED).force)
    assert found.wrench.force[2] < 0


def test_the_touch_before_gives_the_speed(patient: Patient) -> None:
    before, now = (touch_at(patient, LINEAR, DAMPED, on_the_box(pressed=depth)) for depth in (4.0, 5.0))
    moving = now.after(before, 0.02)  # 50 mm/s: 1 + 5 s/m × 0.05 m/s
    assert moving.wrench.force[2] == pytest.approx(1.25 * now.wrench.force[2], rel=1e-6)
    assert moving.contact is now.contact
    np.testing.assert_array_equal(moving.at_rest().wrench.force, now.wrench.force)


def test_another_patient_says_nothing_about_the_speed(patient: Patient) -> None:
    before = touch_at(box_patient(), LINEAR, DAMPED, on_the_box(pressed=4.0))
    now = touch_at(patient, LINEAR, DAMPED, on_the_box(pressed=5.0))
    np.testing.assert_array_equal(now.after(before, 0.02).wrench.force, now.wrench.force)


def test_a_frame_is_worked_out_once_and_carries_the_force(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    simulator = Simulator(patient, LINEAR, device="cpu", mechanics=DAMPED)
    poses: list[Matrix] = []

    def counted(patient: Patient, face: Face, given: Matrix) -> list[Indentation]:
        poses.extend(given)
        return indentations(patient, face, given)

    monkeypatch.setattr(module, "indentations", counted)
    frame = simulator.render(on_the_box(pressed=4.0))
    assert len(poses) == 1
    assert frame.deformed
    np.testing.assert_array_equal(frame.wrench.force, simulator.touch(on_the_box(pressed=4.0)).wrench.force)
    known = simulator.touch(on_the_box(pressed=5.0)).after(simulator.touch(on_the_box(pressed=4.0)), 0.02)
    poses.clear()
    moving = simulator.render(on_the_box(pressed=5.0), touches=[known])
    assert poses == []
    assert moving.contact is known.contact
    np.testing.assert_array_equal(moving.wrench.force, known.wrench.force)
    np.testing.assert_array_equal(moving.image, simulator.render(on_the_box(pressed=5.0)).image)


def test_in_a_batch_each_pose_is_met_as_it_is_alone(patient: Patient) -> None:
    """Pressed in, tilted, in the gel, in the air and turned away: to the last bit."""
    turned = on_the_box(pressed=3.0) @ np.diag([1.0, -1.0, -1.0, 1.0])
    poses = [on_the_box(pressed=depth) for depth in (6.0, 0.5, -3.0, -80.0)] + [on_the_box(20.0, 3.0), turned]
    together = touches_at(patient, LINEAR, DAMPED, np.stack(poses))
    fields = displacements([one.indentation for one in together], LINEAR)
    for pose, one, field in zip(poses, together, fields, strict=True):
        alone = touch_at(patient, LINEAR, DAMPED, pose)
        for name in Contact.__annotations__:
            np.testing.assert_array_equal(getattr(one.contact, name), getattr(alone.contact, name))
        for name in ("ct_from_probe", "skin", "penetration", "bone", "stiffness"):
            np.testing.assert_array_equal(getattr(one.indentation, name), getattr(alone.indentation, name))
        np.testing.assert_array_equal(one.wrench.torque, alone.wrench.torque)
        expected = displacement(alone.indentation, LINEAR)
        assert (field is None) == (expected is None)
        if field is not None and expected is not None:
            np.testing.assert_array_equal(field.table, expected.table)
    assert [field is not None for field in fields] == [True, True, False, False, True, False]

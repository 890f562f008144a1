"""The servo on the built-in phantom in simulated time: what `us_sim.bringup.servo_table` measures over DDS."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from us_sim.bringup.servo_table import HELD, PERIOD, WITHIN, Trial, Truth, right_kidney, starts
from us_sim.control.admittance import ContactState, admittance_step
from us_sim.control.guard import Guard
from us_sim.control.visual_servo import Observation, Phase, Servo
from us_sim.core.analysis.organ_views import organ_views
from us_sim.core.contact.force import wrench
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.geometry.probe import preset
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.breathing import mobility_of
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TissueClass

STEP, EVERY = 0.04, 2  # s between two poses; a frame for every second one
patient_of = cache(builtin_patient)


def steps(simulator: Simulator, servo: Servo, pose: Matrix) -> Iterator[tuple[float, Matrix]]:
    """Yield time, s, and pose, mm, of a closed loop."""
    guard, before = Guard(5.0, 1.0, 25.0), None
    for number in range(10**6):
        seconds = number * STEP
        pressed = simulator.indentation(pose)
        force = wrench(pressed, simulator.mechanics, before, STEP).force
        contact = simulator.contact(pose)
        sensed, before = ContactState(-float(force[2]), contact.in_contact, contact.normal), pressed
        assert not guard.update(sensed, STEP)
        if servo.phase is Phase.PRESS and guard.settled:
            servo.begin()
        if number % EVERY == 0:
            servo.observe(kidney(simulator, pose, seconds))
        yield seconds, pose
        pose = admittance_step(pose, sensed, servo.slide(pose, STEP), 5.0, STEP, servo.lateral)


def kidney(simulator: Simulator, pose: Matrix, seconds: float) -> Observation:
    """What `~/analysis` would tell of the kidney."""
    labels = simulator.render(pose, image=False, ct_slice=False, times=[seconds]).labels
    assert labels is not None
    views = organ_views(labels, np.zeros(labels.shape, dtype=bool), pose, simulator.probe)
    view = next(view for view in views if view.organ == TissueClass.KIDNEY)
    return Observation(view.area, view.centroid_ct, pose)


@pytest.mark.parametrize(("seed", "number", "breathing"), [(0, 0, 0.0), (0, 1, 15.0)])
def test_the_right_kidney_is_centred_and_held(seed: int, number: int, breathing: float) -> None:
    patient = patient_of(seed)
    mechanics = MechanicsSettings(breathing_amplitude=breathing, breathing_period=PERIOD)
    simulator = Simulator(patient, preset("c5_2").with_depth(110.0), mechanics=mechanics, device="cpu")
    truth, servo = Truth.of(patient, breathing), Servo()
    held: list[NDArray[np.float64]] = []
    for seconds, pose in steps(simulator, servo, starts(patient, 4, seed)[number]):
        assert seconds < 30.0, servo.phase
        if servo.phase is Phase.HOLD:
            held.append(np.abs(truth.offset(pose, seconds)[:2]))
        if len(held) * STEP > (1.5 * PERIOD if breathing else 1.0):
            break
    assert np.max(held) < WITHIN / 2
    assert right_kidney(patient)[:, 0].min() > 0  # not the left one


def test_the_truth_breathes_with_the_patient() -> None:
    """A voxel of the kidney moves by its share of the breath; the mean share is that of the truth."""
    patient = patient_of(0)
    rest, drawn = Truth.of(patient, 0.0), Truth.of(patient, 15.0)
    np.testing.assert_allclose(rest.rest, right_kidney(patient).mean(axis=0))
    np.testing.assert_allclose(drawn.offset(np.eye(4), 0.0), rest.rest)
    moved = drawn.offset(np.eye(4), PERIOD / 2) - rest.rest
    assert -15.0 < moved[2] < -0.5 * 15.0  # kidneys move by 0.6 to 0.7 of the diaphragm
    assert moved[1] == pytest.approx(-0.25 * moved[2])
    assert mobility_of(patient.volume, patient.skin).share.max() <= 1.0


def test_starts_are_seeded_and_stand_above_the_right_flank() -> None:
    patient = patient_of(0)
    poses = np.array(starts(patient, 4, 7))
    np.testing.assert_array_equal(poses, starts(patient, 4, 7))
    assert (poses != starts(patient, 4, 8)).any()
    distance = patient.skin.distance_at(poses[:, :3, 3])
    assert ((distance > 5.0) & (distance < 26.0)).all()
    assert (poses[:, 0, 3] > 50.0).all()
    normals = patient.skin.normal_at(poses[:, :3, 3])
    assert (np.einsum("ni,ni->n", normals, -poses[:, :3, 2]) > np.cos(np.radians(35))).all()


def test_a_trial_counts_only_what_is_held_and_said() -> None:
    def trial(offsets: list[float], said: float | None) -> float | None:
        one = Trial(Truth(np.zeros(3), np.zeros(3)), said=said)
        for number, x in enumerate(offsets):
            one.add(0.5 * number, np.array([x, 0.0, 50.0]))
        return one.held

    assert HELD == 2.0
    assert trial([20, 9, 9, 9, 9, 9, 9], 0.0) == 2.5
    assert trial([20, 9, 9, 9, 9, 9, 9], None) is None
    assert trial([9, 9, 9, 11, 9, 9, 9], 0.0) is None

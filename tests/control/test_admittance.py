"""The force that is held, and the poses that follow from it, against numbers computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.control.flat import contact_at, upright

from us_sim.control.admittance import (
    ALIGN,
    DAMPING,
    FASTEST_PRESS,
    FASTEST_TURN,
    IN_AIR,
    ContactState,
    admittance_step,
    complied,
    moved,
    moved_towards,
    press_velocity,
    retracted,
    turn_rate,
)
from us_sim.core.geometry.transforms import check_pose, rigid, vector_from_rotation

STILL = np.zeros(2)
X, Y, Z = np.eye(3)


@pytest.mark.parametrize(
    ("force", "speed"), [(5.0, 0.0), (5.6, -2.0), (4.7, 1.0), (0.0, FASTEST_PRESS), (20.0, -FASTEST_PRESS)]
)
def test_the_speed_of_pressing_is_the_missing_force_over_the_damping(force: float, speed: float) -> None:
    assert press_velocity(force, 5.0) == pytest.approx(speed)


@pytest.mark.parametrize("stiffness", [0.4, 2.3, 4.3])  # N/mm: belly, middle and ribs of the built-in phantom
@pytest.mark.parametrize("step", [0.01, 0.02])
def test_on_a_spring_the_force_settles_at_5_n_and_never_passes_it(stiffness: float, step: float) -> None:
    pose, forces = upright(z=-20.0), []
    for _ in range(round(8.0 / step)):
        sensed = contact_at(pose, stiffness)
        forces.append(sensed.force)
        pose = admittance_step(pose, sensed, STILL, 5.0, step)
    assert max(forces) <= 5.0 + 1e-9
    # 3 s through the air and to where pressing is no longer at its fastest, then the time constant DAMPING / k
    settled = round((2.0 + 5.0 / stiffness / FASTEST_PRESS + 5 * DAMPING / stiffness) / step)
    assert forces[settled] == pytest.approx(5.0, rel=0.01)
    np.testing.assert_allclose(forces[-1], 5.0, rtol=1e-3)


def test_near_the_wanted_force_each_step_leaves_the_share_of_the_error_that_theory_says() -> None:
    pose = upright(z=4.0)  # 4 N on 1 N/mm
    pose = admittance_step(pose, contact_at(pose), STILL, 5.0, 0.02)
    assert contact_at(pose).force == pytest.approx(5.0 - (5.0 - 4.0) * (1 - 0.02 / DAMPING))


def test_the_beam_turns_onto_the_normal() -> None:
    tilt = 0.1
    normal = np.array([0.0, -math.sin(tilt), -math.cos(tilt)])  # the skin faces -y: +z has to turn towards +y
    np.testing.assert_allclose(turn_rate(normal), [-ALIGN * tilt, 0.0, 0.0])
    np.testing.assert_allclose(turn_rate(np.array([math.sin(tilt), 0.0, -math.cos(tilt)])), [0.0, -ALIGN * tilt, 0.0])
    np.testing.assert_allclose(np.linalg.norm(turn_rate(np.array([0.0, -1.0, 0.0]))), FASTEST_TURN)
    assert not turn_rate(np.full(3, np.nan)).any()
    np.testing.assert_allclose(turn_rate(-Z, np.array([1.0, 0.1, 0.3])), [0, 0, ALIGN * math.atan(0.1)])


def test_a_tilted_and_turned_probe_ends_square_to_the_skin() -> None:
    pose = moved(upright(z=2.0), np.zeros(3), np.array([0.3, -0.2, 0.5]), 1.0)
    for _ in range(200):
        pose = admittance_step(pose, contact_at(pose), STILL, 5.0, 0.02, lateral=X)
    np.testing.assert_allclose(pose[:3, :3], np.eye(3), atol=1e-3)
    check_pose(pose)


def test_a_pose_moves_and_turns_in_the_probes_own_frame() -> None:
    quarter = rigid([[0, -1, 0], [1, 0, 0], [0, 0, 1]], (10.0, 0.0, 0.0))
    np.testing.assert_allclose(moved(quarter, np.array([2.0, 0.0, 1.0]), np.zeros(3), 3.0)[:3, 3], [10.0, 6.0, 3.0])
    turned = moved(upright(), np.zeros(3), np.array([0.0, 0.0, math.pi / 4]), 2.0)
    np.testing.assert_allclose(turned[:3, :3], quarter[:3, :3], atol=1e-12)
    np.testing.assert_allclose(retracted(quarter, 30.0)[:3, 3], [10.0, 0.0, -30.0])


def test_sliding_waits_for_the_force_and_yields_to_too_much() -> None:
    def way(force: float) -> float:
        sensed = ContactState(force, True, -Z)
        return float(admittance_step(upright(), sensed, np.array([20.0, 0.0]), 5.0, 0.1)[0, 3])

    assert way(0.0) == 0.0
    assert way(1.25) == pytest.approx(1.0)  # half of the share at which it is free
    assert way(5.0) == pytest.approx(2.0)
    assert way(10.0) == pytest.approx(1.0)
    assert way(13.0) == 0.0
    assert admittance_step(upright(), IN_AIR, np.array([20.0, 0.0]), 5.0, 0.1)[0, 3] == 0.0


def test_one_pass_moves_many_probes_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    pose = moved(np.tile(np.eye(4), (6, 1, 1)), rng.normal(0, 30, (6, 3)), rng.normal(0, 1, (6, 3)), 1.0)
    sensed = [
        ContactState(force, True, contact_at(one).normal) for force, one in zip(range(0, 18, 3), pose, strict=True)
    ]
    sensed[2] = IN_AIR
    slide, ahead = rng.normal(0, 20, (6, 2)), rng.normal(0, 1, (6, 3))
    target, seconds = np.linspace(3.0, 8.0, 6), np.linspace(0.01, 0.06, 6)
    force, normal = np.array([one.force for one in sensed]), np.stack([one.normal for one in sensed])
    found = complied(pose, force, normal, slide, target, seconds, ahead)
    for n in range(6):
        alone = admittance_step(pose[n], sensed[n], slide[n], target[n], seconds[n], pose[n, :3, :3] @ ahead[n])
        np.testing.assert_allclose(found[n], alone, rtol=0, atol=1e-12)


def test_a_probe_is_carried_no_faster_than_allowed_and_arrives() -> None:
    target = moved(upright(), np.array([30.0, 40.0, 0.0]), np.array([0.0, 0.0, 0.5]), 1.0)
    np.testing.assert_allclose(moved_towards(upright(), target, 10.0, 9.9)[:3, 3], [6.0, 8.0, 0.0])
    np.testing.assert_allclose(vector_from_rotation(moved_towards(upright(), target, 99.0, 0.1)[:3, :3]), [0, 0, 0.1])
    assert moved_towards(upright(), target, 51.0, 0.6) is target
    assert moved_towards(target, target, 0.0, 0.0) is target


@pytest.mark.parametrize("vector", [(0.0, 0.0, 0.0), (1e-10, 0, 0), (0.3, -1.2, 0.4), (0, math.pi - 1e-9, 0)])
def test_a_rotation_vector_is_that_of_the_rotation(vector: tuple[float, float, float]) -> None:
    rotation = moved(np.eye(4), np.zeros(3), np.array(vector), 1.0)[:3, :3]
    again = moved(np.eye(4), np.zeros(3), vector_from_rotation(rotation), 1.0)[:3, :3]
    np.testing.assert_allclose(again, rotation, atol=1e-6)

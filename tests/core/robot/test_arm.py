"""Kinematics against angles and lengths worked out by hand, and inverse against forward."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from us_sim.core.errors import ArmError
from us_sim.core.geometry.transforms import rigid
from us_sim.core.robot.arm import Arm, error, follow, loop, solve, turn
from us_sim.core.robot.urdf import Joint, attached, chain

FOLDER = Path(__file__).resolve().parents[3] / "ros2_ws" / "src" / "us_sim" / "us_sim" / "resources" / "urdf"
HOME = np.array([0.0, 0.3, 0.0, 1.7, 0.0, 1.14, 0.0])
TEXT = attached((FOLDER / "arm.urdf").read_text(), (FOLDER / "probe.urdf").read_text(), "flange")


def planar(home: tuple[float, float] = (0.5, 0.5)) -> Arm:
    """Two links of 300 and 200 mm in the plane of x and y."""
    z = np.array([0.0, 0.0, 1.0])
    return Arm(
        (
            Joint("shoulder", np.eye(4), z, -3.0, 3.0),
            Joint("elbow", rigid(np.eye(3), (300, 0, 0)), z, -3.0, 3.0),
            Joint("hand", rigid(np.eye(3), (200, 0, 0))),
        ),
        np.array(home),
    )


@pytest.fixture(scope="module")
def arm() -> Arm:
    return Arm(chain(TEXT, "base_link", "probe"), HOME)


def rot(axis: str, angle: float) -> NDArray[np.float64]:
    c, s = math.cos(angle), math.sin(angle)
    return np.array(
        {
            "y": [[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, 0], [0, 0, 0, 1]],
            "z": [[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        }[axis]
    )


def up(length: float) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[2, 3] = length
    return matrix


def by_hand(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shoulder 320 mm over the floor, 440 mm to the elbow, 420 to the wrist, 150 to the flange, 140 to the face."""
    return (
        rot("z", q[0])
        @ up(320)
        @ rot("y", q[1])
        @ rot("z", q[2])
        @ up(440)
        @ rot("y", q[3])
        @ rot("z", q[4])
        @ up(420)
        @ rot("y", q[5])
        @ up(150)
        @ rot("z", q[6])
        @ rot("z", math.pi)
        @ up(140)
    )


def near_home(*moved: float) -> NDArray[np.float64]:
    return HOME + np.array(moved)


def test_two_links_by_hand() -> None:
    tip = planar().base_from_tip([math.pi / 2, -math.pi / 2])
    np.testing.assert_allclose(tip[:3, 3], [200, 300, 0], atol=1e-9)
    np.testing.assert_allclose(tip[:3, :3], np.eye(3), atol=1e-12)


def test_stretched_upwards_the_lengths_add_up(arm: Arm) -> None:
    np.testing.assert_allclose(
        arm.base_from_tip(np.zeros(7)), rot("z", math.pi) @ up(320 + 440 + 420 + 150 + 140), atol=1e-9
    )
    assert arm.names == [f"joint_{number}" for number in range(1, 8)]


def test_the_shipped_arm_moves_as_worked_out_by_hand(arm: Arm) -> None:
    rng = np.random.default_rng(0)
    low, high = arm.limits
    for angles in rng.uniform(low, high, (50, 7)):
        np.testing.assert_allclose(arm.base_from_tip(angles), by_hand(angles), atol=1e-9)


def test_the_jacobian_is_the_derivative(arm: Arm) -> None:
    rng = np.random.default_rng(1)
    for angles in rng.uniform(-1, 1, (5, 7)):
        jacobian, small = arm.jacobian(angles), 1e-6
        for number, step in enumerate(np.eye(7) * small):
            moved = error(arm.base_from_tip(angles + step), arm.base_from_tip(angles - step)) / (2 * small)
            np.testing.assert_allclose(jacobian[:, number], moved, atol=1e-3)


def test_the_error_is_a_way_and_a_turn() -> None:
    target = rigid(turn([0, 0, 0.5]), (1, 2, 3))
    np.testing.assert_allclose(error(target, np.eye(4)), [1, 2, 3, 0, 0, 0.5], atol=1e-12)
    np.testing.assert_allclose(error(np.eye(4), np.eye(4)), np.zeros(6))
    assert np.linalg.norm(error(rigid(turn([0, math.pi, 0]), (0, 0, 0)), np.eye(4))) == pytest.approx(math.pi)


def test_reachable_poses_are_reached_within_the_limits(arm: Arm) -> None:
    rng = np.random.default_rng(2)
    low, high = arm.limits
    for angles in HOME + rng.uniform(-0.35, 0.35, (40, 7)):
        target = by_hand(angles)
        found = solve(arm, target)
        away = by_hand(found) - target
        assert np.abs(away[:3, 3]).max() < 0.02
        assert np.abs(away[:3, :3]).max() < 3e-5
        assert ((low <= found) & (found <= high)).all()


def test_the_posture_depends_on_the_pose_alone(arm: Arm) -> None:
    target = by_hand(near_home(0.2, 0.1, 0.3, -0.1, -0.2, 0.1, 0.3))
    first = solve(arm, target)
    other = solve(arm, target, near_home(0.3, -0.2, -0.4, 0.2, 0.3, 0.2, -0.3))
    np.testing.assert_allclose(first, other, atol=2e-3)


def test_at_home_nothing_moves(arm: Arm) -> None:
    np.testing.assert_allclose(solve(arm, by_hand(HOME)), HOME, atol=1e-6)


@pytest.mark.parametrize("pose", [rigid(np.eye(3), (2000, 0, 500)), rigid(np.eye(3), (0, 0, -3000))])
def test_out_of_reach_says_how_far(arm: Arm, pose: NDArray[np.float64]) -> None:
    with pytest.raises(
        ArmError,
        match=r"out of the arm's reach, the tip stays \d+\.\d mm and \d\.\d+ rad away.*"
        r"move the patient \(world_from_ct\)",
    ):
        solve(arm, pose)


def test_joints_at_their_limits_are_named(arm: Arm) -> None:
    with pytest.raises(ArmError, match="at their limits: joint_4; move the patient"):
        solve(arm, by_hand(near_home(0, 0, 0, 0.9, 0, 0, 0)))  # the elbow ends at 2.1


def circle(count: int, radius: float = 40.0) -> NDArray[np.float64]:
    phases = 2 * np.pi * np.arange(count) / count
    middle = by_hand(HOME)
    return np.stack([rigid(np.eye(3), (radius * math.cos(p), radius * math.sin(p), 0)) @ middle for p in phases])


def test_a_closed_path_is_followed_and_closes(arm: Arm) -> None:
    targets = circle(60)
    angles = follow(arm, targets)
    for q, target in zip(angles, targets, strict=True):
        np.testing.assert_allclose(by_hand(q), target, atol=0.02)
    steps = np.abs(np.diff(angles, axis=0, append=angles[:1])).max(axis=1)
    assert steps[-1] < 1.5 * steps[:-1].max()


def test_between_the_poses_the_tip_stays_on_its_path(arm: Arm) -> None:
    path = loop(arm, circle(60), period=10.0)
    for moment in np.linspace(0, 20, 37):  # two rounds
        phase = 2 * np.pi * moment / 10
        expected = by_hand(HOME)[:3, 3] + [40 * math.cos(phase), 40 * math.sin(phase), 0]
        np.testing.assert_allclose(by_hand(path(moment))[:3, 3], expected, atol=0.05)
    np.testing.assert_allclose(path(0.0, 1), (path(1e-4) - path(-1e-4)) / 2e-4, atol=1e-4)


def test_too_fast_a_round_is_refused(arm: Arm) -> None:
    with pytest.raises(ArmError, match=r"joint_\d would turn at [\d.]+ rad/s; expected at most \d\.\d: take a longer"):
        loop(arm, circle(60), period=0.05)


def test_an_unreachable_pose_of_a_path_is_named(arm: Arm) -> None:
    targets = circle(10)
    targets[3, 0, 3] += 3000
    with pytest.raises(ArmError, match="pose 3 of 10: out of the arm's reach"):
        follow(arm, targets)


def test_a_jump_is_refused(arm: Arm) -> None:
    targets = circle(10)
    targets[4:, :3, :3] = by_hand(near_home(0, 0, 0, 0, 0, 0, 1.0))[:3, :3]
    with pytest.raises(ArmError, match=r"the arm jumps by [\d.]+ rad before pose [04] of 10; expected at most 0.3"):
        follow(arm, targets)


@pytest.mark.parametrize("home", [(0.0,), (0.0, 4.0), (0.0, math.nan)])
def test_an_impossible_home_is_refused(home: tuple[float, ...]) -> None:
    with pytest.raises(ArmError, match="home "):
        Arm(planar().joints, np.array(home))

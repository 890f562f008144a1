"""The servo in simulated time, on a ball under a flat skin, where everything can be computed by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from tests.control.flat import Ball, contact_at, upright

from us_sim.control.admittance import admittance_step
from us_sim.control.visual_servo import (
    AHEAD,
    ALPHA,
    BETA,
    SEARCH,
    SWEEP_SPEED,
    AlphaBetaFilter,
    Observation,
    Phase,
    Servo,
    VolumeCentroid,
)
from us_sim.core.geometry.transforms import Matrix, rigid

STEP = 0.02


def run(
    servo: Servo, start: Matrix, look: Callable[[Matrix, float], Observation], until: Phase, every: int = 3
) -> tuple[Matrix, float]:
    """Step until a phase; a frame comes with every third pose. Return pose and time."""
    pose, step = start, 0
    servo.begin()
    while servo.phase is not until:
        assert step * STEP < 60, servo.phase
        if step % every == 0:
            servo.observe(look(pose, step * STEP))
        pose = admittance_step(pose, contact_at(pose), servo.slide(pose, STEP), 5.0, STEP, servo.lateral)
        step += 1
    return pose, step * STEP


def test_slices_add_up_to_the_centroid_of_the_volume() -> None:
    ball = Ball()
    total = VolumeCentroid()
    for y in np.arange(0.0, 80.0, 0.5):
        total.add(ball.seen(upright(y=y)))
    np.testing.assert_allclose(total.centroid, ball.centre, atol=0.3)
    assert total.volume == pytest.approx(4 / 3 * np.pi * ball.radius**3, rel=0.01)


def test_uneven_steps_and_no_slice_at_all() -> None:
    ball, total = Ball(), VolumeCentroid()
    assert np.isnan(total.centroid).all()
    steps = np.random.default_rng(0).uniform(0.1, 1.5, 200).cumsum()
    for y in steps:
        total.add(ball.seen(upright(y=y)))
    np.testing.assert_allclose(total.centroid, ball.centre, atol=0.5)


@pytest.mark.parametrize("centre", [(20, 35, 60), (-30, -50, 70), (0, 0, 50), (70, 10, 60)])
def test_an_organ_is_found_and_put_in_the_middle(centre: tuple[float, float, float]) -> None:
    ball = Ball(np.array(centre, dtype=float))
    servo = Servo()
    pose, seconds = run(servo, upright(z=5.0), lambda pose, _: ball.seen(pose), Phase.HOLD)
    np.testing.assert_allclose(pose[:2, 3], centre[:2], atol=2.0)
    np.testing.assert_allclose(servo.centre, centre, atol=2.0)
    np.testing.assert_allclose(servo.offset(pose), 0.0, atol=2.0)
    assert seconds < 30


@pytest.mark.parametrize(("turn", "along"), [(0.8, 1.0), (-0.8, -1.0)])
def test_the_picture_is_turned_along_the_body_by_the_shorter_way(turn: float, along: float) -> None:
    """z of `ct` runs along the body; the probe looks along x here, and its own x lies nearer to +z or to -z."""
    cos, sin = math.cos(turn), math.sin(turn)
    facing = rigid(np.array([[0.0, 0.0, 1.0], [cos, -sin, 0.0], [sin, cos, 0.0]]), np.zeros(3))
    servo = Servo()
    assert servo.lateral is None
    servo.begin()
    for y in np.arange(-40.0, 40.0, 0.5):  # one way over the organ, to its edge
        servo.observe(ball_at(y, facing))
        servo.slide(facing, 0.02)
    for y in np.arange(40.0, -40.0, -0.5):
        servo.observe(ball_at(y, facing))
        servo.slide(facing, 0.02)
    assert servo.phase is Phase.CENTRE
    assert servo.lateral is not None
    np.testing.assert_array_equal(servo.lateral, [0, 0, along])


def ball_at(y: float, facing: Matrix) -> Observation:
    """A slice of a ball from a probe moved by y along its own y."""
    pose = facing @ upright(y=y)
    return Observation(math.pi * (625 - y * y) if abs(y) < 25 else 0.0, pose[:3, 3], pose)


def test_what_moves_in_the_picture_is_followed() -> None:
    servo, ball = Servo(), Ball()
    pose, _ = run(servo, upright(z=5.0), lambda pose, _: ball.seen(pose), Phase.HOLD)
    errors = []
    for step in range(500):
        moved = Ball(ball.centre + 6.0 * np.sin(2 * np.pi * step * STEP / 4.0) * np.array([1.0, 0.0, 0.0]))
        if step % 3 == 0:
            servo.observe(moved.seen(pose))
        errors.append(moved.centre[0] - pose[0, 3])
        pose = admittance_step(pose, contact_at(pose), servo.slide(pose, STEP), 5.0, STEP, servo.lateral)
    assert np.abs(errors[200:]).max() < 1.0  # of 6 mm; a gain of 4/s alone would lag 2.4 mm behind its 9.4 mm/s


def test_without_frames_no_search_goes_on() -> None:
    servo = Servo()
    servo.begin()
    servo.observe(Observation(0.0, np.full(3, np.nan), upright()))
    assert servo.slide(upright(), 0.5).any()
    assert not servo.slide(upright(), 0.6).any()
    servo.observe(Ball().seen(upright(y=35.0)))
    assert servo.phase is Phase.SWEEP
    assert servo.slide(upright(y=35.0), 0.5).any()
    assert not servo.slide(upright(y=35.0), 0.6).any()


def test_an_organ_that_is_gone_on_the_way_back_is_absent() -> None:
    servo, start = Servo(), upright(z=5.0)
    pose, _ = run(
        servo,
        start,
        lambda pose, seconds: Ball().seen(pose) if seconds < 2.5 else Observation(0.0, np.full(3, np.nan), pose),
        Phase.ABSENT,
    )
    assert np.isnan(servo.centre).all()
    assert np.isfinite(pose).all()


def test_images_that_come_late_are_taken_for_what_they_were() -> None:
    """Something at 10 mm/s, seen every 0.1 s, 0.2 s late: after some frames it is expected where it is."""
    follower = AlphaBetaFilter()
    for number in range(60):
        seen = 0.1 * number
        follower.add(np.array([10.0 * seen, 0.0, 50.0]), seen)
    np.testing.assert_allclose(follower.at(seen + 0.2), [10.0 * (seen + 0.2), 0.0, 50.0], atol=0.05)
    np.testing.assert_array_equal(follower.at(seen + 0.8), follower.at(seen + AHEAD))
    follower.add(np.array([0.0, 0.0, 0.0]), seen - 0.1)  # older than the last: left out
    np.testing.assert_allclose(follower.velocity, [10.0, 0.0, 0.0], atol=0.05)
    follower.add(np.array([0.0, 0.0, 0.0]), seen + 5.0)  # after a gap
    np.testing.assert_array_equal(follower.at(seen + 5.5), np.zeros(3))


def test_a_first_surprise_goes_into_place_and_velocity() -> None:
    follower = AlphaBetaFilter()
    follower.add(np.zeros(3), 0.0)
    follower.add(np.array([1.0, 0.0, 0.0]), 0.1)
    np.testing.assert_allclose(follower.place, [ALPHA, 0.0, 0.0])
    np.testing.assert_allclose(follower.velocity, [BETA / 0.1, 0.0, 0.0])


def test_another_organ_of_that_name_far_beside_does_not_lead_astray() -> None:
    servo, ball = Servo(), Ball()
    pose, _ = run(servo, upright(z=5.0), lambda pose, _: ball.seen(pose), Phase.HOLD)
    servo.observe(Observation(900.0, ball.centre + np.array([55.0, 0.0, 0.0]), pose))
    np.testing.assert_allclose(servo.offset(pose), 0.0, atol=2.0)


def test_an_organ_that_is_not_there_ends_the_search() -> None:
    servo = Servo()
    pose, seconds = run(servo, upright(z=5.0), lambda pose, _: Observation(0.0, np.full(3, np.nan), pose), Phase.ABSENT)
    length = sum(np.hypot(*leg) for leg in SEARCH)
    assert seconds == pytest.approx(length / SWEEP_SPEED, abs=0.3)
    end = np.sum(SEARCH, axis=0)
    np.testing.assert_allclose(pose[:2, 3], end, atol=4.0)
    assert not servo.slide(pose, STEP).any()


def test_before_it_begins_and_with_frames_that_stay_away_nothing_slides() -> None:
    servo = Servo()
    servo.observe(Ball().seen(upright()))
    assert not servo.slide(upright(), STEP).any()
    assert servo.phase is Phase.PRESS


def test_an_organ_that_is_not_seen_is_not_held() -> None:
    servo, ball = Servo(), Ball()
    pose, _ = run(servo, upright(z=5.0), lambda pose, _: ball.seen(pose), Phase.HOLD)
    servo.slide(pose, 0.5)
    assert servo.phase is Phase.HOLD
    servo.slide(pose, 3.0)
    assert servo.phase is Phase.CENTRE
    servo.slide(pose, 3.0)
    assert servo.phase is Phase.CENTRE

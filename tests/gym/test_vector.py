"""Many environments at once do what each does alone."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from us_sim.core.contact.touch import Touch
from us_sim.core.errors import ConfigError
from us_sim.core.faulty_simulator import FaultySimulator
from us_sim.core.geometry.transforms import Matrix
from us_sim.gym import skin_probe
from us_sim.gym.registration import STEPS
from us_sim.gym.vector import UsSimVectorEnv
from us_sim.gym.workers import worker_envs

NAME, COUNT = "UsSim/Reach-v0", 3
SMALL: dict[str, Any] = {"size": 32, "depth": 100.0, "axes": ("x", "y"), "views": ("image", "wrench")}
WHOLE = {**SMALL, "axes": ("x", "y", "turn", "tilt_x", "tilt_y")}  # all that the law is asked for


def actions(steps: int, axes: int = 2) -> np.ndarray:
    """(steps, COUNT, axes) random actions."""
    return np.random.default_rng(0).uniform(-1, 1, (steps, COUNT, axes)).astype(np.float32)


def alone(folder: str, moves: np.ndarray) -> list[list[Any]]:
    """What each environment shows on its own, with the seeds of the vector."""
    shown = []
    for n in range(COUNT):
        env = gymnasium.make(NAME, patients=(folder,), **WHOLE)
        rows: list[Any] = [env.reset(seed=5 + n)[0]["image"]]
        for move in moves[:, n]:
            seen, reward, *_ = env.step(move)
            rows += [seen["image"], reward]
        shown.append(rows)
    return shown


def test_a_batch_of_environments_is_each_alone_to_the_bit(folder: str) -> None:
    moves = actions(3, 5)
    env = UsSimVectorEnv(NAME, COUNT, patients=(folder,), **WHOLE)
    seen, info = env.reset(seed=5)
    rows: list[list[Any]] = [[image] for image in seen["image"].copy()]
    for move in moves:
        seen, rewards, done, cut, info = env.step(move)
        for n in range(COUNT):
            rows[n] += [seen["image"][n].copy(), rewards[n]]
    assert env.observation_space.contains(seen)
    assert info["distance"].shape == (COUNT,)
    assert not cut.any()
    assert done.dtype == bool
    for ours, theirs in zip(rows, alone(folder, moves), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_episodes_begin_anew_after_their_last_step(folder: str) -> None:
    env = UsSimVectorEnv(NAME, 2, patients=(folder,), max_episode_steps=2, **SMALL)
    env.reset(seed=0)
    still = np.zeros((2, 2), np.float32)
    assert not env.step(still)[3].any()
    assert env.step(still)[3].all()
    before = [inner.probe for inner in env.envs]
    _, rewards, done, cut, _ = env.step(still)
    for ended in (done, cut, rewards):
        assert not ended.any()
    assert all(inner.probe is not probe for inner, probe in zip(env.envs, before, strict=True))


def test_law_and_touches_of_all_probes_take_one_pass(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A period of 0.1 s holds two steps of a law of 25 Hz."""
    env = UsSimVectorEnv(NAME, COUNT, patients=(folder,), **SMALL)
    env.reset(seed=0)
    found, asked = FaultySimulator.touches, list[int]()
    law, laid = skin_probe.complied, list[int]()

    def complied(ct_from_probe: Matrix, *given: Any) -> Matrix:
        laid.append(len(ct_from_probe))
        return law(ct_from_probe, *given)

    def counted(simulator: FaultySimulator, nominal: Matrix) -> list[Touch]:
        asked.append(len(nominal))
        return found(simulator, nominal)

    monkeypatch.setattr(FaultySimulator, "touches", counted)
    monkeypatch.setattr(skin_probe, "complied", complied)
    env.step(actions(1)[0])
    assert asked == laid == [COUNT, COUNT]


def test_equal_draws_share_one_simulator(folder: str) -> None:
    env = UsSimVectorEnv(NAME, 2, patients=(folder,), **SMALL)
    env.reset(seed=0)
    assert env.envs[0].simulator is env.envs[1].simulator


def test_worker_processes_show_the_same(folder: str) -> None:
    env = worker_envs(NAME, 1, patients=(folder,), **SMALL)
    try:
        seen, _ = env.reset(seed=5)
        np.testing.assert_array_equal(seen["image"][0], gymnasium.make(
            NAME, patients=(folder,), **SMALL).reset(seed=5)[0]["image"])  # fmt: skip
    finally:
        env.close()


def test_other_environments_and_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected UsSim/Reach-v0"):
        UsSimVectorEnv("CartPole-v1", 1)
    for made in (UsSimVectorEnv, worker_envs):
        with pytest.raises(ConfigError, match="count of environments is 0; expected 1 or more"):
            made(NAME, 0)


def test_seeds_and_actions_of_another_number_are_refused(folder: str) -> None:
    env = UsSimVectorEnv(NAME, COUNT, patients=(folder,), **SMALL)
    with pytest.raises(ConfigError, match="2 seeds for 3 environments; expected one for each"):
        env.reset(seed=[1, 2])
    with pytest.raises(ConfigError, match=r"actions are of shape \(2, 2\); expected \(3, 2\)"):
        env.step(np.zeros((2, 2), np.float32))


@pytest.mark.parametrize("name", list(STEPS))
def test_gymnasium_makes_vectors_by_name(name: str, folder: str) -> None:
    env = gymnasium.make_vec(name, 2, patients=(folder,), render_mode="rgb_array", **SMALL)
    assert isinstance(env.unwrapped, UsSimVectorEnv)
    seen, _ = env.reset(seed=0)
    assert env.render_mode == "rgb_array"
    pictures = env.render()
    assert pictures is not None
    for picture, image in zip(pictures, seen["image"], strict=True):
        np.testing.assert_array_equal(picture, np.repeat(image, 3, axis=-1))
    env.close()

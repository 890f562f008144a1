"""The environments: their interface by two checkers, their physics, what they draw, and that a seed says all."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import pygame
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

import us_sim.gym
from us_sim.core.errors import ConfigError
from us_sim.gym.config import VIEWS, EpisodeConfig
from us_sim.gym.environment import ProbeEnv

NAMES = ("UsSim/Reach-v0", "UsSim/StandardPlane-v0", "UsSim/Scan-v0")
SMALL: dict[str, Any] = {"size": 32, "depth": 100.0}


def made(name: str, folder: str, **options: Any) -> ProbeEnv:
    """The environment itself, without the wrappers of `make`."""
    env = gymnasium.make(name, **{"patients": (folder,), **SMALL, **options}).unwrapped
    assert isinstance(env, ProbeEnv)
    return env


@pytest.mark.parametrize("name", NAMES)
def test_both_checkers_pass(name: str, folder: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(infinity|normalized|spec).*")
        check_env(made(name, folder, render_mode="rgb_array"), skip_render_check=True)
        check_env_of_sb3(made(name, folder, render_mode="rgb_array"), warn=False)


def test_every_view_lies_in_its_space(folder: str) -> None:
    env = made("UsSim/Reach-v0", folder, views=VIEWS)
    seen, _ = env.reset(seed=0)
    assert set(seen) == set(VIEWS)
    assert env.observation_space.contains(seen)
    assert seen["wrench"][2] == pytest.approx(-5.0, abs=0.3)  # the law has settled on the setpoint
    assert seen["coupling"][0] > 0.9
    assert seen["labels"].max() > 0
    flat, _ = made("UsSim/Reach-v0", folder, views=("labels",), flat=True).reset(seed=0)
    np.testing.assert_array_equal(flat, seen["labels"])


def test_an_episode_follows_from_its_seed_to_the_bit(folder: str) -> None:
    episodes = []
    for _ in range(2):
        env = made("UsSim/Reach-v0", folder, stiffness=(0.5, 2.0), gain=(-6.0, 6.0), fault_drop=(0.3, 0.3))
        seen, info = env.reset(seed=7)
        parts = [seen["image"].tobytes(), repr(info)]
        for action in np.random.default_rng(1).uniform(-1, 1, (4, 5)):
            seen, *rest = env.step(action.astype(np.float32))
            parts += [seen["image"].tobytes(), seen["wrench"].tobytes(), repr(rest)]
        episodes.append(parts)
    assert episodes[0] == episodes[1]
    assert made("UsSim/Reach-v0", folder, gain=(-6.0, 6.0)).reset(seed=8)[1]["drawn"] != info["drawn"]


def test_sliding_moves_along_the_skin_at_constant_force(folder: str) -> None:
    env = made("UsSim/Reach-v0", folder, organ="vessel", axes=("x", "y"))
    env.reset(seed=1)
    before = env.probe.pose
    for _ in range(4):
        *_, info = env.step(np.array([0.0, 1.0], np.float32))
        assert info["force"] == pytest.approx(5.0, abs=1.0)
    way = before[:3, :3].T @ (env.probe.pose[:3, 3] - before[:3, 3])
    assert way[1] == pytest.approx(4 * 0.1 * 40.0, rel=0.3)  # mm: four periods at 40 mm/s
    assert abs(way[2]) < 4.0


def test_the_reward_of_reach_is_its_formula(folder: str) -> None:
    env = made("UsSim/Reach-v0", folder, axes=("x", "y"))
    _, before = env.reset(seed=0)
    towards = np.sign([before["x"], before["y"]]).astype(np.float32)
    _, reward, done, cut, after = env.step(towards)
    assert after["distance"] == pytest.approx(np.hypot(after["x"], after["y"]))
    assert after["distance"] < before["distance"]
    assert reward == pytest.approx((before["distance"] - after["distance"]) / 10 - 0.01 + after["is_success"])
    assert done is after["is_success"]
    assert cut is False


def test_reach_ends_in_success_when_the_centre_is_straight_ahead(folder: str) -> None:
    env = made("UsSim/Reach-v0", folder, axes=("x", "y"))
    _, info = env.reset(seed=0)
    for _ in range(30):
        move = np.clip(np.array([info["x"], info["y"]]) / 8, -1, 1)
        _, reward, done, _, info = env.step(move.astype(np.float32))
        if done:
            break
    assert done
    assert info["is_success"]
    assert info["distance"] <= 8.0
    assert reward > 0.9


def test_too_much_force_ends_an_episode(folder: str) -> None:
    env = made("UsSim/Reach-v0", folder, action="pose", force_limit=8.0)
    env.reset(seed=0)
    for _ in range(20):
        _, reward, done, _, info = env.step(np.array([0, 0, 1, 0, 0, 0], np.float32))
        if done:
            break
    assert done
    assert not info["is_success"]
    assert "above the limit of 8 N" in info["why"]
    assert reward < -0.5


def test_lost_contact_ends_an_episode(folder: str) -> None:
    env = made("UsSim/Reach-v0", folder, action="pose")
    env.reset(seed=0)
    for _ in range(40):
        *_, done, _, info = env.step(np.array([0, 0, -1, 0, 0, 0], np.float32))
        if done:
            break
    assert info["why"] == "contact with the skin is lost"


def test_the_picture_is_the_frame_in_rgb(folder: str) -> None:
    env = made("UsSim/Reach-v0", folder, render_mode="rgb_array")
    seen, _ = env.reset(seed=0)
    picture = env.render()
    assert picture is not None
    np.testing.assert_array_equal(picture, np.repeat(seen["image"], 3, axis=-1))
    assert made("UsSim/Reach-v0", folder).render() is None


def test_a_window_shows_it(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make("UsSim/Reach-v0", patients=(folder,), render_mode="human", **SMALL)
    env.reset(seed=0)
    inner = env.unwrapped
    assert isinstance(inner, ProbeEnv)
    image = inner.rendered().image
    assert image is not None
    assert pygame.display.get_surface().get_at((256, 256))[:3] == (image[16, 16],) * 3
    env.close()
    assert not pygame.display.get_init()


def test_small_frames_are_computed_small() -> None:
    probe = EpisodeConfig(size=64).geometry
    assert (probe.width, probe.height, probe.scan_lines, probe.samples) == (64, 64, 64, 128)
    probe = EpisodeConfig(size=256).geometry
    assert (probe.width, probe.scan_lines, probe.samples) == (256, 192, 512)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": ("sound",)}, "views is \\('sound',\\); expected one or more of image, labels"),
        ({"axes": ("x", "x")}, "axes is \\('x', 'x'\\); expected one or more of x, y, tilt_x, tilt_y, turn, each once"),
        ({"axes": ()}, "axes is \\(\\); expected one or more of x, y"),
        ({"force": 30.0}, "force is 30 N; expected less than force_limit, 25 N"),
        ({"size": 8}, "size is 8; expected 16 to 512"),
        ({"organ": "heart"}, "organ is 'heart'; expected one of background, liver"),
        ({"gain": (3.0, 1.0)}, "gain is \\(3, 1\\); expected a low end"),
        ({"gain": (0.0, 90.0)}, "gain is 90.0; expected -40 to 40"),
        ({"gain": 3.0}, "gain is 3.0; expected a range, \\(low, high\\)"),
        ({"gain": (1.0, 2.0, 3.0)}, "gain is \\(1.0, 2.0, 3.0\\); expected a range"),
        ({"stiffness": ("soft", "hard")}, "stiffness is \\('soft', 'hard'\\); expected a range"),
        ({"speckle_level": (-41.0, 0.0)}, "speckle_level is 0.0; expected -70 to -10"),
        ({"attenuation": (0.5, 9.0)}, "attenuation is \\(0.5, 9\\); expected factors from 0 to 5"),
        ({"flip": 2.0}, "flip is 2.0; expected a probability"),
        ({"flip": "yes"}, "flip is 'yes'; expected a probability"),
        ({"patients": ()}, "patients is empty"),
        ({"patients": "ct.nii.gz"}, "patients is 'ct.nii.gz'; expected a tuple of phantoms' seeds, files or folders"),
        ({"patients": (0, -1)}, "patients holds -1; expected phantoms' seeds, files or folders"),
        ({"seeds": 3}, "seeds is 3; expected a tuple of whole numbers from 0 on"),
        ({"seeds": (0.5,)}, "seeds holds 0.5; expected whole numbers from 0 on"),
        ({"within": float("nan")}, "within is nan; expected more than 0"),
        ({"frobnicate": 1}, "unknown option 'frobnicate'; expected some of"),
        ({"render_mode": "ansi"}, "render_mode is 'ansi'"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str, folder: str) -> None:
    from us_sim.gym.tasks import reach

    with pytest.raises(ConfigError, match=message):
        reach(**{"patients": (folder,), **SMALL, **options}).reset(seed=0)


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="enough is 2; expected a share, above 0 and at most 1"):
        gymnasium.make("UsSim/Scan-v0", enough=2.0)


def test_an_action_that_is_none_is_refused(folder: str) -> None:
    env = made("UsSim/Reach-v0", folder, axes=("x", "y"))
    with pytest.raises(ConfigError, match="no episode has begun; call reset"):
        env.step(np.zeros(2, np.float32))
    env.reset(seed=0)
    for action in ([0.0], [np.nan, 0.0]):
        with pytest.raises(ConfigError, match=r"action is \[.*\]; expected numbers of shape \(2,\)"):
            env.step(np.array(action, np.float32))


def test_an_environment_is_made_again_from_its_specification(folder: str) -> None:
    """JSON has lists for tuples."""
    env = gymnasium.make("UsSim/Reach-v0", patients=(folder,), axes=("x", "y"), gain=(-3.0, 3.0), **SMALL)
    assert env.spec is not None
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    for seen, expected in zip(again.reset(seed=3), env.reset(seed=3), strict=True):
        np.testing.assert_equal(seen, expected)


def test_a_video_has_the_rate_of_the_actions(folder: str) -> None:
    assert made("UsSim/Reach-v0", folder, period=0.2).metadata["render_fps"] == 5


def test_the_room_names_its_environments() -> None:
    assert set(NAMES) <= set(gymnasium.registry)
    assert us_sim.gym.ProbeEnv is ProbeEnv

"""The task of the learning examples: its environment, and how policies are compared on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from us_sim.core.tissue import TissueClass
from us_sim.gym.servo_policy import ServoPolicy

STEPS, STARTS = 30, 40  # of an episode; of the comparison
TASK: dict[str, Any] = {"organ": "kidney", "views": ("labels",), "flat": True, "size": 32, "axes": ("x", "y"),
                        "period": 0.2, "control_rate": 10.0}  # fmt: skip


def kidney(labels: np.ndarray) -> np.ndarray:
    """(1024,) where the image shows the kidney: what the policies see."""
    return (labels == TissueClass.KIDNEY).astype(np.float32).ravel()


def make(patients: tuple[int | str, ...]) -> gymnasium.Env:
    env = gymnasium.make("UsSim/Reach-v0", max_episode_steps=STEPS, patients=patients, **TASK)
    return gymnasium.wrappers.TransformObservation(env, kidney, gymnasium.spaces.Box(0, 1, (1024,), np.float32))


def compare(env: gymnasium.Env, policy_of: Callable[[], Callable[[np.ndarray], np.ndarray]]) -> dict[str, float]:
    """Success and steps to it, distance at the end and reward over STARTS seeded starts."""
    rows = []
    for seed in range(1000, 1000 + STARTS):
        seen, _ = env.reset(seed=seed)
        policy, total, count, done, cut = policy_of(), 0.0, 0, False, False
        while not (done or cut):
            seen, reward, done, cut, info = env.step(policy(seen))
            total, count = total + float(reward), count + 1
        rows.append((info["is_success"], count, info["distance"], total))
    return dict(
        zip(("success", "steps", "distance_mm", "reward"), np.mean(rows, axis=0).round(2).tolist(), strict=True)
    )


def yardsticks(env: gymnasium.Env) -> dict[str, dict[str, float]]:
    """Return what chance and the visual servo reach on the same starts."""
    env.action_space.seed(0)

    def servo() -> Callable[[np.ndarray], np.ndarray]:
        policy = ServoPolicy(env.unwrapped)  # type: ignore[arg-type]
        return lambda _: policy.action()

    return {"random": compare(env, lambda: lambda _: env.action_space.sample()), "servo": compare(env, servo)}

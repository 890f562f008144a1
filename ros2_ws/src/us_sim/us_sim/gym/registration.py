"""The names that `gymnasium.make` knows the environments by."""

from __future__ import annotations

import gymnasium

STEPS = {"UsSim/Reach-v0": 100, "UsSim/StandardPlane-v0": 200, "UsSim/Scan-v0": 400}  # until an episode is truncated


def register() -> None:
    """Register the environments, once."""
    for name, steps in STEPS.items():
        if name not in gymnasium.registry:
            function = name.removeprefix("UsSim/").removesuffix("-v0").lower()
            gymnasium.register(name, f"us_sim.gym.tasks:{function}", max_episode_steps=steps)

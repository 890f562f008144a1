# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Many environments at once: one batch of frames a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array
from numpy.typing import NDArray

from us_sim.core.errors import ConfigError
from us_sim.core.faulty_simulator import FaultySimulator
from us_sim.core.simulator import Frame
from us_sim.gym.environment import ProbeEnv
from us_sim.gym.observing import Observation, picture_of

Flags = NDArray[np.bool_]


class UsSimVectorEnv(VectorEnv[Observation, NDArray[np.float32], NDArray[Any]]):
    """N environments whose frames are rendered in one batch for each patient, on the device of the simulator.

    An episode that ends begins anew in the next step, whose action is ignored (Gymnasium's NEXT_STEP).

    Args:
        name: of a registered environment, `UsSim/Reach-v0`.
        count: N.
        options: of each, as for `gymnasium.make`.

    Raises:
        ConfigError: fewer than one environment, or another kind of environment.
    """

    def __init__(self, name: str, count: int, **options: Any) -> None:
        if count < 1:
            raise ConfigError(f"count of environments is {count}; expected 1 or more")
        made = [gymnasium.make(name, **options) for _ in range(count)]
        self._most = (made[0].spec and made[0].spec.max_episode_steps) or np.inf
        self.envs = [_inner(env) for env in made]
        self.num_envs = count
        self.render_mode = self.envs[0].render_mode
        self.metadata = {**self.envs[0].metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space = self.envs[0].observation_space
        self.single_action_space = self.envs[0].action_space
        self.observation_space = batch_space(self.single_observation_space, count)
        self.action_space = batch_space(self.single_action_space, count)
        self._over, self._count = np.zeros(count, dtype=bool), np.zeros(count, dtype=int)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin N episodes; environment n has seed + n, where one seed is given."""
        seeds = [None if seed is None else seed + n for n in range(self.num_envs)] if not isinstance(
            seed, Sequence) else list(seed)  # fmt: skip
        if len(seeds) != self.num_envs:
            raise ConfigError(f"{len(seeds)} seeds for {self.num_envs} environments; expected one for each")
        for env, own in zip(self.envs, seeds, strict=True):
            gymnasium.Env.reset(env, seed=own)  # the random numbers alone
        ProbeEnv.move_together(self.envs, [env.begin() for env in self.envs])
        self._over[:], self._count[:] = False, 0
        shown = [env.shown(frame) for env, frame in zip(self.envs, self._frames(), strict=True)]
        return self._joined([seen for seen, _ in shown]), self._infos([info for _, info in shown])

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[Observation, NDArray[np.float64], Flags, Flags, dict[str, Any]]:
        """Act in all of them, render once, and judge."""
        if np.shape(actions) != self.action_space.shape:
            raise ConfigError(f"actions are of shape {np.shape(actions)}; expected {self.action_space.shape}")
        begun, self._over = self._over, np.zeros(self.num_envs, dtype=bool)
        acted = zip(self.envs, actions, begun, strict=True)
        ProbeEnv.move_together(self.envs, [env.begin() if new else env.act(action) for env, action, new in acted])
        rows = []
        for env, frame, new in zip(self.envs, self._frames(), begun, strict=True):
            if new:
                seen, info = env.shown(frame)
                rows.append((seen, 0.0, False, info))
            else:
                seen, reward, done, _, info = env.outcome(frame)
                rows.append((seen, reward, done, info))
        self._count = np.where(begun, 0, self._count + 1)
        ended: Flags = np.array([row[2] for row in rows], dtype=bool)
        cut: Flags = (self._count >= self._most) & ~ended
        self._over = ended | cut
        rewards = np.array([row[1] for row in rows], dtype=np.float64)
        return self._joined([row[0] for row in rows]), rewards, ended, cut, self._infos([row[3] for row in rows])

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Return the last frame of each environment as (H, W, 3) RGB; None unless `render_mode` is `rgb_array`."""
        return tuple(picture_of(env.frame) for env in self.envs) if self.render_mode == "rgb_array" else None

    def close_extras(self, **kwargs: Any) -> None:
        """Close the windows, if there are some."""
        for env in self.envs:
            env.close()

    def _frames(self) -> list[Frame]:
        """The frame of each environment; those of one patient, with equal draws, in one pass."""
        groups: dict[FaultySimulator, list[int]] = {}
        for n, env in enumerate(self.envs):
            assert env.simulator is not None
            groups.setdefault(env.simulator, []).append(n)
        frames: dict[int, Frame] = {}
        for simulator, group in groups.items():
            probes = [self.envs[n].probe for n in group]
            made = simulator.render_batch(
                np.stack([probe.pose for probe in probes]), [probe.stamp for probe in probes],
                touches=[probe.touch for probe in probes], **self.envs[group[0]].views,
            )  # fmt: skip
            frames |= zip(group, made, strict=True)
        return [frames[n] for n in range(self.num_envs)]

    def _joined(self, seen: list[Observation]) -> Observation:
        out: Any = create_empty_array(self.single_observation_space, self.num_envs)
        return concatenate(self.single_observation_space, seen, out)

    def _infos(self, infos: list[dict[str, Any]]) -> dict[str, Any]:
        joined: dict[str, Any] = {}
        for n, info in enumerate(infos):
            joined = self._add_info(joined, info, n)
        return joined


def reach(num_envs: int, **options: Any) -> UsSimVectorEnv:
    """Make N of `UsSim/Reach-v0`: what `gymnasium.make_vec` calls, as it does the two below."""
    return UsSimVectorEnv("UsSim/Reach-v0", num_envs, **options)


def standardplane(num_envs: int, **options: Any) -> UsSimVectorEnv:
    """Make N of `UsSim/StandardPlane-v0`."""
    return UsSimVectorEnv("UsSim/StandardPlane-v0", num_envs, **options)


def scan(num_envs: int, **options: Any) -> UsSimVectorEnv:
    """Make N of `UsSim/Scan-v0`."""
    return UsSimVectorEnv("UsSim/Scan-v0", num_envs, **options)


def _inner(env: gymnasium.Env[Any, Any]) -> ProbeEnv:
    inner = env.unwrapped
    if not isinstance(inner, ProbeEnv):
        raise ConfigError(f"{inner} is no environment of us_sim; expected UsSim/Reach-v0 or the like")
    return inner

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The environment that all tasks share: a patient and a probe per episode, frames for observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from us_sim.core.assembly import open_generator
from us_sim.core.errors import ConfigError
from us_sim.core.faults import actual_pose
from us_sim.core.faulty_simulator import FaultySimulator
from us_sim.core.frame import Frame, Views
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.breathing import phase_at
from us_sim.core.simulator import Simulator
from us_sim.gym.config import EpisodeConfig
from us_sim.gym.observing import Observation, observed, picture_of, space_of
from us_sim.gym.patients import open_patient
from us_sim.gym.randomisation import Randomisation, simulator_of
from us_sim.gym.skin_probe import Motion, SkinProbe, moved_together
from us_sim.gym.window import Window

FAILED = -1.0  # reward on top, when force or contact end an episode
SUCCEEDED = 1.0


@dataclass(frozen=True, eq=False)
class Situation:
    """What a task judges.

    Attributes:
        simulator: of the episode.
        probe: on the skin.
        frame: what it shows.
    """

    simulator: FaultySimulator
    probe: SkinProbe
    frame: Frame

    @property
    def ct_from_probe(self) -> Matrix:
        """(4, 4) mm, where the probe really is, whatever its calibration says."""
        return actual_pose(self.simulator.faults, self.simulator.simulator.seed, self.probe.pose)

    @property
    def phase(self) -> float:
        """Of the breath."""
        return phase_at(self.probe.seconds, self.simulator.simulator.mechanics.breathing_period)


@dataclass(frozen=True)
class Judgement:
    """A task's word on one step.

    Attributes:
        reward: of the step.
        success: the task is done, and the episode ends.
        info: numbers for `info`.
    """

    reward: float
    success: bool
    info: dict[str, float]


class Task(Protocol):
    """What is to be done in an episode."""

    reads_image: bool  # it needs the B-mode image whatever is observed

    def begin(self, simulator: FaultySimulator, rng: np.random.Generator) -> Matrix:
        """Set a goal on a patient; return where the probe starts, (4, 4) mm."""

    def judge(self, now: Situation) -> Judgement:
        """Return reward and success of a step; the first call of an episode is for the start, its reward is dropped."""


class ProbeEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """A probe on a patient. `info` says what the episode drew, why it ended, and what the task measures.

    Args:
        task: to be done.
        config: what is seen, and what actions mean.
        randomisation: what episodes draw.
        render_mode: `rgb_array`, `human` for a window, or None.

    Raises:
        UsSimError: a setting out of its range.
    """

    metadata = {"render_modes": ["rgb_array", "human"]}  # noqa: RUF012, Gymnasium's own name and type

    def __init__(
        self, task: Task, config: EpisodeConfig, randomisation: Randomisation, render_mode: str | None = None
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigError(f"render_mode is {render_mode!r}; expected None, 'rgb_array' or 'human'")
        self.task, self.config, self.randomisation, self.render_mode = task, config, randomisation, render_mode
        self.metadata = {**self.metadata, "render_fps": round(1 / config.period)}
        self.geometry = config.geometry
        self.observation_space = space_of(config)
        moved = 6 if config.action == "pose" else len(config.axes)
        self.action_space = spaces.Box(-1.0, 1.0, (moved,), np.float32)
        self.simulator: FaultySimulator | None = None
        self._why = ""  # the episode ended
        self._window = Window() if render_mode == "human" else None

    # -- Gymnasium's interface -------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; it follows from the seed alone."""
        super().reset(seed=seed)
        self.move_together([self], [self.begin()])
        return self.shown(self.rendered())

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Act for one period."""
        self.move_together([self], [self.act(action)])
        return self.outcome(self.rendered())

    def render(self) -> NDArray[np.uint8] | None:
        """Return the last frame as (H, W, 3) RGB; None where a window shows it, or without a render mode."""
        return picture_of(self.frame) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()

    # -- in parts, for those who render many at once ---------------------------------------------------------

    @property
    def views(self) -> Views:
        """What a step needs of a frame."""
        image = self.config.wants_image or self.task.reads_image
        labels = "labels" in self.config.views or not image
        return Views(image=image, ct_slice=False, labels=labels)

    @staticmethod
    def move_together(envs: Sequence[ProbeEnv], motions: Sequence[Motion]) -> None:
        """Carry out what `begin` or `act` of each environment has returned, the probes in step."""
        simulators = [env.simulator for env in envs if env.simulator is not None]
        for env, why in zip(envs, moved_together(simulators, motions), strict=True):
            env._why = why

    def begin(self) -> Motion:
        """Draw an episode; return how the probe comes to stand where it starts."""
        self.drawn = self.randomisation.draw(self.np_random)
        self.simulator = _simulator_of(self.config, self.randomisation.detail, tuple(self.drawn.items()))
        start = self.task.begin(self.simulator, self.np_random)
        self.probe = SkinProbe(self.config, start)
        self._kept: Frame | None = None
        return self.probe.settle()

    def act(self, action: NDArray[np.float32]) -> Motion:
        """Return how the probe moves for one period."""
        if self.simulator is None:
            raise ConfigError("no episode has begun; call reset() before step()")
        asked = np.asarray(action, dtype=np.float64)
        if asked.shape != self.action_space.shape or np.isnan(asked).any():
            raise ConfigError(f"action is {asked}; expected numbers of shape {self.action_space.shape}")
        return self.probe.act(np.clip(asked, -1.0, 1.0))

    def rendered(self) -> Frame:
        """Return the frame at the probe's pose; one that a fault loses is the frame before it."""
        assert self.simulator is not None
        probe = self.probe
        return self.simulator.render(probe.pose, probe.stamp, touch=probe.touch, **self.views)

    def shown(self, frame: Frame) -> tuple[Observation, dict[str, Any]]:
        """Take a frame; return observation and info."""
        self._look(frame)
        self._judged = self.task.judge(Situation(self.simulator, self.probe, frame))  # type: ignore[arg-type]
        info = {"drawn": dict(self.drawn), "force": self.probe.force, "why": self._why,
                "is_success": self._judged.success, **self._judged.info}  # fmt: skip
        return observed(self.frame, self.config, self.geometry), info

    def outcome(self, frame: Frame) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take the frame after an action; return what `step` does."""
        observation, info = self.shown(frame)
        done, failed = self._judged.success, bool(self._why)
        reward = self._judged.reward + (FAILED if failed else SUCCEEDED if done else 0.0)
        return observation, float(reward), done or failed, False, info

    def _look(self, frame: Frame) -> None:
        assert self.simulator is not None
        lost = self._kept is not None and self.simulator.is_lost(self.probe.stamp)
        self.frame = self._kept if lost and self._kept is not None else frame
        self._kept = self.frame
        if self._window is not None:
            self._window.show(picture_of(self.frame))


@lru_cache(maxsize=8)
def _simulator(config: EpisodeConfig, patient: int | str, detail: bool) -> Simulator:
    """What the episodes on one patient have in common."""
    generator = open_generator(config.generator) if config.renderer == "generator" else None
    return Simulator(open_patient(patient, detail), config.geometry, renderer=config.renderer, generator=generator)


@lru_cache(maxsize=16)
def _simulator_of(config: EpisodeConfig, detail: bool, drawn: tuple[tuple[str, Any], ...]) -> FaultySimulator:
    """What the episodes that drew the same have in common: environments of one process share its batches."""
    values = dict(drawn)
    return simulator_of(_simulator(config, values["patient"], detail), values)

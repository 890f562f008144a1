# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The demo controllers' visual servo as a policy: what to compare agents with, and to learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us_sim.control.visual_servo import Observation, Servo
from us_sim.core.analysis.organ_views import organ_views
from us_sim.core.tissue import TissueClass
from us_sim.gym.environment import ProbeEnv
from us_sim.gym.skin_probe import SLIDE


class ServoPolicy:
    """Slides as the servo says, from the labels of the environment's own frames; for one episode.

    Args:
        env: with a twist whose first axes are x and y, and labels in its frames.
        organ: to look for, by its class's name.
    """

    def __init__(self, env: ProbeEnv, organ: str = "kidney") -> None:
        self._env, self._organ, self._servo = env, TissueClass[organ.upper()], Servo()
        self._servo.begin()  # an episode starts on the skin

    def action(self) -> NDArray[np.float32]:
        """Return the action for the environment's present frame."""
        env = self._env
        labels, pose = env.frame.labels, env.probe.pose
        assert labels is not None
        views = organ_views(labels, np.zeros(labels.shape, dtype=bool), pose, env.geometry)
        seen = next(view for view in views if view.organ == self._organ)
        self._servo.observe(Observation(seen.area, seen.centroid_ct, pose))
        slide = self._servo.slide(pose, env.config.period) / SLIDE
        rest = len(env.config.axes) - 2
        return np.array([*np.clip(slide, -1, 1), *np.zeros(rest)], np.float32)

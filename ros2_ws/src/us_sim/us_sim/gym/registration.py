# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The names that `gymnasium.make` knows the environments by."""

from __future__ import annotations

import gymnasium

STEPS = {"UsSim/Reach-v0": 100, "UsSim/StandardPlane-v0": 200, "UsSim/Scan-v0": 400}  # until an episode is truncated


def register() -> None:
    """Register the environments, once."""
    for name, steps in STEPS.items():
        if name not in gymnasium.registry:
            function = name.removeprefix("UsSim/").removesuffix("-v0").lower()
            gymnasium.register(
                name, f"us_sim.gym.tasks:{function}", max_episode_steps=steps,
                vector_entry_point=f"us_sim.gym.vector:{function}",
            )  # fmt: skip

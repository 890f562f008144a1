# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The schedule: phase, learning rate, and progress of adversarial training at each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scyclegan_train.config import ScheduleConfig

Phase = Literal["pretrain", "warm_up", "adversarial"]


@dataclass(frozen=True)
class Schedule:
    """Phases of a run, in steps; `decay` is the part of adversarial training in which the rate falls to 0."""

    pretrain: int
    warm_up: int
    constant: int
    decay: int

    @staticmethod
    def of(config: ScheduleConfig, steps_of_epoch: int) -> Schedule:
        """Return the schedule in steps."""
        epoch = config.epoch or steps_of_epoch
        parts = (config.pretrain, config.warm_up, config.constant, config.decay)
        return Schedule(*(round(part * epoch) for part in parts))

    @property
    def steps(self) -> int:
        """All of them."""
        return self.pretrain + self.warm_up + self.constant + self.decay

    def phase(self, step: int) -> Phase:
        """Return what step number `step`, from 0, trains."""
        if step < self.pretrain:
            return "pretrain"
        return "warm_up" if step < self.pretrain + self.warm_up else "adversarial"

    def progress(self, step: int) -> float:
        """How much of adversarial training is done, 0 to 1."""
        done = step - self.pretrain - self.warm_up
        return min(1.0, max(0.0, done / max(1, self.constant + self.decay)))

    def rate(self, step: int) -> float:
        """Factor on the learning rate: 1, then falling linearly to reach 0 after the last step."""
        return min(1.0, (self.steps - step) / max(1, self.decay))

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What a run remembers from step to step: sums of losses, dead discriminators, the best validation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, stack

from scyclegan_train.method.scyclegan import Losses

DEAD = 1e-3  # a discriminator with a loss below it has nothing to teach any more


@dataclass
class Tally:
    """Sums of losses since the last entry, on the device: reading them at every step would wait for the GPU."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0
    dead: dict[str, int] = field(default_factory=dict)  # steps for which a discriminator has been dead
    best: float = math.inf  # least value on held-out samples
    since: int = 0  # validations since then

    def better(self, value: float) -> bool:
        """Take in what a validation found; return whether it is the best so far."""
        better = value < self.best
        self.best, self.since = (value, 0) if better else (self.best, self.since + 1)
        return better

    def add(self, losses: Losses) -> None:
        """Take in a step."""
        for name, value in losses.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        self.count += 1

    def means(self, average: Callable[[list[Tensor]], None] = lambda tensors: None) -> dict[str, float]:
        """Return the means over the steps, and by `average` over the processes, and start anew."""
        if not self.sums:
            return {}
        values = stack(list(self.sums.values())) / self.count
        average([values])
        found = dict(zip(self.sums, values.tolist(), strict=True))
        for name, value in found.items():
            if name.startswith("critic"):
                self.dead[name] = self.dead.get(name, 0) + self.count if value < DEAD else 0
        self.sums, self.count = {}, 0
        return found

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Costly samples, kept in memory and repeated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from scyclegan_train.data.samples import CtBatch, UsBatch, joined
from scyclegan_train.data.sources import Source

AnyBatch = TypeVar("AnyBatch", CtBatch, UsBatch)


class Repeated(Generic[AnyBatch]):
    """The first epochs of a source over and over, in another order each time.

    Args:
        source: gives each sample once.
        epochs: that are different.
        seed: of the order.
    """

    def __init__(self, source: Source[AnyBatch], epochs: int, seed: int = 0) -> None:
        self._source: Source[AnyBatch] = source
        self._epochs, self._seed = epochs, seed
        self._kept: dict[tuple[int, int], AnyBatch] = {}

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, indices: Sequence[int], epoch: int = 0) -> AnyBatch:
        """Return samples of epoch `epoch` modulo the number of different ones."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self))
        kept, chosen = epoch % self._epochs, [int(order[index]) for index in indices]
        missing = [index for index in dict.fromkeys(chosen) if (kept, index) not in self._kept]
        if missing:
            made = self._source.batch(missing, kept)
            self._kept.update({(kept, index): made.pick([row]) for row, index in enumerate(missing)})
        return joined([self._kept[kept, index] for index in chosen])

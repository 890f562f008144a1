# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Several sources as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from scyclegan_train.data.faults import DataError
from scyclegan_train.data.samples import CtBatch, UsBatch, joined

AnyBatch = TypeVar("AnyBatch", CtBatch, UsBatch)
Given = TypeVar("Given", covariant=True)


class Source(Protocol[Given]):
    """What a source of either kind can do."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int], epoch: int = 0) -> Given: ...


class Mixed(Generic[AnyBatch]):
    """Draws each sample from one of several sources.

    Args:
        sources: all of CT, or all of ultrasound.
        weights: how often each is drawn from; need not sum to 1.
        length: samples of an epoch; by default those of all sources.
        seed: of the choice.

    Raises:
        DataError: weights that fit no sources.
    """

    def __init__(
        self,
        sources: Sequence[Source[AnyBatch]],
        weights: Sequence[float],
        *,
        length: int | None = None,
        seed: int = 0,
    ) -> None:
        shares = np.asarray(weights, dtype=np.float64)
        if not len(sources) or len(shares) != len(sources):
            raise DataError(f"{len(sources)} sources with {len(shares)} weights; expected as many, and at least one")
        if not np.isfinite(shares).all() or shares.min() < 0 or shares.sum() == 0:
            raise DataError(f"weights {list(weights)}; expected numbers of 0 or more, not all 0")
        self._sources: list[Source[AnyBatch]] = list(sources)
        self._shares, self._seed = shares / shares.sum(), seed
        self._length = length or sum(len(source) for source in sources)

    def __len__(self) -> int:
        return self._length

    def batch(self, indices: Sequence[int], epoch: int = 0) -> AnyBatch:
        """Return the samples in the order asked for; each is one of its source's samples of this epoch."""
        rows: dict[int, list[tuple[int, int]]] = {}
        for row, index in enumerate(indices):
            rng = np.random.default_rng([self._seed, epoch, index])
            chosen = int(rng.choice(len(self._sources), p=self._shares))
            rows.setdefault(chosen, []).append((row, int(rng.integers(len(self._sources[chosen])))))
        parts = [self._sources[s].batch([index for _, index in members], epoch) for s, members in rows.items()]
        order = [row for members in rows.values() for row, _ in members]
        return joined(parts).pick(np.argsort(order).tolist())

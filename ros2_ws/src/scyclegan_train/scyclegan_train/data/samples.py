# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Batches of CT and ultrasound on a card's grid, and the sources that provide them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol, TypeVar

import torch
from torch import Tensor

PHYSICS, REAL = 0, 1  # values of UsBatch.source

AnyBatch = TypeVar("AnyBatch", bound="_Batch")


@dataclass(frozen=True, eq=False)
class _Batch:
    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def to(self: AnyBatch, device: torch.device | str) -> AnyBatch:
        """Return the batch on a device; from pinned memory the copy does not wait."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def pin(self: AnyBatch) -> AnyBatch:
        """Return the batch in pinned host memory, where there is a GPU to copy it to."""
        return self._each(Tensor.pin_memory) if torch.cuda.is_available() else self

    def used_by(self, stream: torch.cuda.Stream) -> None:
        """Keep the memory until a stream other than the one that it was made on has read it."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                value.record_stream(stream)

    def pick(self: AnyBatch, rows: Sequence[int]) -> AnyBatch:
        """Return the samples at the given rows, in that order."""
        return self._each(lambda value: value[list(rows)])

    def _each(self: AnyBatch, change) -> AnyBatch:  # type: ignore[no-untyped-def]
        values = (getattr(self, f.name) for f in fields(self))
        return type(self)(*(None if value is None else change(value) for value in values))


@dataclass(frozen=True, eq=False)
class CtBatch(_Batch):
    """Slices of CT on the card's (H, W) grid, as the node will feed them.

    Attributes:
        hu: (B, H, W) float32 HU.
        tissue: (B, H, W) uint8 classes.
        valid: (B, H, W) bool: inside the fan and on a coupled scan line; losses count these pixels only.
        visible: (B, H, W) bool: valid, and two-way transmission above −20 dB of what the TGC makes up for.
        scatter: (B, H, W) float32 level of the scatterers fixed in the patient, for encoding `rich`; or None.
        physics: (B, H, W) float32 grey levels, 0 to 255, of the physics renderer at the same pose; or None.
    """

    hu: Tensor
    tissue: Tensor
    valid: Tensor
    visible: Tensor
    scatter: Tensor | None = None
    physics: Tensor | None = None


@dataclass(frozen=True, eq=False)
class UsBatch(_Batch):
    """Ultrasound frames on the card's (H, W) grid.

    Attributes:
        image: (B, H, W) float32 grey levels, 0 to 255.
        tissue: (B, H, W) uint8 classes, 0 where unknown.
        has_mask: (B,) bool: `tissue` is known.
        valid: (B, H, W) bool, as in CtBatch.
        source: (B,) int64, PHYSICS or REAL.
    """

    image: Tensor
    tissue: Tensor
    has_mask: Tensor
    valid: Tensor
    source: Tensor


class CtSource(Protocol):
    """Gives CT; sample i of epoch e depends on (seed, e, i) alone."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int], epoch: int = 0) -> CtBatch: ...


class UsSource(Protocol):
    """Gives ultrasound; sample i of epoch e depends on (seed, e, i) alone."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int], epoch: int = 0) -> UsBatch: ...


def joined(parts: Sequence[AnyBatch]) -> AnyBatch:
    """Return one batch of several; a field that is None in one of them is None in all."""

    def join(name: str) -> Tensor | None:
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else torch.cat(values)

    return type(parts[0])(*(join(f.name) for f in fields(parts[0])))

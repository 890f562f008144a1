# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Batches on their way to a GPU: copied by a stream of their own while the step before is computed."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from scyclegan_train.data.samples import CtBatch, UsBatch

Batches = tuple[CtBatch, UsBatch]


def on_device(batches: Iterator[Batches], device: torch.device) -> Iterator[Batches]:
    """Yield each pair of batches on a device, in their order.

    On a GPU a pair is sent before the one ahead of it is yielded, so that its copy runs beside that one's step.
    """
    if device.type != "cuda":
        yield from ((ct.to(device), us.to(device)) for ct, us in batches)
        return
    copies = torch.cuda.Stream(device)
    coming: tuple[Batches, torch.cuda.Event] | None = None
    for ct, us in batches:
        with torch.cuda.stream(copies):
            sent = (ct.to(device), us.to(device)), copies.record_event()
        if coming is not None:
            yield _arrived(*coming, device)
        coming = sent
    if coming is not None:
        yield _arrived(*coming, device)


def _arrived(pair: Batches, there: torch.cuda.Event, device: torch.device) -> Batches:
    """Let the device, not the host, wait for the copy; memory is not reused before the step has read it."""
    computing = torch.cuda.current_stream(device)
    computing.wait_event(there)
    for batch in pair:
        batch.used_by(computing)
    return pair

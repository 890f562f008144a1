# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A whole frame as one launch: CUDA graphs, with one copy to the GPU before and one back after.

A GPU draws a frame faster than Python launches its some hundred operations one by one. A graph is recorded once for
each kind of frame and each shape of its input, and replayed from then on. What is recorded must stay on the device:
it reads nothing back, and copies nothing there that was not there before the recording.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

Maybe = Sequence[Tensor | None]
Arrays = list[NDArray[Any] | None]
Work = Callable[..., Maybe]

WARM_UPS = 3  # runs before a recording, in which libraries set themselves up and constants are copied to the device
MOST = 32  # graphs that are kept; what is asked for beyond runs without
ALIGNED = 16  # bytes

recording: ContextVar[bool] = ContextVar("recording", default=False)  # in a warm-up or a recording


class Packed:
    """Tensors that lie one behind the other in one buffer of bytes, so that one copy moves all of them.

    Args:
        like: of which shapes and types; None stays None.
        device: where the buffer lies; in pinned memory if that is the CPU and there is a GPU.
    """

    def __init__(self, like: Maybe, device: torch.device) -> None:
        sizes = [0 if one is None else ALIGNED * math.ceil(one.numel() * one.itemsize / ALIGNED) for one in like]
        pinned = device.type == "cpu" and torch.cuda.is_available()
        self.buffer = torch.zeros(sum(sizes), dtype=torch.uint8, device=device, pin_memory=pinned)
        self.parts: list[Tensor | None] = []
        for one, place in zip(like, self.buffer.split(sizes), strict=True):
            own = None if one is None else place[: one.numel() * one.itemsize].view(one.dtype).view(one.shape)
            self.parts.append(own)

    def fill(self, given: Maybe) -> None:
        """Copy tensors of the same shapes into the buffer."""
        for own, one in zip(self.parts, given, strict=True):
            if own is not None and one is not None:
                own.copy_(one)


@dataclass(frozen=True, eq=False)
class Recorded:
    """One graph: `replay` draws from `read` into `drawn`; both have a twin on the host."""

    replay: Callable[[], None]
    given: Packed  # on the host
    read: Packed
    drawn: Packed
    shown: Packed  # on the host


class Graphs:
    """Runs work on a GPU, each kind and shape of it as one graph.

    Args:
        work: called with a kind and tensors on the device; returns tensors there. Pure: it keeps nothing.
        device: CUDA.
        record: returns what replays some work, as `on_cuda` does.
    """

    def __init__(
        self,
        work: Work,
        device: torch.device,
        record: Callable[[Callable[[], None], torch.device], Callable[[], None]] | None = None,
    ) -> None:
        self._work, self._device, self._record = work, device, record or on_cuda
        self._recorded: dict[Hashable, Recorded] = {}
        self._lock = threading.Lock()  # a graph has one input

    @torch.inference_mode()
    def __call__(self, kind: Hashable, *given: Tensor | None) -> Arrays:
        """Return the work's results on the host, the caller's own, for tensors on the host; None stays None."""
        key = kind, tuple(None if one is None else (one.shape, one.dtype) for one in given)
        with self._lock:
            if key not in self._recorded and len(self._recorded) < MOST:
                self._recorded[key] = self._recorded_for(kind, given)
            if key not in self._recorded:
                there = [None if one is None else one.to(self._device) for one in given]
                return [None if one is None else one.cpu().numpy() for one in self._work(kind, *there)]
            run = self._recorded[key]
            run.given.fill(given)
            run.read.buffer.copy_(run.given.buffer, non_blocking=True)
            run.replay()
            run.shown.buffer.copy_(run.drawn.buffer, non_blocking=True)
            if self._device.type == "cuda":
                torch.cuda.current_stream(self._device).synchronize()
            return [None if one is None else one.numpy().copy() for one in run.shown.parts]

    def _recorded_for(self, kind: Hashable, given: Maybe) -> Recorded:
        host, read = Packed(given, torch.device("cpu")), Packed(given, self._device)
        read.fill(given)
        drawn: list[Packed] = []

        def draw() -> None:
            found = self._work(kind, *read.parts)
            if not drawn:
                drawn.append(Packed(found, self._device))
            drawn[0].fill(found)

        token = recording.set(True)
        try:
            replay = self._record(draw, self._device)
        finally:
            recording.reset(token)
        return Recorded(replay, host, read, drawn[0], Packed(drawn[0].parts, torch.device("cpu")))


def on_cuda(draw: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Record some work on a GPU and return what replays it."""
    current, side = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    side.wait_stream(current)
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            draw()
    current.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # Frames of a batch and frames of the stream come from different threads: the others' launches are none of ours.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        draw()
    return graph.replay

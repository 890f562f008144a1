# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A network on a GPU: half precision, channels last, one CUDA graph for each shape of the input.

Within the recording of a whole frame the network is a part of that: it is launched, and makes no graph of its own.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass

import torch
from torch import Tensor

from us_sim.core.compute.graphs import recording
from us_sim.core.generator.unet import Drawn, UNet

WARM_UPS = 3  # runs before a capture, in which cuDNN and cuBLAS set themselves up
GRAPHS = 16  # shapes that get a graph; each keeps its activations, so rarer ones run without


@dataclass(frozen=True, eq=False)
class Captured:
    """A recorded run: fill `read`, replay, take `drawn` before the next replay."""

    graph: torch.cuda.CUDAGraph
    read: Tensor
    drawn: Drawn


class CudaBackend:
    """Launches the whole network at once; the weights given stay where they are, for the case that the GPU fails."""

    name = "cuda half"

    def __init__(self, network: UNet, device: torch.device, reason: str) -> None:
        self.device, self.reason = device, reason
        moved = copy.deepcopy(network).to(device, torch.float16)
        self._network = moved.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._captured: dict[torch.Size, Captured] = {}
        self._lock = threading.Lock()  # a graph has one input

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Drawn:
        if recording.get():
            return _single(self._network.drawn(x.to(torch.float16, memory_format=torch.channels_last)))
        with self._lock:
            if x.shape not in self._captured:
                read = x.to(torch.float16, memory_format=torch.channels_last)
                if len(self._captured) == GRAPHS:
                    return _single(self._network.drawn(read))
                self._captured[x.shape] = capture(self._network, read)
            run = self._captured[x.shape]
            run.read.copy_(x)
            run.graph.replay()
            return Drawn(*(one.clone() for one in _single(run.drawn)))  # the graph keeps its own


def _single(drawn: Drawn) -> Drawn:
    """In single precision."""
    return Drawn(*(one.float() for one in drawn))


def capture(network: UNet, read: Tensor) -> Captured:
    """Record a run on (B, C, H, W) half precision input, whose memory becomes the graph's own."""
    current, side = torch.cuda.current_stream(read.device), torch.cuda.Stream(read.device)
    side.wait_stream(current)
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            network.drawn(read)
    current.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # Frames of a batch and frames of the stream come from different threads: the others' launches are none of ours.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        drawn = network.drawn(read)
    return Captured(graph, read, drawn)

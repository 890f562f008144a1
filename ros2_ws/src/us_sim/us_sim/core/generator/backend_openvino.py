# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A network on the CPU through OpenVINO: bf16, or int8 from post-training quantisation."""

from __future__ import annotations

import threading
import warnings
from functools import cached_property

import openvino as ov
import torch
from torch import Tensor, nn

from us_sim.core.compute.cores import cores
from us_sim.core.generator.backend import CPU
from us_sim.core.generator.unet import Drawn, UNet

BATCH = 2  # frames to a core from which on each frame has a core of its own


class OpenVinoBackend:
    """A compiled model of one frame: all cores on it where it comes alone, a frame to each core in a batch.

    A frame is the same in a batch and alone, to the last bit: the cores share its arithmetic, not a sum.

    Args:
        model: from `converted`, (1, C, H, W) -> `Drawn` of one frame.
        kind: what it was made for, `bf16` or `int8`.
        reason: why it was chosen.
    """

    def __init__(self, model: ov.Model, kind: str, reason: str) -> None:
        self.device = CPU
        self._core, self._model, self._cores = ov.Core(), model, cores()
        bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.name = f"openvino {kind if bf16 or kind == 'int8' else 'fp32'}"
        self.reason = reason if bf16 else f"{reason}; this CPU has no bf16, fp32 is used instead"
        self._options = {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "INFERENCE_NUM_THREADS": self._cores,
            "ENABLE_CPU_PINNING": False,  # a pinned thread waits for whoever else has its core
        }
        compiled = self._compiled(PERFORMANCE_HINT="LATENCY")
        self._request, self._shapes = compiled.create_infer_request(), [(*one.shape,) for one in compiled.outputs]
        self._lock = threading.Lock()  # a request has one input

    def __call__(self, x: Tensor) -> Drawn:
        x, drawn = x.detach().contiguous(), Drawn(*(torch.empty(len(x), *shape[1:]) for shape in self._shapes))
        with self._lock:
            requests = self._requests if len(x) >= BATCH * self._cores > BATCH else [self._request]
            for n in range(len(x)):
                request = requests[n % len(requests)]
                request.wait()  # at once, for its first frame
                _connect(request, x[n : n + 1], Drawn(*(one[n : n + 1] for one in drawn)))
                request.start_async()
            for request in requests:
                request.wait()
        return drawn

    def _compiled(self, **options: str | int) -> ov.CompiledModel:
        return self._core.compile_model(self._model, "CPU", {**self._options, **options})

    @cached_property
    def _requests(self) -> list[ov.InferRequest]:
        """One for each core; compiled when the first batch comes."""
        compiled = self._compiled(PERFORMANCE_HINT="THROUGHPUT", NUM_STREAMS=self._cores)
        return [compiled.create_infer_request() for _ in range(self._cores)]


def _connect(request: ov.InferRequest, read: Tensor, drawn: Drawn) -> None:
    """Let a request read and write tensors of one frame, contiguous and on the CPU: nothing is copied."""
    request.set_input_tensor(ov.Tensor(read.numpy(), shared_memory=True))
    for n, one in enumerate(drawn):
        request.set_output_tensor(n, ov.Tensor(one.numpy(), shared_memory=True))


class _Traced(nn.Module):
    """A network as the tracer takes it, by `forward`."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.drawn(x))


def converted(network: UNet, shape: tuple[int, ...]) -> ov.Model:
    """Return the model of a network for one frame of (C, H, W)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about itself
        # Traced once: the tracer's own comparison takes two more passes, and torch.distributed to be imported.
        traced = torch.jit.trace(_Traced(network).eval(), torch.zeros(1, *shape), check_trace=False)
        model = ov.convert_model(traced, input=[(1, *shape)])
    # The tracer keeps the classes that it has seen, with their weights: 7 MiB of every generator.
    torch._C._jit_clear_class_registry()
    torch.jit._state._clear_class_state()
    return model

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Choice of the inference backend of a generator, with the reason.

On a GPU: half precision. On a CPU: OpenVINO, in int8 where the network has more arithmetic than the cores do in bf16
at 30 frames a second, else in bf16; PyTorch where OpenVINO is missing or refuses the network.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from us_sim.core.compute.cores import cores
from us_sim.core.generator.artifact import Generator
from us_sim.core.generator.backend import GeneratorBackend, TorchBackend
from us_sim.core.generator.backend_cuda import CudaBackend

BF16_GFLOP = 12.0  # that one core does in 30 ms: 85 % of 480 GFLOP/s, measured with AVX-512 BF16


def accelerated(generator: Generator, device: torch.device, *, calibrate: bool = True) -> Generator:
    """Return a generator, loaded for the CPU, with the fastest backend of a device, warmed up.

    Args:
        generator: whose network lies on the CPU.
        device: CPU or CUDA.
        calibrate: int8 may be made now, which takes a minute for a large network; otherwise only one that is kept
            is taken.
    """
    card = generator.card
    backend: GeneratorBackend
    if device.type == "cuda":
        backend = CudaBackend(generator.network, device, "the frames are computed on the GPU")
    else:
        backend = _on_cpu(generator, calibrate)
    with torch.inference_mode():
        backend(torch.zeros(1, card.channels, *card.size, device=device))
    return replace(generator, backend=backend)


def _on_cpu(generator: Generator, calibrate: bool) -> GeneratorBackend:
    try:
        return _openvino(generator, calibrate)
    except Exception as error:  # it raises errors of its own kind, and may be missing or broken
        return TorchBackend(generator.network, reason=f"OpenVINO cannot run it: {_line(error)}")


def _openvino(generator: Generator, calibrate: bool) -> GeneratorBackend:
    from us_sim.core.generator.backend_openvino import OpenVinoBackend, converted

    card = generator.card
    work, most = generator.network.flop(*card.size) / 1e9, BF16_GFLOP * cores()
    model = converted(generator.network, (card.channels, *card.size))
    why = f"{work:.1f} GFLOP a frame; bf16 is for up to {most:.0f} at 30 frames/s on {cores()} cores"
    if work > most:
        try:
            from us_sim.core.generator import quantisation

            kept = quantisation.kept(generator)
            if kept is not None or calibrate:
                return OpenVinoBackend(kept or quantisation.made(generator, model), "int8", why)
            why += ", but int8 is not made yet"
        except Exception as error:
            why += f", but int8 failed: {_line(error)}"
    return OpenVinoBackend(model, "bf16", why)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]

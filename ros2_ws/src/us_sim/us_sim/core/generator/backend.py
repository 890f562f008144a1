# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Inference backends: how a generator's network is run."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from us_sim.core.generator.unet import Drawn, UNet

CPU = torch.device("cpu")


class GeneratorBackend(Protocol):
    """Runs one network on one device.

    Attributes:
        name: library and precision, as in `openvino bf16`.
        reason: why it was chosen, for the log and for diagnostics.
        device: where input and output lie.
    """

    name: str
    reason: str
    device: torch.device

    def __call__(self, x: Tensor) -> Drawn:
        """(B, C, H, W) float32 -> float32, the caller's own; threads may call at the same time."""


class TorchBackend:
    """Eager PyTorch in single precision: the reference that the others are compared with."""

    name = "torch fp32"

    def __init__(self, network: UNet, device: torch.device = CPU, reason: str = "the reference") -> None:
        self.device, self.reason, self._network = device, reason, network

    def __call__(self, x: Tensor) -> Drawn:
        return self._network.drawn(x)

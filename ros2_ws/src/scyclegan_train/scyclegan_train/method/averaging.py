# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Averaged weights: an exponential moving average, and the batch statistics that belong to it."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of a network's parameters.

    Args:
        network: whose weights are averaged.
        decay: weight of the past; smaller in the first steps, which would otherwise show the random start.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.steps, self._decay = 0, decay

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in one step's weights."""
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        averaged: list[Tensor] = list(self.network.parameters())
        latest: list[Tensor] = list(network.parameters())
        torch._foreach_lerp_(averaged, latest, 1 - decay)
        self.steps += 1


@torch.no_grad()
def estimate_statistics(network: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Measure means and variances of a network's batch normalisation over inputs, with its present weights.

    Statistics gathered in training belong to other weights, and to fake inputs too.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches
        layer.train()
    for batch in inputs:
        network(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()

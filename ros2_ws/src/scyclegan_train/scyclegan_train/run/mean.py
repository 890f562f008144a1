# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""One message a step between the processes of a run."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed


class Mean:
    """Replaces tensors by their mean over the processes, in place and in one message: once a step, the gradients.

    DistributedDataParallel expects all parameters in each backward pass; three phases that freeze each other's
    networks, and networks called twice in a pass, do not go with that.

    Attributes:
        asked: (1,) above 0 once any process was asked to stop; it travels with each message.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._world = fabric.world_size
        self.asked = torch.zeros(1, device=fabric.device)

    def __call__(self, tensors: list[Tensor]) -> None:
        if self._world == 1:
            return
        told = [*tensors, self.asked]
        flat = torch.cat([one.reshape(-1) for one in told])
        distributed.all_reduce(flat)  # Fabric's own puts a barrier before it
        flat /= self._world
        for one, part in zip(told, flat.split([one.numel() for one in told]), strict=True):
            one.copy_(part.view(one.shape))

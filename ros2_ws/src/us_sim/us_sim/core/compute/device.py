# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The compute device, its failures, and transfer to the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from us_sim.core.config import DEVICES
from us_sim.core.errors import ConfigError, DeviceError

Worker = TypeVar("Worker")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Device:
    """Where frames are computed.

    Attributes:
        torch_device: as torch calls it.
        name: for people: `cpu`, or a GPU with its model.
        reason: why it was chosen.
    """

    torch_device: torch.device
    name: str
    reason: str

    @staticmethod
    def cpu(reason: str) -> Device:
        """Return the CPU."""
        return Device(torch.device("cpu"), "cpu", reason)

    @property
    def is_cpu(self) -> bool:
        """Whether no GPU is in use, so that none can fail."""
        return self.name == "cpu"

    def same_place(self, other: Device) -> bool:
        """Whether tensors of one can be used on the other."""
        return (self.torch_device, self.name) == (other.torch_device, other.name)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Raise DeviceError for what torch raises when the GPU fails.

        Out of memory, a launch that failed and a lost device are all RuntimeErrors; on the CPU they pass as they are.
        """
        try:
            yield
        except RuntimeError as error:
            if self.is_cpu or isinstance(error, DeviceError):
                raise
            first = str(error).strip().partition("\n")[0]
            raise DeviceError(f"{self.name} failed: {type(error).__name__}: {first}") from error


def choose_device(asked: str | Device) -> Device:
    """Return the device for `auto`, `cpu` or `cuda`; one that has been chosen before stays.

    Raises:
        ConfigError: unknown word, or CUDA asked for where there is none.
    """
    if isinstance(asked, Device):
        return asked
    if asked not in DEVICES:
        raise ConfigError(f"device is {asked!r}; expected one of {', '.join(DEVICES)}")
    if asked != "cpu" and torch.cuda.is_available():
        name = f"cuda:0 ({torch.cuda.get_device_name(0)})"
        return Device(torch.device("cuda:0"), name, "requested" if asked == "cuda" else "a CUDA device was found")
    if asked == "cuda":
        raise ConfigError("device is 'cuda', but torch finds no CUDA device; use 'cpu' or 'auto'")
    return Device.cpu("requested" if asked == "cpu" else "no CUDA device was found")


def with_fall_back(
    work: Callable[[Worker], Result], worker: Worker, on_cpu: Callable[[DeviceError], Worker]
) -> tuple[Result, Worker]:
    """Return the result of some work and who did it: the worker, or the one that goes on when its GPU has failed.

    Args:
        work: is done, and done again if it raises DeviceError.
        worker: computes, perhaps on a GPU.
        on_cpu: returns the one that goes on, which uses no GPU.
    """
    try:
        return work(worker), worker
    except DeviceError as error:
        worker = on_cpu(error)
    return work(worker), worker


def on_host(*batches: Tensor | None) -> list[NDArray[Any] | None]:
    """Return tensors as arrays. From a GPU all of them come through pinned memory, with one wait at the end."""
    on_gpu = [batch for batch in batches if batch is not None and batch.is_cuda]
    if not on_gpu:
        return [None if batch is None else batch.numpy() for batch in batches]
    pinned = [
        None if batch is None
        else torch.empty(batch.shape, dtype=batch.dtype, pin_memory=True).copy_(batch, non_blocking=True)
        for batch in batches
    ]  # fmt: skip
    torch.cuda.current_stream(on_gpu[0].device).synchronize()
    return [None if array is None else array.numpy().copy() for array in pinned]  # pinned memory is scarce

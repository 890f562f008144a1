"""Where frames are computed, what happens when that fails, and how they come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from us_sim.core.config import DEVICES
from us_sim.core.errors import ConfigError, DeviceError


def choose_device(asked: str) -> tuple[torch.device, str, str]:
    """Return the device for `auto`, `cpu` or `cuda`, its name for people, and why it was chosen.

    Raises:
        ConfigError: unknown word, or CUDA asked for where there is none.
    """
    if asked not in DEVICES:
        raise ConfigError(f"device is {asked!r}; expected one of {', '.join(DEVICES)}")
    if asked != "cpu" and torch.cuda.is_available():
        name = f"cuda:0 ({torch.cuda.get_device_name(0)})"
        return torch.device("cuda:0"), name, "asked for" if asked == "cuda" else "a CUDA device was found"
    if asked == "cuda":
        raise ConfigError("device is 'cuda', but torch finds no CUDA device; use 'cpu' or 'auto'")
    return torch.device("cpu"), "cpu", "asked for" if asked == "cpu" else "no CUDA device was found"


@contextmanager
def failures_of(device: str) -> Iterator[None]:
    """Raise DeviceError for what torch raises when the GPU of this name fails.

    Out of memory, a launch that failed and a lost device are all RuntimeErrors; on the CPU they pass as they are.
    """
    try:
        yield
    except RuntimeError as error:
        if device == "cpu" or isinstance(error, DeviceError):
            raise
        first = str(error).strip().partition("\n")[0]
        raise DeviceError(f"{device} failed: {type(error).__name__}: {first}") from error


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

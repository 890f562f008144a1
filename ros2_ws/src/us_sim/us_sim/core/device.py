"""Where frames are computed."""

from __future__ import annotations

import torch

from us_sim.core.config import DEVICES
from us_sim.core.errors import ConfigError


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

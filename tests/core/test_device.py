"""Which device is chosen, how it is called, and why."""

from __future__ import annotations

import pytest
import torch

from us_sim.core.device import choose_device
from us_sim.core.errors import ConfigError


def test_cpu_is_taken_when_asked_for() -> None:
    assert choose_device("cpu") == (torch.device("cpu"), "cpu", "asked for")


def test_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="device is 'tpu'; expected one of auto, cpu, cuda"):
        choose_device("tpu")


def test_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == (torch.device("cpu"), "cpu", "no CUDA device was found")
    with pytest.raises(ConfigError, match="device is 'cuda', but torch finds no CUDA device; use 'cpu' or 'auto'"):
        choose_device("cuda")


def test_with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")
    assert choose_device("auto") == (torch.device("cuda:0"), "cuda:0 (Card 0)", "a CUDA device was found")
    assert choose_device("cuda") == (torch.device("cuda:0"), "cuda:0 (Card 0)", "asked for")
    assert choose_device("cpu")[1] == "cpu"

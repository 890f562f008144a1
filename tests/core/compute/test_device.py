"""Which device is chosen, how it is called, and why."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from us_sim.core.compute.device import choose_device, failures_of, on_host
from us_sim.core.errors import ConfigError, DeviceError


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


# -- failures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation"),
         "cuda:0 (Card) failed: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."),
        (RuntimeError("CUDA error: unspecified launch failure"),
         "cuda:0 (Card) failed: RuntimeError: CUDA error: unspecified launch failure"),
        (RuntimeError(""), "cuda:0 (Card) failed: RuntimeError: "),
    ],
)  # fmt: skip
def test_what_a_gpu_raises_is_a_failure_of_the_device(error: RuntimeError, text: str) -> None:
    with pytest.raises(DeviceError) as caught, failures_of("cuda:0 (Card)"):
        raise error
    assert str(caught.value) == text
    assert caught.value.__cause__ is error


def test_errors_of_the_cpu_and_of_the_user_pass() -> None:
    with pytest.raises(RuntimeError, match=r"^shapes do not fit$"), failures_of("cpu"):
        raise RuntimeError("shapes do not fit")
    with pytest.raises(ConfigError), failures_of("cuda:0 (Card)"):
        raise ConfigError("gain")
    with pytest.raises(DeviceError, match=r"^first$"), failures_of("cuda:0 (Card)"):
        raise DeviceError("first")


# -- the way back ----------------------------------------------------------------------------------------


def test_tensors_come_to_the_host_as_they_are() -> None:
    image, hu = torch.arange(6, dtype=torch.uint8).reshape(1, 2, 3), torch.tensor([[[-1000]]], dtype=torch.int16)
    one, none, other = on_host(image, None, hu)
    assert none is None
    np.testing.assert_array_equal(one, [[[0, 1, 2], [3, 4, 5]]])
    np.testing.assert_array_equal(other, [[[-1000]]])
    assert (one.dtype, other.dtype) == (np.uint8, np.int16)  # type: ignore[union-attr]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tensors_come_from_the_gpu() -> None:
    values = torch.arange(1 << 20, device="cuda").reshape(4, -1)
    found, none = on_host(values.to(torch.int16), None)
    assert none is None
    np.testing.assert_array_equal(found, values.cpu().numpy().astype(np.int16))

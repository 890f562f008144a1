"""Which device is chosen, how it is called, and why."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from us_sim.core.compute.device import Device, choose_device, on_host, with_fall_back
from us_sim.core.errors import ConfigError, DeviceError

GPU = Device(torch.device("cuda:0"), "cuda:0 (Card)", "requested")


def test_a_device_that_was_chosen_stays() -> None:
    assert choose_device(GPU) is GPU


def test_cpu_is_taken_when_asked_for() -> None:
    assert choose_device("cpu") == Device(torch.device("cpu"), "cpu", "requested")


def test_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="device is 'tpu'; expected one of auto, cpu, cuda"):
        choose_device("tpu")


def test_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == Device.cpu("no CUDA device was found")
    with pytest.raises(ConfigError, match="device is 'cuda', but torch finds no CUDA device; use 'cpu' or 'auto'"):
        choose_device("cuda")


def test_with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")
    assert choose_device("auto") == Device(torch.device("cuda:0"), "cuda:0 (Card 0)", "a CUDA device was found")
    assert choose_device("cuda") == Device(torch.device("cuda:0"), "cuda:0 (Card 0)", "requested")
    assert choose_device("cpu").is_cpu


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
    with pytest.raises(DeviceError) as caught, GPU.failures():
        raise error
    assert str(caught.value) == text
    assert caught.value.__cause__ is error


def test_errors_of_the_cpu_and_of_the_user_pass() -> None:
    with pytest.raises(RuntimeError, match=r"^shapes do not fit$"), Device.cpu("requested").failures():
        raise RuntimeError("shapes do not fit")
    with pytest.raises(ConfigError), GPU.failures():
        raise ConfigError("gain")
    with pytest.raises(DeviceError, match=r"^first$"), GPU.failures():
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


def test_work_that_the_gpu_fails_at_is_done_again_without_it() -> None:
    done, errors = [], []

    def work(device: Device) -> str:
        done.append(device.name)
        if not device.is_cpu:
            raise DeviceError("lost")
        return "a frame"

    def on_cpu(error: DeviceError) -> Device:
        errors.append(str(error))
        return Device.cpu(str(error))

    assert with_fall_back(work, GPU, on_cpu) == ("a frame", Device.cpu("lost"))
    assert (done, errors) == (["cuda:0 (Card)", "cpu"], ["lost"])
    assert with_fall_back(work, Device.cpu("requested"), on_cpu) == ("a frame", Device.cpu("requested"))
    assert errors == ["lost"]


def test_what_fails_without_a_gpu_fails() -> None:
    def work(device: Device) -> None:
        raise DeviceError(f"{device.name} is lost")

    with pytest.raises(DeviceError, match=r"^cpu is lost$"):
        with_fall_back(work, GPU, lambda error: Device.cpu(str(error)))

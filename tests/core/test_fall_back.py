"""A GPU that fails, out of memory or lost, while frames are rendered or things are loaded: the CPU goes on.

The GPU is a pretended one: its name is CUDA's, its tensors lie on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.core.patients import box_patient, on_the_box
from torch import Tensor

from us_sim.core import assembly, pipeline, simulator
from us_sim.core.compute.device import Device, choose_device
from us_sim.core.config import ImageSettings, SimConfig
from us_sim.core.errors import DeviceError
from us_sim.core.generator import inference
from us_sim.core.generator.artifact import Generator, build, save_generator
from us_sim.core.generator.backend import CPU, TorchBackend
from us_sim.core.generator.card import Card
from us_sim.core.generator.unet import Drawn, UNet
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.simulator import Simulator

GPU = Device(CPU, "cuda:0 (Card)", "a CUDA device was found")
PROBE = ProbeGeometry(ProbeKind.CONVEX, 100.0, 50.0, 1.0, width=64, height=64, scan_lines=48, samples=96)
CARD = Card(PROBE, width=0.0625, norm="batch")
FAILURES = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
]


class FailingBackend(TorchBackend):
    """Draws a number of frames, then fails as CUDA does."""

    def __init__(self, network: UNet, error: RuntimeError, frames: int = 0) -> None:
        super().__init__(network)
        self._error, self._left = error, frames

    def __call__(self, x: Tensor) -> Drawn:
        self._left -= 1
        if self._left < 0:
            raise self._error
        return super().__call__(x)


def generator() -> Generator:
    torch.manual_seed(0)
    network = build(CARD).eval().requires_grad_(False)
    return Generator(network, CARD, "tiny", "0" * 64, TorchBackend(network))


def pretended(asked: str | Device) -> Device:
    return choose_device(asked) if isinstance(asked, Device) or asked == "cpu" else GPU


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (simulator, assembly):
        monkeypatch.setattr(module, "choose_device", pretended)


def on_gpu(error: RuntimeError, frames: int = 0) -> Simulator:
    made = generator()
    failing = replace(made, backend=FailingBackend(made.network, error, frames))
    return Simulator(box_patient(), PROBE, ImageSettings(gain=3.0), renderer="generator", generator=failing, seed=2)


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_a_failure_is_named_and_the_cpu_draws_the_same_pose(error: RuntimeError) -> None:
    failing = on_gpu(error, frames=1)
    assert failing.device == GPU
    shown = failing.render(on_the_box())
    with pytest.raises(DeviceError) as caught:
        failing.render(on_the_box(5.0))
    assert str(caught.value) == f"{GPU.name} failed: {type(error).__name__}: {error}"
    going_on = failing.on_cpu(str(caught.value))
    assert going_on.device == Device.cpu(str(caught.value))
    assert going_on.generator is not None
    assert going_on.generator.backend.name.startswith("openvino")
    assert (going_on.settings.gain, going_on.seed, going_on.renderer) == (3.0, 2, "generator")
    again = going_on.render(on_the_box())
    np.testing.assert_allclose(again.image.astype(int), shown.image, atol=4)  # type: ignore[union-attr, arg-type]
    np.testing.assert_array_equal(again.labels, shown.labels)
    assert going_on.render(on_the_box(5.0)).image is not None


def test_the_reason_stays_when_other_things_change() -> None:
    fallen = on_gpu(FAILURES[0]).on_cpu("the card is lost")
    louder = fallen.replace(settings=ImageSettings(gain=9.0))
    assert louder.device == Device.cpu("the card is lost")
    assert fallen.replace(patient=box_patient(), seed=1).device == Device.cpu("the card is lost")
    assert fallen.replace(device="auto", generator=None, renderer="physics").device == GPU


def test_the_same_error_on_the_cpu_is_no_failure_of_a_gpu() -> None:
    made = generator()
    failing = replace(made, backend=FailingBackend(made.network, RuntimeError("shapes do not fit")))
    with pytest.raises(RuntimeError, match=r"^shapes do not fit") as caught:
        Simulator(box_patient(), PROBE, renderer="generator", generator=failing, device="cpu").render(on_the_box())
    assert not isinstance(caught.value, DeviceError)


def test_falling_back_waits_for_no_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "BF16_GFLOP", 0.0)
    fallen = on_gpu(FAILURES[0]).on_cpu("lost")
    assert fallen.generator is not None
    assert fallen.generator.backend.reason.endswith("but int8 is not made yet")


def failing_once(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    """Let a function fail as a full GPU does, unless it is called for the CPU after that."""
    calls: list[Any] = []
    works: Callable[..., Any] = getattr(module, name)

    def work(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            raise FAILURES[0]
        return works(*args, **kwargs)

    monkeypatch.setattr(module, name, work)
    return calls


@pytest.mark.parametrize(("module", "name"), [(assembly, "accelerated"), (pipeline, "sampler_on")])
def test_a_gpu_without_room_for_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: Any, name: str
) -> None:
    """Another process has filled it: neither weights nor patient fit in."""
    path = tmp_path / "tiny.safetensors"
    save_generator(path, generator().network, CARD)
    monkeypatch.setattr(assembly, "open_patient", lambda *given: box_patient())
    calls = failing_once(monkeypatch, module, name)
    made = assembly.open_simulator(SimConfig(generator=str(path), renderer="generator"), ImageSettings(), PROBE)
    assert made.device == Device.cpu(f"{GPU.name} failed: OutOfMemoryError: {FAILURES[0]}")
    assert len(calls) == 2
    assert made.render(on_the_box()).image is not None


def test_a_generator_that_was_loaded_before_comes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    failing_once(monkeypatch, pipeline, "sampler_on")
    monkeypatch.setattr(assembly, "open_patient", lambda *given: box_patient())
    given = generator()
    made = assembly.open_simulator(SimConfig(renderer="generator"), ImageSettings(), PROBE, generator=given)
    assert made.generator is not None
    assert made.generator.network is given.network
    assert made.device.is_cpu

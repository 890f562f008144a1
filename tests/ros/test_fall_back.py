"""A GPU that fails while the node runs: the CPU goes on at the same pose, and everybody is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from us_sim_msgs.msg import FrameInfo, ProbeInfo
from us_sim_msgs.srv import LoadGenerator, RenderFrame

from us_sim.core import assembly
from us_sim.core.compute.device import Device
from us_sim.core.errors import DeviceError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ros.conftest import FakeSimulator, World

GPU = Device(torch.device("cuda"), "cuda:0 (Card)", "a CUDA device was found")
FAILURES = {
    "memory": f"{GPU.name} failed: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    "launch": f"{GPU.name} failed: AcceleratorError: CUDA error: unspecified launch failure",
}


def on_gpu(node: Any, failure: str | None = None) -> None:
    """Let the node's simulator pretend to run on a GPU, which fails if a text is given."""
    simulator: FakeSimulator = node.session.scene.simulator
    simulator.device = GPU
    simulator.failure = DeviceError(failure) if failure else None


def told(messages: list[Any]) -> dict[str, str]:
    return {value.key: value.value for value in messages[-1].status[0].values}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_the_cpu_goes_on_at_the_same_pose(world: World, capfd: pytest.CaptureFixture[str], failure: str) -> None:
    node = world.start()
    images, infos = world.listen(Image, "us_sim/image"), world.listen(FrameInfo, "us_sim/frame_info")
    diagnostics = world.listen(DiagnosticArray, "/diagnostics")
    world.listened(node.session.outputs.image, node.session.outputs.frame_info)
    send = world.sender(node)
    on_gpu(node)
    world.until(lambda: diagnostics and told(diagnostics)["device"] == f"{GPU.name} (a CUDA device was found)")
    on_gpu(node, failure)
    send(world.pose(2.0, x=40.0))
    world.until(lambda: infos and infos[-1].header.stamp.sec == 2)
    world.until(lambda: images and images[-1].header.stamp.sec == 2)
    assert max(images[-1].data) == 40  # the frame of that very pose
    assert infos[-1].config_id == node.session.scene.config_id
    assert node.session.statistics.counts["render errors"] == 0
    world.until(lambda: told(diagnostics)["device"] == f"cpu ({failure})")
    assert f"the GPU is given up, device cpu ({failure})" in capfd.readouterr().err
    send(world.pose(3.0, x=50.0))
    world.until(lambda: infos[-1].header.stamp.sec == 3)


def test_a_probe_info_tells_of_the_change_before_the_frame(world: World) -> None:
    node = world.start()
    messages: list[Any] = []
    for kind, topic in ((ProbeInfo, "probe_info"), (FrameInfo, "frame_info")):
        world.client.create_subscription(kind, f"us_sim/{topic}", messages.append, 10)
    world.listened(node.session.outputs.probe_info, node.session.outputs.frame_info)
    send = world.sender(node)
    world.until(lambda: messages)
    before = node.session.scene.config_id
    on_gpu(node, FAILURES["memory"])
    send(world.pose(2.0))
    world.until(lambda: any(isinstance(m, FrameInfo) and m.header.stamp.sec == 2 for m in messages))
    first = next(m for m in messages if m.config_id == before + 1)
    assert isinstance(first, ProbeInfo)


def test_frames_on_demand_come_from_the_cpu(world: World) -> None:
    node = world.start()
    on_gpu(node, FAILURES["launch"])
    request = RenderFrame.Request(poses=[world.pose(1.0 + i, x=10.0 + i) for i in range(11)])
    answer = world.call(RenderFrame, "us_sim/render", request)
    assert answer.success, answer.message
    assert [max(frame.image.data) for frame in answer.frames] == list(range(10, 21))
    assert node.session.scene.simulator.device.is_cpu
    assert {frame.info.config_id for frame in answer.frames} == {answer.probe_info.config_id}
    assert answer.probe_info.config_id == node.session.scene.config_id


def test_what_changed_live_holds_on_the_cpu(world: World) -> None:
    node = world.start()
    node.set_parameters([Parameter("gain", value=7.0)])
    on_gpu(node, FAILURES["memory"])
    scene = node.session.fall_back(node.session.scene.simulator.failure)
    assert (scene.simulator.device.name, scene.simulator.settings.gain) == ("cpu", 7.0)
    assert node.session.scene is scene
    assert node.session.fall_back(DeviceError("again")) is scene  # a second thread that saw the same failure


def test_what_was_loaded_while_the_cpu_was_made_ready_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    node = world.start()
    on_gpu(node, FAILURES["memory"])
    failed, made = node.session.scene.simulator, []

    def slowly(simulator: FakeSimulator, reason: str) -> FakeSimulator:
        made.append(simulator)
        if len(made) == 1:
            node.session.show(simulator.replace(seed=5))  # another thread was quicker
        return simulator.replace(device=Device.cpu(reason), failure=None)

    monkeypatch.setattr(type(failed), "on_cpu", slowly)
    scene = node.session.fall_back(failed.failure)
    assert (scene.simulator.device.name, scene.simulator.seed, len(made)) == ("cpu", 5, 2)


def test_later_generators_are_loaded_for_the_cpu(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = world.start(device="auto")
    asked: list[str] = []
    load = assembly.open_generator

    def open_generator(name: str, device: str) -> Any:
        asked.append(device)
        return load(name, "cpu")

    monkeypatch.setattr(assembly, "open_generator", open_generator)
    path = tmp_path / "g.safetensors"
    path.touch()
    for gpu, expected in ((True, "auto"), (False, "cpu")):
        node.session.scene.simulator.device = GPU if gpu else Device.cpu("lost")
        assert world.call(LoadGenerator, "us_sim/load_generator", LoadGenerator.Request(path=str(path))).success
        assert asked[-1] == expected


def test_a_gpu_that_fails_at_the_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(assembly.Simulator):
        def render(self, ct_from_probe: Any, **outputs: Any) -> Any:
            if not self.device.is_cpu:
                raise DeviceError(FAILURES["memory"])
            return super().render(ct_from_probe, **outputs)

    monkeypatch.setattr(assembly, "Simulator", Failing)
    monkeypatch.setattr(assembly, "choose_device", lambda asked: GPU)
    node = world.start(device="cuda")
    simulator = node.session.scene.simulator
    assert simulator.device == Device.cpu(FAILURES["memory"])
    np.testing.assert_array_equal(simulator.render(np.eye(4)).ct_from_probe, np.eye(4))


def test_the_backend_is_told(world: World, tmp_path: Path) -> None:
    path = tmp_path / "liver.safetensors"
    path.touch()
    world.start(generator=str(path), renderer="generator")
    diagnostics = world.listen(DiagnosticArray, "/diagnostics")
    world.until(lambda: diagnostics)
    assert told(diagnostics)["generator runs on"] == "fake int8 (it is small)"

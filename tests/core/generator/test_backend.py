"""Backends draw what the network draws, the rule that chooses them holds, and int8 is made once."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.core.patients import box_patient, on_the_box
from torch import Tensor, nn

from us_sim.core.compute import cores as processors
from us_sim.core.config import ImageSettings
from us_sim.core.generator import backend_cuda, backend_openvino, inference, quantisation
from us_sim.core.generator.artifact import Generator, build, load_generator, save_generator
from us_sim.core.generator.backend import TorchBackend
from us_sim.core.generator.backend_cuda import GRAPHS, Captured, CudaBackend
from us_sim.core.generator.backend_openvino import OpenVinoBackend, converted
from us_sim.core.generator.card import Card
from us_sim.core.generator.inference import accelerated
from us_sim.core.generator.quantisation import calibration_slices, quantised
from us_sim.core.generator.renderer import LearnedRenderer
from us_sim.core.generator.unet import Drawn, UNet
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.sampling.reslice import elevation_beam
from us_sim.core.sampling.sampler import sampler_on
from us_sim.core.simulator import Simulator

CPU = torch.device("cpu")
PROBE = ProbeGeometry(ProbeKind.CONVEX, 150.0, 50.0, 1.0, width=64, height=64, scan_lines=32, samples=64)
PAPER = Card(PROBE, width=0.125, norm="batch")
RICH = Card(PROBE, "rich", "polar", windows=((-150.0, 250.0), (-1e3, 1e3)), width=0.125, norm="batch")
FEW = 8  # slices to calibrate on


def generator_of(card: Card, slices: Tensor | None = None) -> Generator:
    """Random weights; batch statistics of the slices, as a trained network has them."""
    torch.manual_seed(0)
    network = build(card)
    if slices is not None:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None
        with torch.no_grad():
            network(slices)
    network.eval().requires_grad_(False)
    return Generator(network, card, "tiny", "0" * 64, TorchBackend(network))


@pytest.fixture(scope="module", params=[PAPER, RICH], ids=["paper", "rich"])
def fed(request: pytest.FixtureRequest) -> tuple[Generator, Tensor]:
    """A generator and slices of the phantom as it is fed with them."""
    slices = torch.from_numpy(calibration_slices(generator_of(request.param), 2 * FEW))
    return generator_of(request.param, slices), slices


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator:
    """A generator with a file; int8 is wanted and few slices calibrate it."""
    path = tmp_path / "liver.safetensors"
    save_generator(path, generator_of(PAPER).network, PAPER)
    monkeypatch.setattr(inference, "BF16_GFLOP", 0.0)
    monkeypatch.setenv("US_SIM_CACHE", str(tmp_path / "home" / "us_sim"))
    fake_slices = np.random.default_rng(0).uniform(-1, 1, (FEW, 4, 64, 64)).astype(np.float32)
    monkeypatch.setattr(quantisation, "calibration_slices", lambda generator: fake_slices)
    return load_generator(path)


def distance(found: Tensor, expected: Tensor) -> float:
    """Relative L2."""
    return float((found - expected).norm() / expected.norm())


# -- agreement with the reference ------------------------------------------------------------------------


def test_bf16_draws_what_the_network_draws(fed: tuple[Generator, Tensor]) -> None:
    """A rounding to 8 bits errs by up to 2⁻⁹, and there are some of them in a row; a grey level is 1/127.5."""
    generator, slices = fed
    shape = (generator.card.channels, *generator.card.size)
    backend = OpenVinoBackend(converted(generator.network, shape), "bf16", "tested")
    expected, bottleneck = generator.backend(slices)
    found = backend(slices)
    assert distance(found.image, expected) < 0.03
    assert float((found.image - expected).abs().mean()) < 1 / 127.5
    assert distance(found.bottleneck, bottleneck) < 0.03


def test_int8_draws_what_the_network_draws(fed: tuple[Generator, Tensor]) -> None:
    generator, slices = fed
    shape = (generator.card.channels, *generator.card.size)
    seen, others = slices[::2], slices[1::2]
    model = quantised(converted(generator.network, shape), seen.numpy())
    backend = OpenVinoBackend(model, "int8", "tested")
    expected, bottleneck = generator.backend(others)
    found = backend(others)

    assert distance(found.image, expected) < 0.15
    assert float((found.image - expected).abs().mean()) < 5 / 127.5
    assert distance(found.bottleneck, bottleneck) < 0.15
    coarser = OpenVinoBackend(converted(generator.network, shape), "bf16", "tested")
    assert not torch.equal(found.image, coarser(others).image)


def test_openvino_is_the_same_in_a_batch_alone_and_in_another_start(
    fed: tuple[Generator, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_openvino, "cores", lambda: 2)  # a frame to each, from BATCH of them on
    generator, slices = fed
    assert len(slices) >= 2 * backend_openvino.BATCH
    shape = (generator.card.channels, *generator.card.size)
    one, other = (OpenVinoBackend(converted(generator.network, shape), "bf16", "tested") for _ in range(2))
    batch = one(slices)
    assert "_requests" in vars(one)
    alone = [one(x[None]) for x in slices]
    for kind, found in enumerate(batch):
        assert torch.equal(found, torch.cat([drawn[kind] for drawn in alone]))
        assert torch.equal(found, other(slices)[kind])
    kept = one(slices[:1])
    again = [each.clone() for each in kept]
    one(slices[1:2])
    assert all(map(torch.equal, kept, again))  # a result is the caller's own


def test_slices_are_what_the_renderer_reads() -> None:
    """The calibration sees the phantom as the simulator feeds it: windowed HU in [−1, 1], labels, tissue in view."""
    slices = calibration_slices(generator_of(PAPER), 7)
    assert (slices.shape, slices.dtype) == ((7, 4, 64, 64), np.float32)
    assert np.abs(slices).max() <= 1
    inside = slices[:, 0][:, PROBE.fan_mask]
    assert (np.abs(inside) < 0.9).mean() > 0.3  # soft tissue, neither air nor bone
    assert len({one.tobytes() for one in slices}) == 6  # two of the three motions begin at the same place


# -- which one -------------------------------------------------------------------------------------------


def test_small_networks_run_in_bf16_and_say_why() -> None:
    made = accelerated(generator_of(PAPER), CPU)
    assert made.backend.name in ("openvino bf16", "openvino fp32")
    assert made.backend.reason.startswith("0.1 GFLOP a frame; bf16 is for up to ")
    assert made.device == CPU


def test_arithmetic_of_a_network_by_hand() -> None:
    """Four filters at each of four levels."""
    network, n = UNet(1, out=1, width=0.001), 4
    pixels = [16 * 16, 8 * 8, 4 * 4, 2 * 2]
    weights = [9 * (1 * n + n * n) + 9 * (2 * n * n + n * n) + n]  # first block, last block, head
    weights += [9 * 2 * n * n + 9 * (2 * n * n + n * n) + 4 * n * n] * 2  # block, block after joining, up
    weights += [9 * 2 * n * n + 4 * n * n]
    assert network.flop(16, 16) == sum(2 * p * w for p, w in zip(pixels, weights, strict=True))
    assert UNet(4).flop(256, 256) == pytest.approx(74e9, rel=0.01)  # the paper's


def test_large_networks_run_in_int8(artifact: Generator) -> None:
    made = accelerated(artifact, CPU)
    assert made.backend.name == "openvino int8"
    assert "bf16 is for up to 0 at 30 frames/s" in made.backend.reason


def test_the_limit_grows_with_the_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Four hardware threads on two cores; OMP_NUM_THREADS asks for one."""
    for cpu in range(4):
        (tmp_path / str(cpu)).write_text(f"{cpu % 2},{cpu % 2 + 2}\n")
    monkeypatch.setattr(processors, "CPU", str(tmp_path / "{}"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    for wished, expected in (("", 2), ("1", 1), ("8", 2), ("0", 2), ("4,2", 2)):
        monkeypatch.setenv("OMP_NUM_THREADS", wished)
        assert processors.cores() == expected
    monkeypatch.setattr(processors, "CPU", str(tmp_path / "none" / "{}"))
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert processors.cores() == 4


def test_without_bf16_single_precision_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    generator, core = generator_of(PAPER), backend_openvino.ov.Core()
    model = converted(generator.network, (4, 64, 64))

    class OldCpu:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "INT8"]

        def compile_model(self, model: object, device: str, options: dict[str, Any]) -> Any:
            asked.update(options)
            return core.compile_model(model, device)

    monkeypatch.setattr("us_sim.core.generator.backend_openvino.ov.Core", OldCpu)
    backend = OpenVinoBackend(model, "bf16", "small")
    assert (backend.name, backend.reason) == ("openvino fp32", "small; this CPU has no bf16, fp32 is used instead")
    assert OpenVinoBackend(model, "int8", "large").name == "openvino int8"
    assert asked["INFERENCE_PRECISION_HINT"] == "f32"
    assert asked["INFERENCE_NUM_THREADS"] <= (os.cpu_count() or 1)


def test_without_openvino_torch_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "us_sim.core.generator.backend_openvino", None)
    generator = generator_of(PAPER)
    made = accelerated(generator, CPU)
    assert made.backend.name == "torch fp32"
    assert made.backend.reason.startswith("OpenVINO cannot run it: ModuleNotFoundError: ")
    x = torch.zeros(1, 4, 64, 64)
    assert torch.equal(made.backend(x).image, generator.network(x))


def test_a_network_that_openvino_refuses_is_drawn_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise RuntimeError("operation atan2 is not known\nand more")

    monkeypatch.setattr("us_sim.core.generator.backend_openvino.converted", refuse)
    made = accelerated(generator_of(PAPER), CPU)
    assert made.backend.reason == "OpenVINO cannot run it: RuntimeError: operation atan2 is not known"


def test_without_nncf_bf16_draws(artifact: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    made = accelerated(artifact, CPU)
    assert made.backend.name != "openvino int8"
    assert "but int8 failed: ModuleNotFoundError" in made.backend.reason


def test_nothing_is_told_to_the_maker_of_openvino() -> None:
    import openvino.tools.ovc as tools

    assert type(tools.telemetry).__module__ == "openvino.tools.ovc.telemetry_stub"


# -- int8 is made once -----------------------------------------------------------------------------------


def int8_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.int8-*"))


def never(*given: object) -> None:
    raise AssertionError("int8 is made again")


def test_int8_is_kept_beside_the_artifact(
    artifact: Generator, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert artifact.file is not None
    first = accelerated(artifact, CPU)
    told = capfd.readouterr()
    assert f"generator liver: int8 is made once, from {FEW} slices, in about " in told.err
    assert told.out == ""
    (kept,) = int8_files(artifact.file.parent)
    assert kept.parent == artifact.file.parent
    assert artifact.sha256 in kept.name
    with monkeypatch.context() as patch:
        patch.setattr(quantisation, "quantised", never)
        second = accelerated(artifact, CPU)
    x = torch.rand(1, 4, 64, 64)
    assert second.backend.name == "openvino int8"
    assert torch.equal(first.backend(x).image, second.backend(x).image)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-40]),
        lambda file: file.write_bytes(file.read_bytes()[:2000] + bytes(100) + file.read_bytes()[2100:]),
        lambda file: (file.unlink(), file.mkdir()),
    ],
    ids=["empty", "truncated", "changed", "folder"],
)
def test_a_damaged_file_is_made_again(
    artifact: Generator, spoil: Callable[[Path], object], capfd: pytest.CaptureFixture[str]
) -> None:
    assert artifact.file is not None
    x = torch.rand(1, 4, 64, 64)
    expected = accelerated(artifact, CPU).backend(x).image
    (kept,) = int8_files(artifact.file.parent)
    spoil(kept)
    capfd.readouterr()
    again = accelerated(artifact, CPU)
    assert again.backend.name == "openvino int8"
    assert torch.equal(again.backend(x).image, expected)
    assert f"{kept} cannot be read (" in capfd.readouterr().err
    assert quantisation.kept(artifact) is not None  # in the user's cache, where a folder is in the way


def test_the_model_of_another_network_is_made_again(artifact: Generator, capfd: pytest.CaptureFixture[str]) -> None:
    assert artifact.file is not None
    accelerated(artifact, CPU)
    other = replace(artifact, card=RICH, network=generator_of(RICH).network)
    assert quantisation.kept(other) is None
    assert "belongs to another network" in capfd.readouterr().err


def test_where_the_folder_cannot_be_written_the_users_cache_keeps_it(
    artifact: Generator, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    elsewhere = replace(artifact, file=Path("/proc/version"))  # not even root writes there
    accelerated(elsewhere, CPU)
    (kept,) = int8_files(tmp_path)
    assert kept.parent == tmp_path / "home" / "us_sim"
    assert quantisation.kept(elsewhere) is not None


def test_where_nothing_can_be_written_int8_draws_all_the_same(
    artifact: Generator, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("US_SIM_CACHE", "/proc/us_sim")
    made = accelerated(replace(artifact, file=None), CPU)
    assert made.backend.name == "openvino int8"
    assert "generator liver: not kept (" in capfd.readouterr().err


def test_in_a_hurry_only_a_kept_int8_is_taken(artifact: Generator) -> None:
    hasty = accelerated(artifact, CPU, calibrate=False)
    assert hasty.backend.name != "openvino int8"
    assert hasty.backend.reason.endswith("but int8 is not made yet")
    accelerated(artifact, CPU)
    assert accelerated(artifact, CPU, calibrate=False).backend.name == "openvino int8"


# -- in the simulator ------------------------------------------------------------------------------------


def test_frames_of_a_batch_equal_single_ones() -> None:
    generator = accelerated(generator_of(PAPER), CPU)
    simulator = Simulator(box_patient(), PROBE, renderer="generator", generator=generator, device="cpu")
    poses = np.stack([on_the_box(), on_the_box(20.0), on_the_box(0.0, -12.0)])
    for frame, pose in zip(simulator.render_batch(poses), poses, strict=True):
        np.testing.assert_array_equal(frame.image, simulator.render(pose).image)


def test_the_simulator_draws_as_the_reference_does() -> None:
    reference = generator_of(PAPER)
    simulator = Simulator(box_patient(), PROBE, renderer="generator", generator=reference, device="cpu")
    expected = simulator.render(on_the_box()).image
    found = simulator.replace(generator=accelerated(reference, CPU)).render(on_the_box()).image
    assert expected is not None
    assert found is not None
    np.testing.assert_allclose(found.astype(int), expected, atol=3)


def test_what_changes_live_compiles_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = accelerated(generator_of(PAPER), CPU)
    simulator = Simulator(box_patient(), PROBE, renderer="generator", generator=generator, device="cpu")
    monkeypatch.setattr(inference, "accelerated", never)
    louder = simulator.replace(settings=ImageSettings(gain=6.0))
    assert louder.generator is generator


def test_memory_does_not_grow_over_2000_frames() -> None:
    """A picture left behind by each frame would be 64 × 64 numbers of 4 bytes: 33 MB."""
    generator = accelerated(generator_of(replace(PAPER, width=0.05)), CPU)
    simulator = Simulator(box_patient(), PROBE, renderer="generator", generator=generator, device="cpu")
    poses = [on_the_box(x) for x in np.linspace(-20, 20, 50)]

    def resident(frames: int) -> int:
        for number in range(frames):
            simulator.render(poses[number % len(poses)], ct_slice=False, labels=False)
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    settled = resident(200)
    assert resident(2000) - settled < 16e6


# -- CUDA ------------------------------------------------------------------------------------------------


@pytest.fixture
def without_graphs(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Instead of a graph, a run on the CPU in double precision; the list fills with the shapes captured."""
    captured: list[torch.Size] = []

    def capture(network: UNet, read: Tensor) -> Captured:
        captured.append(read.shape)
        drawn = Drawn(*(torch.zeros(one.shape, dtype=one.dtype) for one in network.drawn(read)))
        graph: Any = SimpleNamespace(
            replay=lambda: [a.copy_(b) for a, b in zip(drawn, network.drawn(read), strict=False)]
        )
        return Captured(graph, read, drawn)

    monkeypatch.setattr(backend_cuda, "capture", capture)
    return captured


def test_a_graph_is_captured_for_every_shape(without_graphs: list[torch.Size]) -> None:
    generator = generator_of(PAPER)
    backend = CudaBackend(generator.network, CPU, "tested")
    assert (backend.name, backend.reason, backend.device) == ("cuda half", "tested", CPU)
    x = torch.rand(3, 4, 64, 64)
    first = backend(x[:1])
    kept = [one.clone() for one in first]
    for batch in (x[1:2], x, x[:1]):
        for found, expected in zip(backend(batch), generator.network.drawn(batch), strict=True):
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)
    assert [tuple(shape) for shape in without_graphs] == [(1, 4, 64, 64), (3, 4, 64, 64)]
    assert all(map(torch.equal, first, kept))  # the graph's memory is not handed out
    assert next(generator.network.parameters()).dtype == torch.float32  # the weights are as they were


def test_the_graph_reads_half_precision_channels_last(without_graphs: list[torch.Size]) -> None:
    backend = CudaBackend(generator_of(PAPER).network, CPU, "tested")
    backend(torch.rand(2, 4, 64, 64))
    (run,) = backend._captured.values()
    assert run.read.dtype == torch.float16
    assert run.read.is_contiguous(memory_format=torch.channels_last)
    weights = [p for p in backend._network.parameters() if p.ndim == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def test_rare_shapes_run_without_a_graph(without_graphs: list[torch.Size]) -> None:
    generator = generator_of(Card(replace(PROBE, width=16, height=16), width=0.05))
    backend = CudaBackend(generator.network, CPU, "tested")
    for count in range(1, GRAPHS + 3):
        x = torch.rand(count, 4, 16, 16)
        torch.testing.assert_close(backend(x).image, generator.network(x), atol=0.02, rtol=0)
    assert len(without_graphs) == GRAPHS


def test_capturing_warms_up_apart_from_the_stream_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order that CUDA asks for: side stream waits, warm-up there, back, then the recording."""
    steps: list[str] = []

    def stream(name: str) -> Any:
        return SimpleNamespace(wait_stream=lambda other: steps.append(f"{name} waits"))

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream("current"))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream("side"))
    monkeypatch.setattr(torch.cuda, "stream", lambda used: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: "graph")

    def graph(recorded: str, capture_error_mode: str) -> Any:
        steps.append(f"{recorded}, {capture_error_mode}")
        return nullcontext()

    monkeypatch.setattr(torch.cuda, "graph", graph)

    class Network(UNet):
        def drawn(self, x: Tensor) -> Drawn:
            steps.append("run")
            return Drawn(x + 1, x)

    read = torch.zeros(1, 1, 2, 2)
    run = backend_cuda.capture(Network(1), read)
    assert steps == ["side waits", "run", "run", "run", "current waits", "graph, thread_local", "run"]
    assert run.read is read
    assert torch.equal(run.drawn.image, read + 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("card", [PAPER, RICH], ids=["paper", "rich"])
def test_cuda_draws_what_the_network_draws(card: Card) -> None:
    slices = torch.from_numpy(calibration_slices(generator_of(card), FEW))
    generator = generator_of(card, slices)
    made = accelerated(generator, torch.device("cuda:0"))
    assert made.backend.name == "cuda half"
    expected = generator.network(slices)
    batch = made.backend(slices.cuda()).image
    assert distance(batch.cpu(), expected) < 0.01
    for one, alone in zip(batch, slices, strict=True):
        torch.testing.assert_close(made.backend(alone[None].cuda()).image[0], one, atol=0.01, rtol=0)
    assert torch.equal(made.backend(slices.cuda()).image, batch)


def test_reading_and_drawing_are_one_frame() -> None:
    """What `read` gives is what the backend gets when the renderer draws."""
    generator, seen = generator_of(PAPER), []

    class Listening(TorchBackend):
        def __call__(self, x: Tensor) -> Drawn:
            seen.append(x)
            return super().__call__(x)

    learned = LearnedRenderer(replace(generator, backend=Listening(generator.network)), PROBE, ImageSettings(), 0)
    sampler, beam = sampler_on(CPU, box_patient(), 0), elevation_beam(3.0, 1)
    learned.draw(sampler, on_the_box()[None], torch.ones(1, 32), beam)
    assert torch.equal(seen[0], learned.read(sampler, on_the_box()[None], beam))

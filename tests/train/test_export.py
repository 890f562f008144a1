"""What is exported draws in the simulator what the network drew in training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from tests.train.synthetic import TinyCt, TinyUs, config

from scyclegan_train import export as command
from scyclegan_train.config import Config
from scyclegan_train.data.grid_renderer import GridRenderer
from scyclegan_train.data.inputs import Inputs
from scyclegan_train.data.patient_source import phantom_cases
from scyclegan_train.data.samples import CtBatch
from scyclegan_train.method import feeding, losses
from scyclegan_train.method.translator import frozen
from scyclegan_train.run.checkpoint import CheckpointError, checkpoints, load_checkpoint
from scyclegan_train.run.export import export
from scyclegan_train.run.loop import build_model, train
from us_sim.core.analysis.segmenter import load_segmenter, seen
from us_sim.core.errors import ArtifactError
from us_sim.core.generator.artifact import load_generator, load_network
from us_sim.core.generator.card import Card
from us_sim.core.generator.encoding import decode, encode
from us_sim.core.robot.motion import motion
from us_sim.core.sampling.sampler import sampler_on
from us_sim.core.simulator import Simulator

RICH: dict[str, Any] = {
    "generator": {"encoding": "rich", "windows": [[-150, 250], [-1000, 1000]], "norm": "batch"},
    "loop": {"checkpoint_every": 8},
}
SPECKLE: dict[str, Any] = {
    **RICH, "generator": {**RICH["generator"], "architecture": "speckle_unet", "fold": 2},
}  # fmt: skip


@pytest.fixture(scope="module", params=["paper", "rich", "speckle"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """A short run."""
    made = config(**{"paper": {}, "rich": RICH, "speckle": SPECKLE}[request.param])
    folder, card = tmp_path_factory.mktemp("run"), made.generator.card()
    inputs = Inputs(TinyCt(card), TinyUs(card, seed=1), made.schedule.batch)
    assert train(made, inputs, folder, Fabric(accelerator="cpu", devices=1))
    return made, folder


def trained(made: Config, folder: Path, ct: CtBatch) -> torch.Tensor:
    """Grey levels that the averaged network of the latest checkpoint draws."""
    model = build_model(made, Fabric(accelerator="cpu", devices=1))
    load_checkpoint(checkpoints(folder / "checkpoints")[-1], model)
    x = feeding.real_ct(model.card, ct, feeding.fan_of(model.card, "cpu"))
    with torch.no_grad():
        return decode(model.averaged_ct2us(x.image, x.mask, ct.scatter))


@pytest.mark.parametrize("half", [False, True])
def test_the_artifact_draws_what_the_network_drew(run: tuple[Config, Path], tmp_path: Path, half: bool) -> None:
    made, folder = run
    export(folder, tmp_path / "g.safetensors", [{"name": "rectangles", "licence": "CC0"}], half=half)
    generator = load_generator(tmp_path / "g.safetensors")
    assert generator.card.training_data == ({"name": "rectangles", "licence": "CC0"},)
    assert generator.card.size == made.generator.card().size
    ct = TinyCt(generator.card).batch([3, 4])
    with torch.no_grad():
        read = encode(generator.card, ct.hu, ct.tissue, ct.scatter, feeding.fan_of(generator.card, "cpu"))
        found = decode(generator.network(read))
    expected = trained(made, folder, ct)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.5 if half else 1e-3)
    assert float(expected.std()) > 0.5


def test_the_simulator_draws_what_the_network_drew(run: tuple[Config, Path], tmp_path: Path) -> None:
    """The node's path from pose to picture, against the training's from pose to batch."""
    made, folder = run
    export(folder, tmp_path / "g.safetensors")
    generator = load_generator(tmp_path / "g.safetensors")
    card, patient = generator.card, phantom_cases([0])[0]()
    pose = motion("liver_sweep", patient, 3)[1:2]
    body = sampler_on(torch.device("cpu"), patient, 0)
    ct = GridRenderer(card, torch.device("cpu")).ct(body, body, patient, pose, [0])
    polar = trained(made, folder, ct)[0].numpy()

    simulator = Simulator(patient, card.probe, renderer="generator", generator=generator, device="cpu")
    image = simulator.render(pose[0], ct_slice=False, labels=False).image
    assert image is not None
    line, sample = np.moveaxis(card.probe.polar_of_pixel, -1, 0)
    lines, samples = np.rint(line).astype(int), np.rint(sample).astype(int)
    middle = card.probe.fan_mask & (np.abs(line - lines) < 0.02) & (np.abs(sample - samples) < 0.02)
    coupled = simulator.contact(pose[0]).line_coupling > 0.999
    middle &= coupled[np.clip(lines, 0, len(coupled) - 1)]
    assert middle.sum() > 50  # pixels that lie on a sample: nothing is interpolated there
    expected = polar[samples[middle], lines[middle]]
    assert np.abs(image[middle] - expected).max() <= 3  # rounding, and what little is interpolated


def test_the_command_takes_a_run_or_a_checkpoint(
    run: tuple[Config, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = run
    target = tmp_path / "a.safetensors"
    for data in ("other:CC0", "phantoms (seeds 0-99):Apache-2.0"):  # the second replaces the first
        assert command.main([str(folder), str(target), "--data", data]) == 0
    assert load_generator(target).card.training_data == ({"name": "phantoms (seeds 0-99)", "licence": "Apache-2.0"},)
    assert "a.safetensors: polar" in capsys.readouterr().out
    other = tmp_path / "b.safetensors"
    assert command.main([str(checkpoints(folder / "checkpoints")[-1]), str(other), "--half"]) == 0
    assert other.stat().st_size < 0.6 * target.stat().st_size


def test_the_segmenter_finds_what_it_found_in_training(run: tuple[Config, Path], tmp_path: Path) -> None:
    made, folder = run
    card = export(folder, tmp_path / "s.safetensors", [{"name": "rectangles", "licence": "CC0"}], network="S_us")
    segmenter = load_segmenter(tmp_path / "s.safetensors")
    assert (segmenter.card, card.kind, card.width) == (card, "segmenter", made.method.segmenter_width)
    assert card.training_data == ({"name": "rectangles", "licence": "CC0"},)
    model = build_model(made, Fabric(accelerator="cpu", devices=1))
    load_checkpoint(checkpoints(folder / "checkpoints")[-1], model)
    us = TinyUs(card).batch([0, 1])
    y = feeding.real_us(model.card, us, feeding.fan_of(model.card, "cpu"))
    with torch.no_grad(), frozen(model.S_us):
        expected = model.segment(model.S_us, y.image, y.where)
        found = segmenter.network(losses.masked(y.image, y.where))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert float(expected.std()) > 0.01


def test_the_node_shows_it_what_the_training_showed(run: tuple[Config, Path]) -> None:
    """The frame brought back to the card's grid, against the training's image of the same pose."""
    card = run[0].generator.card()
    patient = phantom_cases([0])[0]()
    pose = motion("liver_sweep", patient, 3)[1:2]
    us = GridRenderer(card, torch.device("cpu")).us(sampler_on(torch.device("cpu"), patient, 0), patient, pose, [0])
    expected = losses.masked(feeding.us_image(us.image), us.valid)[0, 0]
    frame = Simulator(patient, card.probe, device="cpu").render(pose[0])
    assert frame.image is not None
    found = seen(card, frame.image, frame.contact.line_coupling, card.probe)[0, 0]
    assert found.shape == expected.shape
    inner = (slice(1, -1), slice(1, -1))  # the outer cells reach over the fan's edge
    assert float((found - expected)[inner].abs().mean()) * 127.5 < 4  # grey levels, of two interpolations


def test_the_command_exports_segmenters(
    run: tuple[Config, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "s.safetensors"
    assert command.main([str(run[1]), str(target), "--segmenter"]) == 0
    assert "segmenter" in capsys.readouterr().out
    assert load_segmenter(target).card.kind == "segmenter"


def test_a_method_without_segmenter_has_none_to_export(tmp_path: Path) -> None:
    made = config(method={"segmentation": 0, "mask_input": False}, loop={"checkpoint_every": 8})
    card = made.generator.card()
    inputs = Inputs(TinyCt(card), TinyUs(card, seed=1), made.schedule.batch)
    assert train(made, inputs, tmp_path, Fabric(accelerator="cpu", devices=1))
    with pytest.raises(CheckpointError, match="its method does not train S_us; set method: segmentation above 0"):
        export(tmp_path, tmp_path / "s.safetensors", network="S_us")


@pytest.mark.parametrize("network", ["G_us2ct", "S_ct"])
def test_the_networks_of_the_other_direction_are_for_research_alone(
    run: tuple[Config, Path], tmp_path: Path, network: str
) -> None:
    made, folder = run
    target = tmp_path / "n.safetensors"
    card = export(folder, target, network=network)
    built, read, _ = load_network(target, card.kind)
    assert read == card
    model = build_model(made, Fabric(accelerator="cpu", devices=1))
    load_checkpoint(checkpoints(folder / "checkpoints")[-1], model)
    expected = model.averages["G_us2ct"].network if network == "G_us2ct" else model.S_ct
    image = torch.rand(1, card.channels, *card.size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(built(image), expected.eval()(image))
    with pytest.raises(ArtifactError, match=f"holds a {card.kind}; expected a generator"):
        load_generator(target)


def test_onnx_draws_what_the_network_draws_and_carries_the_card(
    run: tuple[Config, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: extra onnx")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed: extra onnx")
    artifact, target = tmp_path / "g.safetensors", tmp_path / "g.onnx"
    assert command.main([str(run[1]), str(artifact), "--onnx", str(target)]) == 0
    assert "g.onnx: differs from the network by at most" in capsys.readouterr().out
    generator = load_generator(artifact)
    session = runtime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    image = torch.rand(3, generator.card.channels, *generator.card.size)
    [found] = session.run(None, {"input": image.numpy()})
    with torch.no_grad():
        expected = generator.network(image).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert Card.from_json(session.get_modelmeta().custom_metadata_map["card"]) == generator.card


def test_a_model_card_says_what_the_field_asks(run: tuple[Config, Path], tmp_path: Path) -> None:
    target = tmp_path / "g.safetensors"
    assert command.main([str(run[1]), str(target), "--data", "rectangles:CC0"]) == 0
    text = (tmp_path / "g.md").read_text()
    assert text.startswith("---\nlicense: cc0\n")
    headings = re.findall("^## (.*)$", text, re.MULTILINE)
    assert headings == ["Model details", "Intended use", "Factors", "Metrics", "Training data", "Evaluation data",
                        "Ethical considerations", "Caveats and recommendations"]  # fmt: skip
    generator = load_generator(target)
    parameters = sum(p.numel() for p in generator.network.parameters())
    assert f"{parameters:,} parameters" in text
    assert generator.sha256 in text
    assert "- rectangles (CC0)" in text
    assert "Not a medical device" in text


def test_what_cannot_be_exported_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint; give the folder of a run or of a checkpoint"):
        export(tmp_path, tmp_path / "x.safetensors")
    assert command.main([str(tmp_path), str(tmp_path / "x.safetensors")]) == 2
    assert "holds no checkpoint" in capsys.readouterr().err
    (tmp_path / "x.md").write_text("my notes")
    assert command.main([str(tmp_path), str(tmp_path / "x.safetensors")]) == 2
    assert "x.md: is there already and was not written by scyclegan_train export" in capsys.readouterr().err
    (tmp_path / "x.md").rename(tmp_path / "y.safetensors")
    assert command.main([str(tmp_path), str(tmp_path / "y.safetensors")]) == 2
    assert "y.safetensors: is there already and was not written by" in capsys.readouterr().err
    assert (tmp_path / "y.safetensors").read_text() == "my notes"
    assert command.main([str(tmp_path), str(tmp_path / "x.safetensors"), "--data", "no licence"]) == 2
    assert "--data no licence: expected NAME:LICENCE" in capsys.readouterr().err

"""Organs found in the image: the way to the card's grid and back, and files that are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter
from torch import Tensor, nn

from us_sim.core.analysis.segmenter import Segmenter, load_segmenter, seen, segment
from us_sim.core.config import SimConfig
from us_sim.core.errors import ArtifactError, ConfigError, ProbeError
from us_sim.core.generator.artifact import build, load_generator, save_generator
from us_sim.core.generator.card import Card
from us_sim.core.generator.shipped import segmenter_of
from us_sim.core.geometry.probe import ProbeGeometry, preset
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.robot.motion import motion
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TissueClass

FAN = preset("c5_2")
COUPLED = np.ones(FAN.scan_lines, np.float32)
CLASSES = (0, 1, 2, 5)  # background, liver, kidney, vessel
CARDS = {grid: Card(FAN, grid=grid, classes=CLASSES, width=0.0625, kind="segmenter") for grid in ("polar", "cartesian")}
GREYS = {1: 80, 2: 160, 5: 240}  # class -> grey level


class ByGrey(nn.Module):
    """Tells the classes apart by their grey level; what is below half of the first one is background."""

    def forward(self, frame: Tensor) -> Tensor:
        grey = (frame[:, :1] + 1) * 127.5
        levels = torch.tensor([0.0, *GREYS.values()])[:, None, None]
        return -(grey - levels).abs()


def by_grey(card: Card) -> Segmenter:
    network: Any = ByGrey()
    return Segmenter(network, card, "by_grey", "")


def bands(probe: ProbeGeometry) -> NDArray[np.uint8]:
    """Class 1 from 30 to 60 mm, 2 from 60 to 90 mm on the left half, 5 in a right sector."""
    line, sample = np.moveaxis(probe.polar_of_pixel, -1, 0)
    depth, share = (sample + 0.5) * probe.sample_spacing, (line + 0.5) / probe.scan_lines
    labels = np.zeros(depth.shape, np.uint8)
    labels[(depth > 30) & (depth < 60)] = 1
    labels[(depth > 60) & (depth < 90) & (share < 0.5)] = 2
    labels[(depth > 60) & (share > 0.7)] = 5
    return np.where(probe.fan_mask, labels, np.uint8(0))


def image_of(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.array([0, 80, 160, 0, 0, 240], np.uint8)[labels]


@pytest.mark.parametrize("grid", ["polar", "cartesian"])
@pytest.mark.parametrize(
    "probe",
    [FAN, replace(FAN, width=200, height=180, scan_lines=96), FAN.with_depth(120.0)],
    ids=["same", "other pixels", "shallower"],
)
def test_what_the_image_shows_is_found_where_it_lies(grid: str, probe: ProbeGeometry) -> None:
    labels = bands(probe)
    found = segment(by_grey(CARDS[grid]), image_of(labels), np.ones(probe.scan_lines, np.float32), probe)
    assert found.dtype == np.uint8
    assert set(np.unique(found)) <= set(CLASSES)
    assert (found[~probe.fan_mask] == 0).all()
    inner = probe.fan_mask & (maximum_filter(labels, 7) == minimum_filter(labels, 7))  # no border within 3 pixels
    np.testing.assert_array_equal(found[inner], labels[inner])
    assert [(labels[inner] == organ).sum() > 500 for organ in CLASSES] == [True] * 4


def test_lines_that_are_not_coupled_are_not_shown() -> None:
    coupling = COUPLED.copy()
    coupling[:96] = 0.4
    frame = seen(CARDS["polar"], np.full((256, 256), 240, np.uint8), coupling, FAN)
    assert frame.shape == (1, 3, FAN.samples, FAN.scan_lines)
    middle = frame[0, :, 100:400]
    assert (middle[..., :94] == -1).all()
    torch.testing.assert_close(middle[..., 98:-2], torch.full_like(middle[..., 98:-2], 240 / 127.5 - 1))


def test_saved_and_loaded_it_finds_the_same(tmp_path: Path) -> None:
    torch.manual_seed(3)
    card = replace(CARDS["polar"], training_data=({"name": "phantoms", "licence": "Apache-2.0"},), metrics={"Dice": 1})
    network = build(card).eval()
    save_generator(tmp_path / "s_us.safetensors", network, card)
    loaded = load_segmenter(tmp_path / "s_us.safetensors")
    assert (loaded.card, loaded.name, len(loaded.sha256)) == (card, "s_us", 64)
    image = np.random.default_rng(0).integers(0, 255, (256, 256)).astype(np.uint8)
    with torch.inference_mode():
        logits = network(seen(card, image, COUPLED, FAN))
    assert logits.shape == (1, 4, FAN.samples, FAN.scan_lines)
    found = segment(loaded, image, COUPLED, FAN)
    line, sample = np.rint(np.moveaxis(FAN.polar_of_pixel[FAN.fan_mask], -1, 0)).astype(int)
    cells = np.array(CLASSES)[logits[0].argmax(dim=0).numpy()]
    expected = cells[sample.clip(0, FAN.samples - 1), line.clip(0, FAN.scan_lines - 1)]
    np.testing.assert_array_equal(found[FAN.fan_mask], expected)
    assert not set(np.unique(found)) - set(CLASSES)


def test_other_artifacts_are_refused_by_name(tmp_path: Path) -> None:
    generator, card = tmp_path / "g.safetensors", replace(CARDS["polar"], kind="generator")
    save_generator(generator, build(card), card)
    with pytest.raises(ArtifactError, match=r"g.safetensors: holds a generator; expected a segmenter"):
        load_segmenter(generator)
    segmenter = tmp_path / "s.safetensors"
    save_generator(segmenter, build(CARDS["polar"]), CARDS["polar"])
    with pytest.raises(ArtifactError, match=r"s.safetensors: holds a segmenter; expected a generator"):
        load_generator(segmenter)
    save_generator(segmenter, build(CARDS["polar"]), replace(CARDS["polar"], classes=(0, 1)))
    with pytest.raises(ArtifactError, match=r"weight head.* has shape \(4.*\); the card asks for \(2"):
        load_segmenter(segmenter)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none: no such file; give the path of a .safetensors segmenter"):
        load_segmenter(tmp_path / "none")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "s.pt")
    with pytest.raises(ArtifactError, match=r"s.pt: a pickle .*; export the segmenter to .safetensors"):
        load_segmenter(tmp_path / "s.pt")


def test_a_probe_that_it_was_not_trained_on_is_refused() -> None:
    linear = preset("l12_5")
    frame, lines = np.zeros((linear.height, linear.width), np.uint8), np.ones(linear.scan_lines, np.float32)
    with pytest.raises(ConfigError, match=r"segmenter 'by_grey' cannot read .* convex probe, not a linear one; use"):
        segment(by_grey(CARDS["polar"]), frame, lines, linear)
    deeper = FAN.with_depth(200.0)
    with pytest.raises(ConfigError, match="trained to a depth of 180 mm, the probe shows 200; use analysis_source"):
        segment(by_grey(CARDS["polar"]), np.zeros((256, 256), np.uint8), COUPLED, deeper)


@pytest.mark.parametrize(("height", "lines"), [(255, 192), (256, 191)])
def test_a_frame_of_another_size_is_refused(height: int, lines: int) -> None:
    with pytest.raises(ProbeError, match=rf"shapes \({height}, 256\) and \({lines},\); expected \(256, 256\)"):
        segment(by_grey(CARDS["polar"]), np.zeros((height, 256), np.uint8), np.ones(lines, np.float32), FAN)


def test_the_shipped_one_is_for_the_default_probe_and_says_how_well_it_finds_organs() -> None:
    file = segmenter_of("organs")
    assert file.stat().st_size < 2**20
    shipped = load_segmenter(file)
    shipped.check_probe(preset(SimConfig().probe))
    assert all(data["name"] and data["licence"] for data in shipped.card.training_data)
    assert shipped.card.training_data
    assert min(shipped.card.metrics[f"Dice of {organ}"] for organ in ("liver", "kidney")) > 0.8


def test_the_shipped_one_finds_liver_and_vessels_in_a_frame() -> None:
    patient = builtin_patient(0)
    simulator = Simulator(patient, device="cpu")
    frame, probe = simulator.render(motion("liver_sweep", patient, 12)[3], ct_slice=False), simulator.probe
    assert frame.image is not None
    assert frame.labels is not None
    found = segment(load_segmenter(segmenter_of("organs")), frame.image, frame.contact.line_coupling, probe)
    for organ, least in ((TissueClass.LIVER, 0.8), (TissueClass.VESSEL, 0.4)):
        mine, true = found == organ, (frame.labels == organ) & probe.fan_mask
        assert 2 * (mine & true).sum() / (mine.sum() + true.sum()) > least


@pytest.mark.parametrize("name", ["s_us.safetensors", "/data/organs", "models/organs"])
def test_other_names_are_paths(name: str) -> None:
    assert segmenter_of(name) == Path(name)

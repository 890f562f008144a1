"""How unlike its training a slice is: distances by hand, and what the card refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.core.patients import box_patient, on_the_box
from torch import Tensor

from us_sim.core.config import ImageSettings
from us_sim.core.errors import ArtifactError
from us_sim.core.generator.artifact import Generator, build
from us_sim.core.generator.backend import TorchBackend
from us_sim.core.generator.card import Card
from us_sim.core.generator.out_of_distribution import COARSE, TrainingStatistics, features, from_card, learned
from us_sim.core.generator.renderer import LearnedRenderer
from us_sim.core.generator.unet import UNet
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.patient.patient import Patient
from us_sim.core.sampling.reslice import THIN
from us_sim.core.sampling.sampler import CpuSampler
from us_sim.core.tissue import TissueClass

KEPT: dict[str, Any] = {"mean": [1.0, 2.0], "spread": [0.5, 2.0], "limit": 3.0}
CARD = Card(
    ProbeGeometry(ProbeKind.CONVEX, 80.0, 50.0, 1.0, width=64, height=64, scan_lines=64, samples=96),
    encoding="rich", grid="polar", classes=(0, 1, 5, 6, 7, 8, 10, 11), width=0.06, norm="batch",
)  # fmt: skip


class Passing(UNet):
    """A network whose encoder gives back what it is fed, so that its features are known."""

    def __init__(self) -> None:
        super().__init__(1, width=0.06, norm="batch")
        self.down = torch.nn.ModuleList([torch.nn.Identity()])


def test_features_are_mean_and_deviation_of_the_averaged_input() -> None:
    read = torch.zeros(1, 1, 2 * COARSE, COARSE)
    read[:, :, COARSE:] = 3.0  # two blocks, 0 and 3
    torch.testing.assert_close(features(Passing().down, read), torch.tensor([[1.5, 1.5]]))


def test_the_distance_counts_in_spreads_over_the_limit() -> None:
    """Means 1 and 0, spreads 0.5 and 1: a slice of constant 2 lies 2 and 0 spreads off: √2 over a limit of 0.5."""
    statistics = TrainingStatistics(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 1.0]), 0.5)
    found = statistics.ood_score(Passing().down, torch.full((1, 1, 2 * COARSE, COARSE), 2.0))
    assert float(found) == pytest.approx(2 * np.sqrt(2))


def test_nearly_all_held_out_slices_lie_within_the_limit() -> None:
    generator = torch.Generator().manual_seed(0)
    training, held_out = (torch.randn(500, 6, generator=generator) for _ in range(2))
    statistics = learned(training, held_out)
    torch.testing.assert_close(statistics.mean, training.mean(dim=0))
    distance = ((held_out - statistics.mean) / statistics.spread).square().mean(dim=1).sqrt()
    assert (distance > statistics.limit).float().mean() == pytest.approx(0.01, abs=0.003)


def test_the_card_keeps_what_is_usual() -> None:
    statistics = from_card(Card.from_json(replace(CARD, training_statistics=KEPT).to_json()).training_statistics)
    assert statistics is not None
    assert statistics.to_card() == KEPT
    assert from_card({}) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit": 0.0}, r"limit 0\.0; expected .* positive limit"),
        ({"spread": [0.5]}, r"spreads \(1,\)"),
        ({"spread": [0.5, 0.0]}, "positive spreads"),
        ({"mean": [1.0, float("nan")]}, "finite means"),
        ({"mean": "none"}, "lacks mean, spread, limit as numbers"),
        ({"limit": None}, "lacks mean, spread, limit as numbers"),
    ],
)
def test_a_damaged_card_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        from_card({**KEPT, **change})


def renderer(network: UNet, statistics: dict[str, Any]) -> LearnedRenderer:
    card = replace(CARD, training_statistics=statistics)
    return LearnedRenderer(Generator(network, card, "small", "", TorchBackend(network)), card.probe, ImageSettings(), 0)


def implanted(patient: Patient) -> Patient:
    """The same patient with a block of metal 20 mm under the skin."""
    volume = patient.volume
    hu, tissue = volume.hu.copy(), volume.tissue.copy()
    middle = tuple(slice(n // 3, 2 * n // 3) for n in hu.shape)
    hu[middle], tissue[middle] = 3000, TissueClass.BONE
    return replace(patient, volume=replace(volume, hu=hu, tissue=tissue))


def test_an_implant_and_a_place_outside_are_strange_and_another_view_is_not() -> None:
    torch.manual_seed(0)
    network = build(CARD).eval()
    patient, plain = box_patient(), renderer(network, {})

    def read(of: Patient, poses: list[Any]) -> Tensor:
        return plain.read(CpuSampler(of, 0), np.stack(poses), THIN)

    def views(start: float, count: int) -> list[Any]:
        return [on_the_box(x=start + 3.0 * i, z=2.0 * i) for i in range(count)]

    usual, others = read(patient, views(-9, 6)), read(patient, views(-8, 6))
    telling = renderer(network, learned(features(network.down, usual), features(network.down, others)).to_card())
    assert plain.ood_score(usual) is None

    def told(seen: Tensor) -> Tensor:
        found = telling.ood_score(seen)
        assert found is not None
        return found

    away = on_the_box()
    away[:3, 3] += 500.0
    assert float(told(others).max()) < 1.1
    assert float(told(read(implanted(patient), views(-9, 2))).min()) > 1
    assert float(told(read(patient, [away])).min()) > 1

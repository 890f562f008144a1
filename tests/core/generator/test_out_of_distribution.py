"""How unlike its training a slice is: distances by hand, and what the card refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.core.patients import box_patient, on_the_box
from torch import Tensor

from us_sim.core.config import ImageSettings
from us_sim.core.errors import ArtifactError
from us_sim.core.generator.artifact import Generator, build, load_generator, save_generator
from us_sim.core.generator.backend import TorchBackend
from us_sim.core.generator.card import Card
from us_sim.core.generator.out_of_distribution import TrainingStatistics, from_tensors, learned
from us_sim.core.generator.renderer import LearnedRenderer
from us_sim.core.generator.unet import UNet
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.patient.patient import Patient
from us_sim.core.sampling.reslice import THIN
from us_sim.core.sampling.sampler import CpuSampler
from us_sim.core.tissue import TissueClass

STATISTICS = TrainingStatistics(
    mean=torch.tensor([1.0, 0.0]), spread=torch.tensor([0.5, 1.0]), axes=torch.tensor([[1.0, 0.0]]),
    along=torch.tensor([2.0]), rest=torch.tensor(1.0), limit=torch.tensor(0.5),
)  # fmt: skip
CARD = Card(
    ProbeGeometry(ProbeKind.CONVEX, 80.0, 50.0, 1.0, width=64, height=64, scan_lines=64, samples=96),
    encoding="rich", grid="polar", classes=(0, 1, 5, 6, 7, 8, 10, 11), width=0.06, norm="batch",
)  # fmt: skip


def test_the_bottleneck_is_told_by_mean_and_deviation() -> None:
    """Of an encoder that only takes the largest of 2 × 2: 3 and 1 are left of two blocks."""
    network = UNet(1, width=0.06, norm="batch")
    network.down = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity()])
    network._decoded = lambda levels, given: levels[0]  # type: ignore[method-assign]
    read = torch.zeros(1, 1, 4, 2)
    read[..., :2, 1], read[..., 2:, 0] = 3.0, 1.0
    torch.testing.assert_close(network.drawn(read).bottleneck, torch.tensor([[2.0, 1.0]]))


def test_the_distance_counts_in_spreads_over_the_limit() -> None:
    """Spreads 0.5 and 1, one axis along the first of deviation 2, rest 1: (2, 3) spreads off are 1 and 3 of them.

    √((1 + 9) / 2) = √5, over a limit of 0.5.
    """
    assert float(STATISTICS.ood_score(torch.tensor([[2.0, 3.0]]))) == pytest.approx(2 * np.sqrt(5))


def test_nearly_all_held_out_slices_lie_within_the_limit() -> None:
    generator = torch.Generator().manual_seed(0)
    training, held_out = (torch.randn(500, 6, generator=generator) for _ in range(2))
    statistics = learned(training, held_out)
    torch.testing.assert_close(statistics.mean, training.mean(dim=0))
    assert (statistics.ood_score(held_out) > 1).float().mean() == pytest.approx(0.01, abs=0.003)


def test_with_all_axes_the_distance_is_that_of_mahalanobis() -> None:
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(2000, 4, generator=generator) @ torch.randn(4, 4, generator=generator)
    found = learned(mixed, mixed).distance(mixed[:9])
    covariance = np.cov(mixed.numpy().T)
    off = (mixed[:9] - mixed.mean(dim=0)).numpy()
    expected = np.sqrt(np.einsum("bi,ij,bj->b", off, np.linalg.inv(covariance), off) / 4)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3)


def test_the_file_keeps_what_is_usual(tmp_path: Path) -> None:
    file = tmp_path / "small.safetensors"
    save_generator(file, build(CARD), CARD, STATISTICS)
    found = load_generator(file).statistics
    assert found is not None
    assert vars(found).keys() == vars(STATISTICS).keys()
    assert all(map(torch.equal, vars(found).values(), vars(STATISTICS).values()))
    save_generator(file, build(CARD), CARD)
    assert load_generator(file).statistics is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit": 0.0}, r"limit down to 0\.0; expected above 0"),
        ({"spread": [0.5]}, r"spread of shape \(1,\); expected finite numbers of shape \(2,\): learn"),
        ({"spread": [0.5, 0.0]}, "spread down to 0"),
        ({"mean": [1.0, float("nan")]}, "mean .* expected finite numbers"),
        ({"axes": [[1.0]]}, r"axes of shape \(1, 1\); expected finite numbers of shape \(1, 2\)"),
        ({"more": 1.0}, r"'more'.*; expected \['along', 'axes', 'limit', 'mean', 'rest', 'spread'\]"),
    ],
)
def test_damaged_statistics_are_refused(change: dict[str, Any], message: str) -> None:
    damaged = {name: torch.tensor(value) for name, value in change.items()}
    with pytest.raises(ArtifactError, match=message):
        from_tensors({**vars(STATISTICS), **damaged})


def renderer(network: UNet, statistics: TrainingStatistics | None) -> LearnedRenderer:
    made = Generator(network, CARD, "small", "", TorchBackend(network), statistics=statistics)
    return LearnedRenderer(made, CARD.probe, ImageSettings(), 0)


def implanted(patient: Patient) -> Patient:
    """The same patient with a block of metal 20 mm under the skin."""
    volume = patient.volume
    hu, tissue = volume.hu.copy(), volume.tissue.copy()
    middle = tuple(slice(n // 3, 2 * n // 3) for n in hu.shape)
    hu[middle], tissue[middle] = 3000, TissueClass.BONE
    return replace(patient, volume=replace(volume, hu=hu, tissue=tissue))


def test_an_implant_and_a_place_outside_are_strange_and_another_view_is_not() -> None:
    torch.manual_seed(0)
    network = build(CARD).eval().requires_grad_(False)
    patient, plain = box_patient(), renderer(network, None)

    def read(of: Patient, poses: list[Any]) -> Tensor:
        return plain.read(CpuSampler(of, 0), np.stack(poses), THIN)

    def views(start: float, count: int) -> list[Any]:
        return [on_the_box(x=start + 3.0 * i, z=2.0 * i) for i in range(count)]

    usual, others = read(patient, views(-9, 6)), read(patient, views(-8, 6))
    telling = renderer(network, learned(network.drawn(usual).bottleneck, network.drawn(others).bottleneck))
    coupling = torch.ones(1, CARD.probe.scan_lines)
    assert plain.shown(usual[:1], coupling)[1] is None

    def told(seen: Tensor) -> Tensor:
        found = telling.shown(seen, coupling.expand(len(seen), -1))[1]
        assert found is not None
        return found

    away = on_the_box()
    away[:3, 3] += 500.0
    assert float(told(others).max()) < 1.1
    assert float(told(read(implanted(patient), views(-9, 2))).min()) > 1
    assert float(told(read(patient, [away])).min()) > 1

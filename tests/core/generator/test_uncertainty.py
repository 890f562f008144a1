"""The error that a generator's heads tell: by hand, against NumPy's least squares, and what the file refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.core.patients import box_patient, on_the_box

from us_sim.core.errors import ArtifactError
from us_sim.core.generator.artifact import Generator, build, load_generator, save_generator
from us_sim.core.generator.backend import TorchBackend
from us_sim.core.generator.card import Card
from us_sim.core.generator.uncertainty import ErrorHeads, Moments, calibrated, fitted, from_tensors, moments
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.simulator import Simulator

CARD = Card(
    ProbeGeometry(ProbeKind.CONVEX, 80.0, 50.0, 1.0, width=64, height=64, scan_lines=64, samples=96),
    encoding="rich", grid="polar", classes=(0, 1, 5, 6, 7, 8, 10, 11), width=0.06, norm="batch",
)  # fmt: skip
LAST = build(CARD).head.in_channels
FLAT = ErrorHeads(torch.zeros(2, 2 * LAST + 1), torch.tensor(7.0))  # tells 7 grey levels of everything


def test_heads_that_disagree_tell_more() -> None:
    """Of the feature 3 one head reads 0.1 · 3 + 1, the other 0.1 · 9 + 0.4: both 1.3; of 0 they read 1 and 0.4."""
    heads = ErrorHeads(torch.tensor([[0.1, 0.0, 1.0], [0.0, 0.1, 0.4]]), torch.tensor(2.0))
    told = heads.told(torch.tensor([3.0, 0.0]).reshape(1, 1, 1, 2))
    expected = [2 * np.exp(1.3), 2 * np.exp(0.7 + np.std([1, 0.4], ddof=1))]
    np.testing.assert_allclose(told.flatten(), expected, rtol=1e-5)


def test_a_head_is_the_least_squares_of_its_patients() -> None:
    """With one patient every bootstrap is that patient; pixels without a frame do not count."""
    random = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 8, 8, generator=random)
    logs = 0.5 * features[:, 0] - 0.2 * features[:, 1].square() + 1 + 0.1 * torch.randn(2, 8, 8, generator=random)
    errors = torch.exp(logs)
    errors[:, 0] = torch.nan
    heads = fitted([moments(features, errors)])
    rows = torch.cat([features, features.square()], dim=1).movedim(1, -1)[:, 1:].reshape(-1, 6).numpy()
    target = np.log(np.maximum(errors[:, 1:].reshape(-1).numpy(), 0.5))
    expected, *_ = np.linalg.lstsq(np.column_stack([rows, np.ones(len(rows))]), target, rcond=None)
    np.testing.assert_allclose(heads.weights, np.tile(expected, (8, 1)), atol=0.01)


def test_heads_are_fitted_to_bootstraps_of_the_patients() -> None:
    patients = [Moments(torch.eye(3, dtype=torch.double), torch.full((3,), float(n)).double()) for n in range(6)]
    assert fitted(patients).weights.std(dim=0).min() > 0.1
    assert torch.equal(fitted(patients).weights, fitted(patients).weights)


def test_two_thirds_of_the_errors_lie_below_what_is_told() -> None:
    errors, told = torch.arange(1.0, 101.0), torch.full((100,), 10.0)
    heads = calibrated(FLAT, told, errors)
    assert float(heads.factor) == pytest.approx(7.0 * 6.9)  # the 69th of 1 to 100, over 10


def test_the_frame_tells_what_the_heads_tell() -> None:
    """7 grey levels in the fan under coupled lines, in the order of the lines; 0 outside and where coupling is lost."""
    network = build(CARD).eval().requires_grad_(False)
    made = Generator(network, CARD, "small", "", TorchBackend(network), heads=FLAT)
    simulator = Simulator(box_patient(), CARD.probe, renderer="generator", generator=made, device="cpu")
    lifted = np.ones(64, np.float32)
    lifted[:32] = 0.0
    found = simulator.render(on_the_box(), uncertainty=True, coupling=lifted).uncertainty
    assert found is not None
    fan = CARD.probe.fan_mask
    assert (found[~fan] == 0).all()
    assert (found[:, 34:44][fan[:, 34:44]] == 7).all()
    assert (found[10:, :24] == 0).all()
    assert simulator.render(on_the_box()).uncertainty is None
    assert simulator.render(on_the_box(), uncertainty=True, renderer="physics").uncertainty is None


def test_the_file_keeps_the_heads(tmp_path: Path) -> None:
    file = tmp_path / "small.safetensors"
    save_generator(file, build(CARD), CARD, heads=FLAT)
    found = load_generator(file).heads
    assert found is not None
    assert torch.equal(found.weights, FLAT.weights)
    assert float(found.factor) == 7.0
    save_generator(file, build(CARD), CARD)
    assert load_generator(file).heads is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [[0.0, 0.0]]}, r"error heads .*\(1, 2\).*; expected finite numbers .*\(2, 7\)"),
        ({"weights": [0.0]}, "expected finite numbers"),
        ({"factor": 0.0}, "a factor above 0: fit again"),
        ({"factor": float("nan")}, "expected finite numbers"),
        ({"other": 1.0}, "'other'"),
    ],
)
def test_damaged_heads_are_refused(change: dict[str, Any], message: str) -> None:
    kept = {"weights": torch.zeros(2, 7), "factor": torch.tensor(1.0)}
    with pytest.raises(ArtifactError, match=message):
        from_tensors({**kept, **{name: torch.tensor(value) for name, value in change.items()}}, 3)

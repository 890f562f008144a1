"""The expected frame against the mean of speckled ones and its gradient against differences; correlation by NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.core.patients import HU, grid_points, patient_of
from torch import Tensor

from us_sim.core.config import ImageSettings
from us_sim.core.differentiable import twisted
from us_sim.core.geometry.probe import preset
from us_sim.core.geometry.transforms import pose_on_skin
from us_sim.core.registration import ExpectedFrame, LocalCorrelation
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TissueClass as T

PROBE = replace(preset("c5_2").with_depth(80.0), width=32, height=32, scan_lines=32, samples=64)
POSE = torch.tensor(pose_on_skin([3.0, 62.0, 2.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]))[None]


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    """A cube of liver under skin, with a cyst."""
    points = grid_points()
    reach = np.abs(points).max(axis=-1)
    tissue = np.where(reach <= 60, T.LIVER, np.where(reach <= 64, T.SKIN, T.BACKGROUND)).astype(np.uint8)
    tissue[(((points - (0, 20, 0)) / (9, 12, 15)) ** 2).sum(axis=-1) <= 1] = T.FLUID
    patient = patient_of(np.array([HU.get(c, 0) for c in T])[tissue], tissue)
    return Simulator(patient, PROBE, ImageSettings(gain=8.0), device="cpu")


def test_it_is_what_many_speckled_frames_show_on_average(simulator: Simulator) -> None:
    frames = [simulator.replace(seed=seed).render(POSE[0].numpy()).image for seed in range(4)]
    mean = torch.tensor(np.mean([image for image in frames if image is not None], axis=0), dtype=torch.float32)
    found = ExpectedFrame(simulator, 1.5)(POSE)
    unlike = LocalCorrelation(mean, PROBE, 3.0, 20.0)
    assert float(unlike(found)) < 0.15
    moved = twisted(POSE, torch.tensor([[8.0, 0.0, 0.0, 0.0, 0.0, 0.0]]))
    assert float(unlike(ExpectedFrame(simulator, 1.5)(moved))) > 2 * float(unlike(found))


def test_its_gradient_in_the_pose(simulator: Simulator) -> None:
    render = ExpectedFrame(simulator, 3.0, dtype=torch.float64)
    weights = torch.randn(32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    twist = torch.full((1, 6), 0.013, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda twist: (weights * render(twisted(POSE, twist))).sum(), (twist,),
        eps=1e-6, rtol=1e-3, atol=1e-2, fast_mode=True,
    )  # fmt: skip


def test_the_same_frame_in_another_tone_is_not_unlike() -> None:
    frame = random_frame(0)
    unlike = LocalCorrelation(frame, PROBE, 1.0, 20.0)
    brighter, other, negative = unlike(torch.stack([1.2 * frame + 9, random_frame(1), 255 - frame])).tolist()
    assert brighter == pytest.approx(0, abs=0.05)
    assert other == pytest.approx(1, abs=0.3)
    assert negative == pytest.approx(2, abs=0.1)


def test_in_the_widest_window_it_is_the_correlation_of_the_whole_fan() -> None:
    a, b, fan = random_frame(0), random_frame(1) + random_frame(0), PROBE.fan_mask
    expected = np.corrcoef(a.numpy()[fan], b.numpy()[fan])[0, 1]
    assert 1 - float(LocalCorrelation(a, PROBE, 0.0, 200.0)(b[None])) == pytest.approx(expected, abs=0.03)


def random_frame(seed: int) -> Tensor:
    return 200 * torch.rand(32, 32, generator=torch.Generator().manual_seed(seed))

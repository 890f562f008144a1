"""The differentiable frame against the simulator's, and its gradients against finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.core.patients import HU, grid_points, patient_of
from torch import Tensor

from us_sim.core.differentiable import DifferentiableRenderer, twisted
from us_sim.core.geometry.probe import preset
from us_sim.core.geometry.transforms import Matrix, pose_on_skin, rigid, rotation_from_vector
from us_sim.core.sampling.anatomy import Properties
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TissueClass as T

PROBE = replace(preset("c5_2").with_depth(80.0), width=16, height=16, scan_lines=16, samples=32)
STILL = torch.zeros(1, 6, dtype=torch.float64)


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    """A cube of liver under skin, with a kidney."""
    points = grid_points()
    reach = np.abs(points).max(axis=-1)
    tissue = np.where(reach <= 60, T.LIVER, np.where(reach <= 64, T.SKIN, T.BACKGROUND)).astype(np.uint8)
    tissue[((points / (14, 20, 28)) ** 2).sum(axis=-1) <= 1] = T.KIDNEY
    return Simulator(patient_of(np.array([HU.get(c, 0) for c in T])[tissue], tissue), PROBE, device="cpu")


@pytest.fixture(scope="module")
def pose() -> Matrix:
    """In contact, aligned with no axis of the voxels: no sample lies on a border of theirs."""
    turned = rigid(rotation_from_vector(np.array([0.05, -0.07, 0.11])), (0.37, 0.21, 0.13))
    return pose_on_skin([3.0, 62.0, 2.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]) @ turned


def weighed(frames: Tensor) -> Tensor:
    """Two random projections: gradients of all pixels at once."""
    weights = torch.randn(2, frames[0].numel(), generator=torch.Generator().manual_seed(0), dtype=frames.dtype)
    return weights @ frames.flatten()


def test_it_is_the_simulators_frame_before_it_is_rounded(simulator: Simulator, pose: Matrix) -> None:
    frame = simulator.render(pose)
    lines = torch.from_numpy(frame.contact.line_coupling)[None]
    twist = STILL.clone().requires_grad_()
    found = DifferentiableRenderer(simulator)(twisted(torch.tensor(pose)[None], twist), coupling=lines)
    assert found.requires_grad
    assert frame.image is not None
    assert frame.image.max() > 60
    np.testing.assert_allclose(found[0].detach().numpy(), frame.image, atol=0.6)


def test_gradient_in_the_pose(simulator: Simulator, pose: Matrix) -> None:
    render = DifferentiableRenderer(simulator, torch.float64)
    twist = STILL.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda twist: weighed(render(twisted(torch.tensor(pose)[None], twist))), (twist,),
        eps=1e-6, rtol=1e-3, atol=1e-2, fast_mode=True,
    )  # fmt: skip


def test_gradient_in_acoustic_parameters_and_tone(simulator: Simulator, pose: Matrix) -> None:
    render = DifferentiableRenderer(simulator, torch.float64)
    at = torch.tensor(pose)[None]
    # Not in the layering: a class has fasciae or has none, and their noise begins with it.
    free = torch.arange(render.table.shape[1]) != Properties._fields.index("layering")
    values = (render.table, torch.tensor(3.0, dtype=torch.float64), torch.tensor(60.0, dtype=torch.float64))
    given = tuple(value.clone().requires_grad_() for value in values)
    assert torch.autograd.gradcheck(
        lambda table, gain, span: weighed(
            render(at, table=torch.where(free, table, render.table), gain=gain, dynamic_range=span)
        ),
        given,
        eps=1e-6, rtol=1e-3, atol=1e-2, fast_mode=True,
    )  # fmt: skip


def test_a_twist_by_hand() -> None:
    twist = torch.tensor([[1.0, 2.0, 3.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.5]])
    moved, turned = twisted(torch.eye(4, dtype=torch.float64), twist).numpy()
    np.testing.assert_allclose(moved, rigid(np.eye(3), (1.0, 2.0, 3.0)))
    np.testing.assert_allclose(turned, rigid(rotation_from_vector(np.array([0.0, 0.0, 0.5])), (0, 0, 0)), atol=1e-12)

"""Whole frames away from the CPU, on the meta device: no tensor lies elsewhere, and nothing is read back.

What would make a GPU wait fails here without one: a value that is read (meta tensors have none), two devices in one
operation, a constant that is copied to the device again with each frame.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tests.core.patients import box_patient
from tests.core.test_simulator import CARDS, CONVEX, generator
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from us_sim.core.compute.device import Device
from us_sim.core.config import ImageSettings
from us_sim.core.contact.deformation import COLUMNS, NODES
from us_sim.core.generator.artifact import Generator
from us_sim.core.generator.backend import TorchBackend
from us_sim.core.generator.out_of_distribution import TrainingStatistics
from us_sim.core.generator.uncertainty import ErrorHeads
from us_sim.core.patient.patient import Patient
from us_sim.core.pipeline import Pipeline, Wanted

META = torch.device("meta")
DEVICE = Device(META, "meta", "tested")


class OneDevice(TorchDispatchMode):
    """Refuses every operation that takes or gives a tensor of the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves((args, kwargs, made)):
            assert not isinstance(one, Tensor) or one.device == META, f"{func} on {one.device}"
        return made


@pytest.fixture(scope="module")
def patient() -> Patient:
    return box_patient()


def on_meta(card: str) -> Generator:
    """A generator as on a GPU, where the network that it was loaded with stays on the CPU; it knows its training."""
    made = generator(CARDS[card])
    count = made.network.drawn(torch.zeros(1, made.card.channels, *made.card.size)).bottleneck.shape[1]
    statistics = TrainingStatistics(
        torch.zeros(count), torch.ones(count), torch.eye(4, count), torch.ones(4), torch.tensor(1.0), torch.tensor(1.0)
    )
    heads = ErrorHeads(torch.zeros(2, 2 * made.network.head.in_channels + 1), torch.tensor(1.0))
    there = TorchBackend(copy.deepcopy(made.network).to(META), META)
    return Generator(made.network, made.card, "tiny", "", there, statistics=statistics, heads=heads)


def given(batch: int, motion: str) -> list[Tensor | None]:
    """Poses, coupling, displacements and respiration as a frame of this motion takes them."""
    poses, lines = torch.empty(batch, 4, 4, dtype=torch.float64), torch.empty(batch, CONVEX.scan_lines)
    tables = torch.empty(batch, NODES, COLUMNS) if "deformed" in motion else None
    caudal = torch.empty(batch, dtype=torch.float64) if "breathing" in motion else None
    return [None if one is None else one.to(META) for one in (poses, lines, tables, caudal)]


@torch.inference_mode()
def check(pipeline: Pipeline, renderer: str, motion: str, batch: int) -> None:
    wanted, inputs = Wanted(renderer, True, True, True, True), given(batch, motion)
    pipeline.drawn(wanted, *inputs)  # type: ignore[arg-type]  # constants are copied there now
    with OneDevice():
        made = pipeline.drawn(wanted, *inputs)  # type: ignore[arg-type]
    *shown, uncertainty, score = made
    assert (score is None) == (renderer != "generator")
    if score is not None:
        assert (score.shape, score.device) == ((batch,), META)
        shown.append(uncertainty)
    for one, kind in zip(shown, (torch.uint8, torch.int16, torch.uint8, torch.uint8), strict=False):
        assert one is not None
        assert (one.shape, one.dtype, one.device) == ((batch, CONVEX.height, CONVEX.width), kind, META)


MOTIONS = pytest.mark.parametrize("motion", ["rigid", "deformed", "breathing", "deformed and breathing"])


@MOTIONS
@pytest.mark.parametrize("renderer", ["ct", "physics"])
@pytest.mark.parametrize("batch", [1, 9])
def test_frames(patient: Patient, renderer: str, motion: str, batch: int) -> None:
    check(Pipeline(patient, CONVEX, ImageSettings(), None, DEVICE, 0, None), renderer, motion, batch)


@MOTIONS
@pytest.mark.parametrize("card", CARDS)
def test_frames_by_a_generator(patient: Patient, card: str, motion: str) -> None:
    for settings in (ImageSettings(), ImageSettings(gain=4.0, dynamic_range=50.0)):
        check(Pipeline(patient, CONVEX, settings, on_meta(card), DEVICE, 0, None), "generator", motion, 2)


def test_the_check_finds_what_it_is_for() -> None:
    there = torch.ones(3, device=META)
    with OneDevice(), pytest.raises(AssertionError, match="on cpu"):
        torch.ones(3)
    with OneDevice(), pytest.raises(RuntimeError, match="meta"):
        float(there[0])

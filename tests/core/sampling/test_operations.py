"""How many operations a frame asks of a GPU: launching them takes longer than most of them last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.core.patients import box_patient, on_the_box
from torch.utils._python_dispatch import TorchDispatchMode

from us_sim.core.config import ImageSettings
from us_sim.core.contact.deformation import displacement, move
from us_sim.core.contact.indentation import face_of, indentation
from us_sim.core.generator.card import Card
from us_sim.core.generator.composition import Composition
from us_sim.core.generator.encoding import encode_by_tensors
from us_sim.core.generator.tone import noise_floor
from us_sim.core.geometry.probe import preset
from us_sim.core.physics.b_mode import uncoupled
from us_sim.core.physics.imaging import formation
from us_sim.core.sampling.reslice import THIN
from us_sim.core.sampling.tensor_sampler import TensorSampler

CPU = torch.device("cpu")
PROBE = preset("c5_2")
VIEWS = {"view", "_unsafe_view", "expand", "select", "slice", "unsqueeze", "transpose", "unbind", "t", "permute",
         "alias", "detach", "as_strided", "squeeze", "split"}  # fmt: skip


class Counting(TorchDispatchMode):
    """Counts what is computed; views of memory launch nothing."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += str(func).split(".")[1] not in VIEWS
        return func(*args, **(kwargs or {}))


def operations(work: Callable[[], object]) -> int:
    with torch.inference_mode(), Counting() as counting:
        work()
    return counting.count


@pytest.fixture(scope="module")
def sampler() -> TensorSampler:
    return TensorSampler(box_patient(), 0, CPU)


def test_a_slice(sampler: TensorSampler) -> None:
    points, pose = torch.tensor(PROBE.pixel_points), on_the_box()[None]
    assert operations(lambda: sampler.slice(points, pose, THIN)) <= 55


def test_acoustic_properties_and_scatterers(sampler: TensorSampler) -> None:
    points, pose = torch.tensor(PROBE.polar_points), on_the_box()[None]
    assert operations(lambda: sampler.anatomy(points, pose, THIN)) <= 183


def test_a_batch_of_poses_takes_no_more_than_one(sampler: TensorSampler) -> None:
    points, pose = torch.from_numpy(PROBE.pixel_points[::8, ::8].copy()), on_the_box()[None]
    poses = pose.repeat(8, axis=0)
    one = operations(lambda: sampler.slice(points, pose, THIN))
    assert operations(lambda: sampler.slice(points, poses, THIN)) == one


def test_encoding_and_the_way_onto_the_frame() -> None:
    card = Card(PROBE)
    hu, tissue = torch.zeros(1, *card.size), torch.zeros(1, *card.size, dtype=torch.uint8)
    fan = torch.ones(card.size, dtype=torch.bool)
    assert operations(lambda: encode_by_tensors(card, hu, tissue, None, fan)) <= 13
    form = formation(PROBE, ImageSettings(), 0, CPU)
    compose = Composition(card, PROBE, uncoupled(form), noise_floor(form))
    output, coupling = torch.zeros(1, 3, *card.size), torch.ones(1, PROBE.scan_lines)
    assert operations(lambda: compose.by_tensors(output, coupling, ImageSettings())) <= 16


def test_tissue_that_gives_way() -> None:
    found = displacement(indentation(box_patient(), face_of(PROBE), on_the_box(0.0, -5.0)), PROBE)
    assert found is not None
    table, points = torch.from_numpy(found.table)[None], torch.tensor(PROBE.pixel_points)
    assert operations(lambda: move(found.left, found.step, table, points)) <= 45

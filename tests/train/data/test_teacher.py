"""A generator that another one learns from: its pictures, on the student's grid, in the place of physics frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.core.patients import box_patient, on_the_box
from tests.train.tiny import tiny_card

from scyclegan_train.config import Config, DataConfig
from scyclegan_train.config_file import from_mapping
from scyclegan_train.data.inputs import open_inputs
from scyclegan_train.data.teacher import Teacher
from us_sim.core.errors import ConfigError
from us_sim.core.generator.artifact import Generator, build, load_generator, save_generator
from us_sim.core.generator.backend import TorchBackend
from us_sim.core.generator.card import Card
from us_sim.core.generator.encoding import decode, encode
from us_sim.core.sampling.sampler import sampler_on

CPU = torch.device("cpu")
STUDENT = tiny_card(lines=16, samples=32)
LARGER = replace(tiny_card(lines=32, samples=64), width=0.0625)


def generator(card: Card) -> Generator:
    torch.manual_seed(0)
    network = build(card).eval().requires_grad_(False)
    return Generator(network, card, "big", "0" * 64, TorchBackend(network))


def test_the_picture_is_the_teachers_on_the_students_grid() -> None:
    """A picture of depth alone, 0 to 63 along 64 samples: on half as many, close to the means of two neighbours."""
    made = generator(LARGER)
    ramp = torch.arange(64.0)[:, None].expand(64, 32) / 127.5 - 1
    made.network.forward = lambda x: ramp.expand(len(x), 3, -1, -1)  # type: ignore[method-assign]
    found = Teacher(made, STUDENT).draw(sampler_on(CPU, box_patient(), 0), on_the_box()[None])
    assert found.shape == (1, 32, 16)
    expected = torch.arange(0.5, 64, 2)[:, None].expand(32, 16)
    torch.testing.assert_close(found[0, 1:-1], expected[1:-1], atol=1e-3, rtol=0)


def test_the_teacher_is_fed_as_its_card_says() -> None:
    made, scanned, pose = generator(LARGER), sampler_on(CPU, box_patient(), 0), on_the_box()[None]
    points = torch.tensor(LARGER.probe.polar_points.transpose(1, 0, 2))
    hu, tissue = scanned.slice(points, pose, (np.zeros(1, np.float32), np.ones(1, np.float32)))
    drawn = decode(made.network(encode(LARGER, hu, tissue, None, torch.ones(64, 32, dtype=torch.bool))))
    same_grid = replace(LARGER, width=0.125)
    torch.testing.assert_close(Teacher(made, same_grid).draw(scanned, pose), drawn, atol=1e-3, rtol=0)


def test_a_source_with_a_teacher_gives_its_pictures_as_twins(tmp_path: Path) -> None:
    save_generator(tmp_path / "big.safetensors", build(LARGER), LARGER)
    ct = {"kind": "phantoms", "seeds": [0, 1], "samples": 2}
    us = [{"kind": "phantoms", "seeds": [0, 1], "samples": 2}]

    def twins(source: dict[str, Any]) -> torch.Tensor:
        data: DataConfig = from_mapping(Config, {"data": {"ct": [source], "us": us}}, "test").data
        physics = open_inputs(data, STUDENT, 2, "cpu", seed=0).ct.batch([0, 1]).physics
        assert physics is not None
        return physics

    taught = twins({**ct, "teacher": str(tmp_path / "big.safetensors")})
    assert taught.shape == (2, 32, 16)
    assert not torch.allclose(taught, twins(ct), atol=5)
    assert load_generator(tmp_path / "big.safetensors").name == "big"


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (tiny_card("cartesian"), "it has grid cartesian and source ct; expected polar and ct"),
        (replace(LARGER, source="physics"), "it has grid polar and source physics; expected polar and ct"),
        (replace(LARGER, probe=LARGER.probe.with_depth(200.0)), "it draws to 200 mm, the student to 180 mm"),
        (replace(LARGER, probe=LARGER.probe.with_depth(90.0)), "it was trained to a depth of 90 mm"),
    ],
)
def test_teachers_that_cannot_teach(card: Card, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"teacher 'big' cannot teach this generator: {reason}"):
        Teacher(generator(replace(card, width=0.0625)), STUDENT)

"""A small training that has to learn: the cycle closes, the segmenter beats chance; and the shipped smoke run."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from tests.train.synthetic import TinyCt, TinyUs, config

from scyclegan_train import train as command
from scyclegan_train.config import Config
from scyclegan_train.data.inputs import Inputs
from scyclegan_train.method.scyclegan import SCycleGan
from scyclegan_train.run.checkpoint import checkpoints, load_checkpoint
from scyclegan_train.run.export import export
from scyclegan_train.run.journal import read_stats
from scyclegan_train.run.loop import build_model, train
from us_sim.core.generator.artifact import load_generator


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """60 steps of pretraining, 200 of S-CycleGAN."""
    made = config(
        method={"adversarial": "lsgan", "segmenter_width": 0.25},
        generator={"width": 0.125},
        schedule={"epoch": 20, "batch": 2, "pretrain": 3, "constant": 5, "decay": 5, "pretrain_rate": 1e-2,
                  "rate": 2e-3, "ema": 0.9},
        loop={"log_every": 20, "checkpoint_every": 1000},
    )  # fmt: skip
    folder, card = tmp_path_factory.mktemp("learned"), made.generator.card()
    inputs = Inputs(TinyCt(card, 64), TinyUs(card, 64, seed=1), 2)
    assert train(made, inputs, folder, Fabric(accelerator="cpu", devices=1))
    return made, folder


def test_the_cycle_closes(learned: tuple[Config, Path]) -> None:
    stats = [entry["losses"] for entry in read_stats(learned[1]) if entry["phase"] == "adversarial"]
    for name in ("cycle_ct", "cycle_us"):
        assert stats[-1][name] < 0.6 * stats[0][name], name


def dice_of(model: SCycleGan, sample: int) -> tuple[float, float]:
    """Mean Dice over the organs of S_us on an unseen frame: of the prediction, and of one that guesses."""
    us = TinyUs(model.card, 64, seed=7).batch(range(sample, sample + 9, 3))
    _, y = model.real_images(TinyCt(model.card, 64, seed=7).batch(range(3)), us)
    model.S_us.eval()
    with torch.no_grad():
        found = model.segment(model.S_us, y.image, y.where).argmax(dim=1)[us.valid].numpy()
    wanted = us.tissue[us.valid].numpy()
    guessed = np.random.default_rng(0).permutation(wanted)  # knows how much there is of each class, not where
    organs = [c for c in (1, 2, 3) if (wanted == c).any()]

    def dice(answer: np.ndarray) -> float:
        each = [2 * ((answer == c) & (wanted == c)).sum() / ((answer == c).sum() + (wanted == c).sum()) for c in organs]
        return float(np.mean(each))

    return dice(found), dice(guessed)


def test_the_segmenter_beats_chance(learned: tuple[Config, Path]) -> None:
    made, folder = learned
    model = build_model(made, Fabric(accelerator="cpu", devices=1))
    load_checkpoint(checkpoints(folder / "checkpoints")[-1], model)
    found, chance = dice_of(model, 0)
    assert found > 0.8
    assert chance < 0.3


def test_fakes_are_as_bright_as_their_organs(learned: tuple[Config, Path]) -> None:
    """Organs of the CT get the grey levels that the real frames give them, although no pair was ever seen."""
    made, folder = learned
    model = build_model(made, Fabric(accelerator="cpu", devices=1))
    load_checkpoint(checkpoints(folder / "checkpoints")[-1], model)
    ct = TinyCt(model.card, 64, seed=9).batch(range(8))
    x, _ = model.real_images(ct, TinyUs(model.card, 64, seed=9).batch([0, 1, 3, 4, 6, 7, 9, 10]))
    with torch.no_grad():
        grey = (model.averaged_ct2us(x.image, x.mask, None).mean(dim=1) + 1) * 127.5
    inner = ct.valid & ct.visible
    level = {c: float(grey[inner & (ct.tissue == c)].mean()) for c in range(4)}
    assert level[0] < level[2] < level[1] < level[3]  # 20, 60, 110, 180 in the frames


def test_the_shipped_smoke_run_ends_with_a_generator(tmp_path: Path) -> None:
    """The shipped configuration, shortened: sources, phases, checkpoint and export of the real thing."""
    shorter = [
        "schedule.epoch=2", "data.ct=[{kind: phantoms, seeds: [0, 1], samples: 8, repeat: 1}]",
        "data.us=[{kind: phantoms, seeds: [0, 1], samples: 8, repeat: 1}]",
    ]  # fmt: skip
    start = time.process_time()
    arguments = ["--config", "smoke.yaml", "--out", str(tmp_path / "run"), "--accelerator", "cpu"]
    assert command.main([*arguments, *(part for change in shorter for part in ("--set", change))]) == 0
    assert {entry["phase"] for entry in read_stats(tmp_path / "run")} == {"pretrain", "warm_up", "adversarial"}
    export(tmp_path / "run", tmp_path / "smoke.safetensors")
    assert load_generator(tmp_path / "smoke.safetensors").card.encoding == "rich"
    assert time.process_time() - start < 120

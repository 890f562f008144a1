"""What a run costs, by shapes alone; validation, the best weights, and an early end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from tests.train.synthetic import TinyCt, TinyUs, batches, config
from torch import nn

from scyclegan_train.config import Config, DataConfig, SourceConfig
from scyclegan_train.data.held_out import held_out
from scyclegan_train.data.inputs import Inputs
from scyclegan_train.method.scyclegan import SCycleGan
from scyclegan_train.run.checkpoint import checkpoints, read_weights
from scyclegan_train.run.export import latest
from scyclegan_train.run.journal import read_stats
from scyclegan_train.run.loop import train
from scyclegan_train.run.outlook import Cost, costs_of, header, shapes, whole_time
from scyclegan_train.run.schedule import Schedule
from scyclegan_train.run.tally import Tally
from scyclegan_train.run.validation import validate
from us_sim.core.errors import ConfigError

RICH = {"encoding": "rich", "windows": [[-150, 250], [-1000, 1000]], "norm": "batch"}


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_step_reads_nothing_back_and_mixes_no_devices(norm: str) -> None:
    """On the meta device an `.item()`, a branch on a value or a tensor left on the CPU is an error."""
    made = config(generator=RICH | {"norm": norm}, method={"fake_noise": 0.05, "critic_augmentation": True, "pair": 1})
    model, (ct, us) = SCycleGan(made, "meta"), shapes(made)
    for found in (model.pretrain(ct, us), model.warm_up(ct, us), model.step(ct, us)):
        assert found
        assert all(value.device.type == "meta" and value.shape == () for value in found.values())


def test_flop_are_those_of_its_convolutions() -> None:
    made = config(schedule={"warm_up": 0, "constant": 0, "decay": 0})
    expected = [0]

    def count(module: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        taps = module.weight[0].numel() if isinstance(module, nn.Conv2d) else module.weight[:, 0].numel()
        size = out.numel() if isinstance(module, nn.Conv2d) else out.numel() // (module.stride[0] * module.stride[1])
        expected[0] += 2 * taps * size * 3  # forward, gradient of the input, gradient of the weights

    model, (ct, us) = SCycleGan(made), batches(made)
    for network in (model.S_us, model.S_ct):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(count)
    model.segmenter_losses(*model.real_images(ct, us), us)
    found = costs_of(made, Schedule(1, 0, 0, 0))["pretrain"].flop
    assert found == pytest.approx(expected[0], rel=0.35)  # images need no gradient; masks of frames are looked for once


def test_time_goes_by_the_phases_flop() -> None:
    found = {"pretrain": Cost(10, 0), "adversarial": Cost(40, 0)}
    said = whole_time(Schedule(100, 0, 50, 50), found, "pretrain", 0.5)  # type: ignore[arg-type]
    assert said == "about 0:04:10 for all 200 steps (0.5 s a step of pretrain)"


def test_the_header_states_what_is_trained() -> None:
    made = config()
    card = made.generator.card()
    lines = header(made, Inputs(TinyCt(card), TinyUs(card), 2), Schedule(4, 0, 4, 4), {"adversarial": Cost(10**9, 0)})
    assert lines[0] == "CT: 6 slices; ultrasound: 6 frames; grid polar 32 by 32"
    assert "4 steps an epoch, batch 2; epochs: pretrain 1, warm_up 0, constant 1, decay 1; 12 steps" in lines[1]
    assert "adversarial: 1.0 GFLOP a step" in lines[3]


# -- validation -----------------------------------------------------------------------------------------------------


def trained(folder: Path, **loop: object) -> Config:
    made = config(loop={"validation": 2, **loop}, schedule={"pretrain": 0, "constant": 2, "decay": 2})
    card = made.generator.card()
    inputs = Inputs(TinyCt(card), TinyUs(card, seed=1), 2)
    held = Inputs(TinyCt(card, seed=8), TinyUs(card, seed=9), 2) if made.loop.validate_every else None
    assert train(made, inputs, folder, Fabric(accelerator="cpu", devices=1), held=held)
    return made


def test_the_best_weights_on_held_out_samples_are_kept_and_nothing_else_changes(tmp_path: Path) -> None:
    trained(tmp_path / "a", validate_every=4, best="cycle_ct")
    trained(tmp_path / "b")
    entries = read_stats(tmp_path / "a")
    found = {e["step"]: e["losses"]["cycle_ct"] for e in entries if e["phase"] == "validation"}
    assert list(found) == [4, 8, 12, 16]
    best = min(found, key=lambda step: found[step])
    weights, _ = read_weights(latest(tmp_path / "a" / "best"))
    if best in {int(path.name[5:]) for path in checkpoints(tmp_path / "a" / "checkpoints")}:
        expected, _ = read_weights(tmp_path / "a" / "checkpoints" / f"step_{best:07d}")
        assert all(torch.equal(value, weights[name]) for name, value in expected.items())
    assert [e["losses"] for e in entries if e["phase"] != "validation"] == [
        e["losses"] for e in read_stats(tmp_path / "b")
    ]


def test_a_run_ends_early_when_it_gets_no_better(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    values = iter([1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr("scyclegan_train.run.loop.validate", lambda model, held: {"cycle_ct": next(values)})
    trained(tmp_path, validate_every=3, patience=2)
    assert read_stats(tmp_path)[-1]["step"] == 9
    assert "Ended after step 9: cycle_ct has not become better than 1 in 2 validations" in capsys.readouterr().err


def test_a_number_that_nobody_measures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="best is 'dice'; expected one of cycle_ct, cycle_us, segmentation_us"):
        trained(tmp_path, validate_every=4, best="dice")


def test_validation_uses_the_averaged_generators_and_no_random_number(tmp_path: Path) -> None:
    made = config(generator={"norm": "batch"}, method={"fake_noise": 0.1})
    model, pair = SCycleGan(made), batches(made)
    before = {
        n: v.clone() for name, network in model.networks.items() for n, v in network.state_dict(prefix=name).items()
    }
    noise, first = model.noise.get_state(), validate(model, [pair])
    assert validate(model, [pair]) == first
    assert torch.equal(model.noise.get_state(), noise)
    after = {n: v for name, network in model.networks.items() for n, v in network.state_dict(prefix=name).items()}
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    with torch.no_grad():
        for parameter in model.G_ct2us.parameters():
            parameter.zero_()
    assert validate(model, [pair]) == first


def test_the_tally_remembers_the_best() -> None:
    tally = Tally()
    assert [tally.better(value) for value in (3.0, 2.0, 2.5, 1.0)] == [True, True, False, True]
    assert (tally.best, tally.since) == (1.0, 0)


def test_what_is_held_out_is_beyond_the_training() -> None:
    ct = (SourceConfig("prepared", path="p", augment=True), SourceConfig("patient", path="x"))
    us = (SourceConfig("aus", path="u"), SourceConfig("frames", path="f", frames=(0, 102)),
          SourceConfig(seeds=(5, 9)), SourceConfig("frames", path="g"))  # fmt: skip
    found = held_out(DataConfig(ct, us))
    assert found.ct == (replace(ct[0], split="val", augment=False),)
    assert found.us == (replace(us[0], split="test"), replace(us[1], frames=(112, 10**6)),
                        replace(us[2], seeds=(9, 17), repeat=1))  # fmt: skip
    with pytest.raises(ConfigError, match="ct has no source that holds samples out; set loop: validate_every: 0"):
        held_out(DataConfig(ct[1:], us))

"""The loop: what it leaves behind, and every way in which it stops."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image
from rich.console import Console
from tests.train.forks import Forks
from tests.train.synthetic import batches, config
from tests.train.train_tiny import run
from torch import Tensor, nn

from scyclegan_train.method.scyclegan import SCycleGan
from scyclegan_train.run import loop
from scyclegan_train.run.checkpoint import checkpoints
from scyclegan_train.run.journal import Journal, read_stats
from scyclegan_train.run.loggers import open_logger
from scyclegan_train.run.loop import TrainingStopped
from scyclegan_train.run.tally import Tally
from us_sim.core.errors import ConfigError


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that came to its end: 4 steps of pretraining, 4 of warm-up, 8 adversarial."""
    folder = tmp_path_factory.mktemp("run")
    sections = {"schedule": {"warm_up": 1}, "loop": {"log_every": 3, "panel_every": 8, "keep": 2}}
    assert run(folder, sections)
    return folder


def test_every_entry_has_the_losses_of_its_phase_and_its_rate(finished: Path) -> None:
    stats = read_stats(finished)
    assert [(s["step"], s["phase"]) for s in stats] == [
        (3, "pretrain"), (4, "pretrain"), (6, "warm_up"), (8, "warm_up"),
        (9, "adversarial"), (12, "adversarial"), (15, "adversarial"), (16, "adversarial"),
    ]  # fmt: skip
    assert set(stats[0]["losses"]) == {"segmenter_us", "segmenter_ct"}
    assert set(stats[2]["losses"]) == {"pair", "pair_ct"}
    assert "critic_us_0" in stats[5]["losses"]
    assert [s["rate"] for s in stats] == [1, 1, 1, 1, 1, 1, 0.5, 0.25]


def test_the_last_checkpoints_are_kept(finished: Path) -> None:
    assert [path.name for path in checkpoints(finished / "checkpoints")] == ["step_0000012", "step_0000016"]
    assert sorted(p.name for p in (finished / "checkpoints" / "step_0000016").iterdir()) == [
        "rank_0.pt", "state.pt", "weights.safetensors",
    ]  # fmt: skip


def test_panels_are_written_as_pictures(finished: Path) -> None:
    assert [p.name for p in sorted((finished / "panels").iterdir())] == ["step_0000008.png", "step_0000016.png"]
    picture = np.asarray(Image.open(finished / "panels" / "step_0000016.png"))
    assert picture.shape == (2 * 36, 12 * 36, 3)
    assert picture[:32, :32].std() > 10  # the CT


def test_tensorboard_has_scalars_and_panels(finished: Path) -> None:
    accumulator = import_module("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(finished / "tensorboard"))
    found.Reload()
    assert {"pretrain/segmenter_us", "warm_up/pair", "adversarial/cycle_ct"} <= set(found.Tags()["scalars"])
    assert [event.step for event in found.Scalars("adversarial/cycle_ct")] == [9, 12, 15, 16]
    assert [event.step for event in found.Images("panel")] == [8, 16]


def spoiled(step: int, monkeypatch: pytest.MonkeyPatch, **losses: float) -> None:
    """Make a step of the method return other losses from a step on."""
    original, done = SCycleGan.step, [0]

    def stepped(self: SCycleGan, *given: Any) -> dict[str, Tensor]:
        done[0] += 1
        found = original(self, *given)
        return found | {n: torch.tensor(v) for n, v in losses.items()} if done[0] >= step else found

    monkeypatch.setattr(SCycleGan, "step", stepped)


def test_a_loss_that_is_not_finite_stops_and_names_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled(6, monkeypatch, cycle_ct=float("nan"))
    with pytest.raises(TrainingStopped, match=r"cycle_ct is nan before step 10.*step_0000008; lower the rates"):
        run(tmp_path, {})
    assert checkpoints(tmp_path / "checkpoints")[-1].name == "step_0000008"


def test_weights_that_are_not_finite_are_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, done = SCycleGan.pretrain, [0]

    def stepped(self: SCycleGan, *given: Any) -> dict[str, Tensor]:
        done[0] += 1
        found = original(self, *given)
        if done[0] == 4:
            next(self.S_ct.parameters()).data.fill_(float("inf"))
        return found

    monkeypatch.setattr(SCycleGan, "pretrain", stepped)
    with pytest.raises(TrainingStopped, match=r"S_ct are not finite after step 4. There is no checkpoint yet"):
        run(tmp_path, {})
    assert not checkpoints(tmp_path / "checkpoints")


def test_a_dead_discriminator_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiled(1, monkeypatch, critic_us_0=1e-5)
    sections = {"schedule": {"constant": 3, "decay": 3}, "loop": {"dead": 10}}
    with pytest.raises(TrainingStopped, match=r"critic_us_0 has had no loss for 10 steps.*step_0000012.*critic_rate"):
        run(tmp_path, sections)


def test_a_discriminator_that_recovers_is_not_dead() -> None:
    tally = Tally()
    for value in (1e-5, 1e-5, 0.2, 1e-5):
        tally.add({"critic_ct": torch.tensor(value)})
        tally.means()
    assert tally.dead == {"critic_ct": 1}


def test_means_are_over_the_steps_since_the_last_entry() -> None:
    tally = Tally()
    for value in (1.0, 2.0, 6.0):
        tally.add({"cycle_ct": torch.tensor(value)})
    assert tally.means() == {"cycle_ct": 3.0}
    assert tally.count == 0
    assert tally.means() == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(forks: Forks, tmp_path: Path, number: int) -> None:
    given = str(tmp_path), {"loop": {"checkpoint_every": 1000}}, 6, number
    [ended] = forks.run("tests.train.train_tiny", "command", [given])
    assert ended.returncode == 130, ended.stderr
    assert f"Stopped after step 7. To continue: train --resume {tmp_path}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert checkpoints(tmp_path / "checkpoints")[-1].name == "step_0000007"


def test_a_second_ctrl_c_is_not_swallowed() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in its background without one
    with loop.asked_to_stop() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_every_network_that_is_called_can_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    critics = [{"field": 34}, {"field": 70}]
    made = config(loop={"compile": True}, method={"critics": critics})
    model = loop.build_model(made, Fabric(accelerator="cpu", devices=1))
    called: set[nn.Module] = set()
    for network in [*model.networks.values(), *model.D_us]:
        network.register_forward_pre_hook(lambda module, _: called.add(module))
    model.step(*batches(made))
    assert called == set(compiled)


def test_another_logger_gets_the_same_losses(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Logger:
        def log_metrics(self, metrics: dict[str, float], step: int) -> None:
            seen.append((metrics, step))

        def finalize(self, status: str) -> None:
            seen.append(status)

    journal = Journal(tmp_path, 100, 0, console=Console(file=(tmp_path / "log").open("w")), logger=Logger())
    journal.write(40, "validation", {"cycle_ct": 0.5}, {})
    journal.close()
    assert seen == [({"validation/cycle_ct": 0.5}, 40), "success"]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    wanted = rf"logger is '{name}', which needs packages .*pip install 'scyclegan_train\[{name}\]'"
    with pytest.raises(ConfigError, match=wanted):
        open_logger(name, tmp_path)
    assert open_logger("", tmp_path) is None


class Opened:
    """In the place of a logger of Lightning; mlflow's does not open where its server is gone."""

    def __init__(self, **options: str) -> None:
        self.options = options

    @property
    def experiment(self) -> str:
        if self.options.get("tracking_uri", "").startswith("http"):
            raise OSError("no answer")
        return "open"


def test_loggers_write_into_the_folder_of_the_run_or_to_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loggers = SimpleNamespace(WandbLogger=Opened, MLFlowLogger=Opened)
    for name, module in (("wandb", loggers), ("mlflow", loggers), ("lightning.pytorch.loggers", loggers)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "run"
    assert open_logger("wandb", folder).options == {"name": "run", "project": "scyclegan", "save_dir": str(folder)}
    made = open_logger("mlflow", folder).options
    assert (made["run_name"], made["tracking_uri"]) == ("run", f"sqlite:///{folder}/mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://gone:5000")
    with pytest.raises(ConfigError, match=r"logger is 'mlflow', which does not open \(no answer\); log in, start its"):
        open_logger("mlflow", folder)


def test_without_a_terminal_every_loss_is_printed(tmp_path: Path) -> None:
    console = Console(file=(tmp_path / "log").open("w"), width=40)
    journal = Journal(tmp_path, 100, 0, console=console)
    journal.write(40, "adversarial", {f"loss_{i}": i / 10 for i in range(10)}, {})
    journal.close()
    [line] = (tmp_path / "log").read_text().splitlines()
    assert line.startswith("adversarial 40 loss_0 0.000")
    assert line.count("loss_") == 10


def test_the_terminal_shows_progress_and_time_left(tmp_path: Path) -> None:
    console = Console(force_terminal=True, width=160, record=True, file=(tmp_path / "screen").open("w"))
    journal = Journal(tmp_path, 100, 0, console=console)
    journal.advance(40, "warm_up")
    journal.write(40, "warm_up", {"pair": 0.25}, {})
    journal.close()
    text = (tmp_path / "screen").read_text()
    assert "warm_up" in text
    assert "40/100" in text
    assert "left" in text
    assert "pair 0.250" in text

"""A run that was killed goes on as if nothing had been; what cannot be resumed is named."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.train.forks import Forks
from tests.train.synthetic import config
from tests.train.train_tiny import run

from scyclegan_train import train as command
from scyclegan_train.method.scyclegan import SCycleGan
from scyclegan_train.run import checkpoint
from scyclegan_train.run.checkpoint import (
    CheckpointError,
    checkpoints,
    load_checkpoint,
    load_weights,
    read_weights,
    weights_of,
)
from scyclegan_train.run.journal import read_stats

# Every source of chance takes part: pool, noise on fakes, augmentation, batch statistics.
SECTIONS = {
    "generator": {"norm": "batch"},
    "method": {"pool": 3, "fake_noise": 0.05, "critic_augmentation": True},
    "schedule": {"pretrain": 0.5, "warm_up": 0.5, "constant": 1.5, "decay": 1},
    "loop": {"checkpoint_every": 5, "log_every": 3},
}


def losses(folder: Path) -> list[tuple[int, dict[str, float]]]:
    return [(entry["step"], entry["losses"]) for entry in read_stats(folder)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    assert run(folder, SECTIONS)
    return folder


def test_a_killed_run_resumes_bit_for_bit(forks: Forks, unbroken: Path, tmp_path: Path) -> None:
    [killed] = forks.run("tests.train.train_tiny", "command", [(str(tmp_path), SECTIONS, 12, signal.SIGKILL)])
    assert killed.returncode == -signal.SIGKILL
    assert checkpoints(tmp_path / "checkpoints")[-1].name == "step_0000010"
    assert [step for step, _ in losses(tmp_path)] == [2, 3, 4, 6, 9, 12]
    assert run(tmp_path, SECTIONS, resume=True)
    assert losses(tmp_path) == losses(unbroken)
    last = [load_file(checkpoints(f / "checkpoints")[-1] / "weights.safetensors") for f in (tmp_path, unbroken)]
    assert last[0].keys() == last[1].keys()
    assert all(torch.equal(value, last[1][name]) for name, value in last[0].items())


def test_a_kill_in_the_middle_of_writing_leaves_the_checkpoint_before(unbroken: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(unbroken, folder)
    latest = checkpoints(folder / "checkpoints")[-1]
    latest.rename(latest.with_name(latest.name + ".partial"))
    (latest.with_name(latest.name + ".partial") / "state.pt").write_bytes(b"half")
    assert checkpoints(folder / "checkpoints")[-1].name == "step_0000010"
    assert run(folder, SECTIONS, resume=True)
    assert losses(folder) == losses(unbroken)


def test_a_run_goes_on_from_a_checkpoint_that_is_named(
    unbroken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(unbroken, folder)
    assert run(folder, SECTIONS, resume=folder / "checkpoints" / "step_0000005")
    assert losses(folder) == losses(unbroken)
    assert [path.name for path in checkpoints(folder / "checkpoints")] == [
        "step_0000005", "step_0000010", "step_0000014",
    ]  # fmt: skip
    assert (folder / "checkpoints" / "step_0000014.aside").is_dir()
    printed = capsys.readouterr().err
    assert "step_0000010: is after " in printed
    assert f"Done: 14 steps in {folder}" in printed


def test_a_refused_resume_changes_nothing_of_the_run(unbroken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (unbroken / "config.yaml").read_text()
    with pytest.raises(CheckpointError, match="does not fit the configuration"):
        run(unbroken, SECTIONS | {"generator": {"norm": "batch", "width": 0.1}}, resume=True)
    assert (unbroken / "config.yaml").read_text() == before
    assert command.main(["--resume", str(unbroken / "checkpoints" / "step_0000011")]) == 2
    assert "no such checkpoint; the run holds step_0000005, step_0000010, step_0000014" in capsys.readouterr().err


def test_a_full_disk_leaves_the_checkpoint_before_and_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(28, "No space left on device")
    save, written = checkpoint.save_file, list[Path]()

    def saved(weights: object, path: Path, metadata: object) -> None:
        written.append(path)
        if len(written) == 2:
            raise full
        save(weights, path, metadata)

    monkeypatch.setattr(checkpoint, "save_file", saved)
    with pytest.raises(CheckpointError, match=r"step_0000010: cannot be written \(.*No space left.* Make room, then"):
        run(tmp_path, SECTIONS)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_0000005"]


def test_resuming_a_finished_run_does_nothing(unbroken: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(unbroken, folder)
    assert run(folder, SECTIONS, resume=True)
    assert losses(folder) == losses(unbroken)


def test_a_new_run_starts_from_the_networks_of_another(unbroken: Path) -> None:
    latest = checkpoints(unbroken / "checkpoints")[-1]
    weights, model = read_weights(latest)[0], SCycleGan(config(generator={"norm": "batch"}))
    assert load_weights(latest, model) == []
    assert all(torch.equal(value, weights[name]) for name, value in weights_of(model).items())
    assert model.optimizers["generators"].state_dict()["state"] == {}
    other = config(generator={"norm": "batch"}, method={"critic_width": 0.1})
    assert load_weights(latest, SCycleGan(other)) == ["D_us", "D_ct"]
    with pytest.raises(CheckpointError, match="its G_ct2us differs from the configuration's"):
        load_weights(latest, SCycleGan(config(generator={"width": 0.1})))


def test_weights_of_another_configuration_are_refused(unbroken: Path) -> None:
    latest = checkpoints(unbroken / "checkpoints")[-1]
    with pytest.raises(CheckpointError, match=r"step_0000014: does not fit the configuration: D_ct.*differ"):
        load_checkpoint(latest, SCycleGan(config(generator={"norm": "batch"}, method={"critic_width": 0.1})))


def test_another_number_of_processes_is_refused(unbroken: Path) -> None:
    latest = checkpoints(unbroken / "checkpoints")[-1]
    with pytest.raises(CheckpointError, match="was written by 1 processes; resume with as many, not 2"):
        load_checkpoint(latest, SCycleGan(config(generator={"norm": "batch"})), rank=0, world=2)


@pytest.mark.parametrize(("file", "message"), [("state.pt", r"state.pt: damaged"), ("rank_0.pt", r"rank_0.pt: damaged"),
                                               ("weights.safetensors", r"weights.safetensors: damaged")])  # fmt: skip
def test_a_damaged_checkpoint_is_named(unbroken: Path, tmp_path: Path, file: str, message: str) -> None:
    latest = tmp_path / "step_0000001"
    shutil.copytree(checkpoints(unbroken / "checkpoints")[-1], latest)
    content = (latest / file).read_bytes()
    (latest / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(latest, SCycleGan(config(generator={"norm": "batch"})))


def test_a_state_that_runs_code_is_not_loaded(unbroken: Path, tmp_path: Path) -> None:
    latest = tmp_path / "step_0000001"
    shutil.copytree(checkpoints(unbroken / "checkpoints")[-1], latest)
    torch.save({"step": Path("x")}, latest / "state.pt")
    with pytest.raises(CheckpointError, match=r"(?s)state.pt: damaged.*[Uu]nsupported"):
        load_checkpoint(latest, SCycleGan(config(generator={"norm": "batch"})))


def test_a_folder_without_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint; expected a folder step_… that holds weights"):
        read_weights(tmp_path)


def test_the_command_refuses_to_write_over_a_run(
    unbroken: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command.main(["--config", "smoke.yaml", "--out", str(unbroken)]) == 2
    assert "holds checkpoints already; use --resume" in capsys.readouterr().err
    assert command.main(["--resume", str(tmp_path)]) == 2
    assert "no run; expected a folder with config.yaml and checkpoints/" in capsys.readouterr().err
    assert command.main(["--config", "smoke.yaml", "--set", "loop.sead=1"]) == 2
    assert "unknown name 'sead'" in capsys.readouterr().err

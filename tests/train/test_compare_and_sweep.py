"""Runs side by side: what is trained, what the table says, and how both commands go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scyclegan_train import compare, sweep
from scyclegan_train.run import trials
from scyclegan_train.run.trials import Trial, TrialError, best_entry, trained


def validated(folder: Path, *values: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [{"step": 1, "phase": "adversarial", "losses": {"cycle_ct": 0.0}}]
    lines += [
        {"step": n, "phase": "validation", "losses": {"cycle_ct": v, "style": 10 * v}} for n, v in enumerate(values)
    ]
    (folder / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_best_validation_of_a_run_is_read(tmp_path: Path) -> None:
    validated(tmp_path, 3, 1, 2)
    assert best_entry(tmp_path, "cycle_ct") == {"cycle_ct": 1, "style": 10}
    with pytest.raises(TrialError, match="has no 'dice'; expected one of cycle_ct, style"):
        best_entry(tmp_path, "dice")
    with pytest.raises(TrialError, match=r"holds no validation; set loop.validate_every above 0"):
        best_entry(tmp_path / "none", "cycle_ct")


def test_a_run_is_started_gone_on_with_and_its_error_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    answers = [0, 0, 2, 130]

    def ran(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(
            command, answers[len(commands) - 1], None, "first\nscyclegan_train: refused\n"
        )

    monkeypatch.setattr(trials.subprocess, "run", ran)
    validated(tmp_path / "a", 4)
    trial = Trial(tmp_path / "a", "paper.yaml", ("loop.seed=3",))
    assert trained(trial, "cycle_ct")["cycle_ct"] == 4
    (tmp_path / "a" / "checkpoints" / "step_0000004").mkdir(parents=True)
    trained(trial, "cycle_ct")
    with pytest.raises(TrialError, match="a: scyclegan_train: refused"):
        trained(trial, "cycle_ct")
    with pytest.raises(KeyboardInterrupt):
        trained(trial, "cycle_ct")
    start = [sys.executable, "-m", "scyclegan_train", "train"]
    assert commands[0] == [*start, "--config", "paper.yaml", "--out", str(tmp_path / "a"), "--set", "loop.seed=3"]
    assert commands[1] == [*start, "--resume", str(tmp_path / "a")]


def test_methods_by_seeds_by_folds_give_a_table_with_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Trial] = []

    def of(trial: Trial, best: str) -> dict[str, float]:
        seen.append(trial)
        value = float(len(seen))
        return {"cycle_ct": value, "style": 2.0} if trial.config == "paper.yaml" else {"cycle_ct": value}

    monkeypatch.setattr(compare, "trained", of)
    given = ["--method", "paper=paper.yaml", "--method", "gan=cyclegan.yaml", "--seeds", "4", "5", "--folds", "2"]
    assert compare.main([*given, "--out", str(tmp_path)]) == 0
    assert [trial.folder.name for trial in seen[:4]] == ["paper-4-1", "paper-4-2", "paper-5-1", "paper-5-2"]
    assert seen[1].changes == ("loop.seed=4", "loop.best=cycle_ct", "data.ct.0.fold=[2, 2]")
    text = (tmp_path / "comparison.md").read_text()
    assert "| held-out loss | paper | gan |" in text
    assert "| cycle_ct | 2.500 [1." in text  # the mean of 1, 2, 3, 4
    assert "| 6.500 [5." in text
    assert "| style | 2.000 [2.000, 2.000] |  |" in text
    assert json.loads((tmp_path / "comparison.json").read_text())["gan"][0] == {"cycle_ct": 5.0}


def test_what_compare_cannot_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main(["--method", "paper.yaml", "--out", str(tmp_path)]) == 2
    assert "--method paper.yaml: expected NAME=CONFIG, such as paper=paper.yaml" in capsys.readouterr().err


# -- sweep ------------------------------------------------------------------------------------------------------------


def test_a_sweep_finds_the_least_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: extra sweep")
    seen: list[float] = []

    def of(trial: Trial, best: str) -> dict[str, float]:
        name, _, value = trial.changes[-1].partition("=")
        assert name == "method.cycle_us"
        seen.append(float(value))
        if len(seen) == 2:
            raise TrialError("broken")
        return {best: abs(float(value) - 4)}

    monkeypatch.setattr(sweep, "trained", of)
    given = ["--config", "paper.yaml", "--vary", "method.cycle_us=1:20:log", "--out", str(tmp_path)]
    assert sweep.main([*given, "--trials", "4"]) == 0
    assert sweep.main([*given, "--trials", "6"]) == 0
    assert len(seen) == 6
    assert min(seen) >= 1
    assert max(seen) <= 20
    best = min((v for n, v in enumerate(seen) if n != 1), key=lambda v: abs(v - 4))
    assert f"least cycle_ct {abs(best - 4):.4g} by --set method.cycle_us={best}" in capsys.readouterr().out


@pytest.mark.parametrize("rule", ["method.pool", "method.pool=5", "method.pool=a:b", "method.pool=1:2:exp"])
def test_a_rule_of_another_form_is_refused(rule: str) -> None:
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed: extra sweep")
    with pytest.raises(sweep.ConfigError, match=f"--vary {rule}: "):
        sweep.suggested(optuna.trial.FixedTrial({"method.pool": 1.5}), rule)


def test_one_of_several_values_is_chosen() -> None:
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed: extra sweep")
    assert sweep.suggested(optuna.trial.FixedTrial({"method.pool": "50"}), "method.pool=0,50") == "method.pool=50"

"""How several processes are told of each other, and what a new run can start from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.train.synthetic import config

from scyclegan_train import train as command
from scyclegan_train.data.splits import refolded
from scyclegan_train.method.scyclegan import SCycleGan
from scyclegan_train.run.checkpoint import CheckpointError, load_artifact
from us_sim.core.errors import ConfigError
from us_sim.core.generator.artifact import build, save_generator


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_NNODES",
                 "SLURM_NTASKS_PER_NODE"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("told", "devices", "nodes"),
    [
        ({}, 1, 1),
        ({"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "GROUP_WORLD_SIZE": "2"}, 4, 2),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_NNODES": "2"}, 4, 2),
        ({"SLURM_NTASKS_PER_NODE": "4", "SLURM_NNODES": "2"}, 1, 1),  # within sbatch, not started by srun
    ],
)
def test_torchrun_and_slurm_tell_how_many(
    told: dict[str, str], devices: int, nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    given = command.parser().parse_args(["--config", "paper.yaml"])
    assert (given.devices, given.nodes) == (devices, nodes)
    command.check_together(devices * nodes)


@pytest.mark.parametrize("told", [{"WORLD_SIZE": "2"}, {"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}])
def test_a_task_of_two_never_trains_alone(told: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="2 tasks were started and 1 train together; give --devices and --nodes"):
        command.check_together(1)


def test_a_network_starts_from_an_artifact(tmp_path: Path) -> None:
    model = SCycleGan(config())
    card = model.card
    artifact = tmp_path / "g.safetensors"
    network = build(card)
    save_generator(artifact, network, card)
    assert load_artifact(artifact, model) == "G_ct2us"
    for trained in (model.G_ct2us, model.averages["G_ct2us"].network):
        assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), network.parameters(), strict=True))
    with pytest.raises(CheckpointError, match=r"its G_ct2us is of another size.*: paper, 0.07, instance, 4 classes"):
        load_artifact(artifact, SCycleGan(config(generator={"width": 0.2})))


def test_each_patient_is_held_out_in_one_of_the_folds() -> None:
    patients = [f"Case_{n:05d}" for n in range(60)]
    folds = [[p for p in patients if refolded("train", p, (i, 5)) == "val"] for i in range(1, 6)]
    assert sorted(patient for fold in folds for patient in fold) == patients
    assert min(map(len, folds)) >= 5
    assert {refolded("test", p, (2, 5)) for p in patients} == {"test"}
    assert refolded("val", "p", (0, 0)) == "val"

"""Two CPU processes with half of a batch each do what one does with all of it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from tests.train.synthetic import TinyCt, TinyUs, config

from scyclegan_train.data.inputs import Inputs
from scyclegan_train.data.samples import CtBatch, UsBatch
from scyclegan_train.run.checkpoint import checkpoints
from scyclegan_train.run.journal import read_stats
from scyclegan_train.run.loop import TrainingStopped, build_model, train
from scyclegan_train.run.tally import Tally

ROOT = Path(__file__).resolve().parents[3]
BATCH = 4  # of both processes together
# What is drawn differs between processes, and batch statistics are each process's own: both are left out here.
NORMED: dict[str, Any] = {"generator": {"norm": "batch"}, "method": {"pool": 3, "fake_noise": 0.05}}
SECTIONS: dict[str, Any] = {"method": {"pool": 0, "adversarial": "lsgan"}, "loop": {"log_every": 4}}


def gradients(rank: int, world: int, fabric: Fabric) -> list[torch.Tensor]:
    """The gradients that the optimisers see in one step, after averaging."""
    made = config(**SECTIONS, schedule={"batch": BATCH // world})
    card = made.generator.card()
    inputs = Inputs(TinyCt(card, 12), TinyUs(card, 12, seed=1), BATCH // world, rank, world)
    model = build_model(made, fabric)
    found: list[torch.Tensor] = []
    for optimizer in model.optimizers.values():
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.register_step_pre_hook(lambda *_, owned=parameters: found.extend(p.grad.clone() for p in owned))
    model.step(*inputs.at(0))
    return found


def one(rank: int, world: int, folder: Path) -> None:
    """A process: writes its gradients, then trains a short run together with the other."""
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=world, strategy="ddp")
    fabric.launch()
    torch.save(gradients(rank, world, fabric), folder / f"gradients_{rank}.pt")
    for resume in (False, True):  # the second time there is nothing left to do
        made = config(**SECTIONS, schedule={"batch": BATCH // world})
        card = made.generator.card()
        inputs = Inputs(TinyCt(card, 12), TinyUs(card, 12, seed=1), BATCH // world, rank, world)
        assert train(made, inputs, folder / "run", fabric, resume)
    normed = config(**SECTIONS | NORMED, schedule={"batch": BATCH // world})
    assert train(normed, inputs, folder / "whole", fabric)
    if rank == 0:
        shutil.copytree(folder / "whole", folder / "broken")
    fabric.barrier()
    assert train(normed, inputs, folder / "broken", fabric, folder / "broken" / "checkpoints" / "step_0000004")
    try:
        train(normed, Spoiled(TinyCt(card, 12), TinyUs(card, 12, seed=1), 2, rank, world), folder / "nan", fabric)
    except TrainingStopped as error:
        (folder / f"nan_{rank}.txt").write_text(str(error))


class Spoiled(Inputs):
    """Inputs of which one process's are not finite from the fifth step on."""

    def at(self, step: int) -> tuple[CtBatch, UsBatch]:
        ct, us = super().at(step)
        return ct, replace(us, image=us.image * float("nan")) if step >= 4 and self._rank else us


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left behind, started as torchrun starts them: gloo on localhost."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "run").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = [ROOT, ROOT / "ros2_ws/src/us_sim", ROOT / "ros2_ws/src/scyclegan_train"]
    processes = []
    for rank in range(2):
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
            "TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        command = [sys.executable, __file__, str(rank), "2", str(folder)]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        messages = [process.communicate(timeout=280)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(messages)
    return folder


def test_both_processes_see_the_gradient_of_the_joint_batch(folder: Path) -> None:
    joint = gradients(0, 1, Fabric(accelerator="cpu", devices=1))
    assert len(joint) > 50
    assert sum(float(one.abs().max()) > 1e-4 for one in joint) > 60
    for rank in range(2):
        found = torch.load(folder / f"gradients_{rank}.pt", weights_only=True)
        assert len(found) == len(joint)
        for ours, theirs in zip(found, joint, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)  # below it: biases that a norm undoes


def test_a_run_of_two_processes_is_written_once_with_a_state_of_each(folder: Path) -> None:
    latest = checkpoints(folder / "run" / "checkpoints")[-1]
    assert sorted(p.name for p in latest.iterdir()) == ["rank_0.pt", "rank_1.pt", "state.pt", "weights.safetensors"]
    assert [entry["step"] for entry in read_stats(folder / "run")] == [4, 8, 12]
    states = [torch.load(latest / f"rank_{rank}.pt", weights_only=True) for rank in range(2)]
    assert not torch.equal(states[0]["noise"], states[1]["noise"])


def test_batch_statistics_of_two_processes_resume_bit_for_bit(folder: Path) -> None:
    whole, broken = folder / "whole", folder / "broken"
    assert [entry["losses"] for entry in read_stats(broken)] == [entry["losses"] for entry in read_stats(whole)]
    names = ["step_0000004", "step_0000008", "step_0000012"]
    assert [path.name for path in checkpoints(broken / "checkpoints")] == names
    first, second = (load_file(f / "checkpoints" / names[-1] / "weights.safetensors") for f in (whole, broken))
    assert any("running_var" in name for name in first)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_loss_that_is_not_finite_in_one_process_ends_both_with_the_same_words(folder: Path) -> None:
    said = [(folder / f"nan_{rank}.txt").read_text() for rank in range(2)]
    assert said[0] == said[1]
    assert "is nan before step 8" in said[0]
    assert "step_0000004; lower the rates" in said[0]


def test_the_entries_are_means_over_both_processes(folder: Path) -> None:
    made = config(**SECTIONS, schedule={"batch": BATCH})
    joint = build_model(made, Fabric(accelerator="cpu", devices=1))
    card = made.generator.card()
    inputs = Inputs(TinyCt(card, 12), TinyUs(card, 12, seed=1), BATCH)
    joint.set_rates(2e-4, 2e-4, made.schedule.pretrain_rate)
    tally = Tally()
    for step in range(4):
        tally.add(joint.pretrain(*inputs.at(step)))
    expected = tally.means()
    found = read_stats(folder / "run")[0]["losses"]
    assert found == pytest.approx(expected, rel=2e-3)


def test_processes_take_turns_in_the_samples() -> None:
    card = config().generator.card()
    joint = Inputs(TinyCt(card, 10), TinyUs(card, 7), 4)
    halves = [Inputs(TinyCt(card, 10), TinyUs(card, 7), 2, rank, 2) for rank in range(2)]
    for step in range(5):
        parts = [half.at(step) for half in halves]
        ct, us = joint.at(step)
        assert torch.equal(torch.cat([p[0].hu for p in parts]), ct.hu)
        assert torch.equal(torch.cat([p[1].image for p in parts]), us.image)


if __name__ == "__main__":
    one(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))

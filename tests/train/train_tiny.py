"""A tiny run, here or in a process of its own, to be killed and resumed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from tests.train.synthetic import TinyCt, TinyUs, config

from scyclegan_train.data.inputs import Inputs
from scyclegan_train.data.samples import CtBatch, UsBatch
from scyclegan_train.run.loop import train


class Ending(Inputs):
    """Inputs during which a signal arrives at a given step."""

    step: int | None = None
    number = signal.SIGKILL

    def stream(self, first: int, end: int, ahead: int) -> Iterator[tuple[CtBatch, UsBatch]]:
        for step, batches in enumerate(super().stream(first, end, ahead), first):
            if step == self.step:
                os.kill(os.getpid(), self.number)
            yield batches


def run(folder: Path, sections: dict[str, Any], resume: bool | Path = False, end_at: int | None = None,
        number: int = signal.SIGKILL) -> bool:  # fmt: skip
    """Train a tiny run on one CPU process."""
    torch.set_num_threads(1)
    made = config(**sections)
    card = made.generator.card()
    inputs = Ending(TinyCt(card), TinyUs(card, seed=1), made.schedule.batch)
    inputs.step, inputs.number = end_at, signal.Signals(number)
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    folder.mkdir(parents=True, exist_ok=True)
    return train(made, inputs, folder, fabric, resume)


def command(folder: str, sections: dict[str, Any], end_at: int, number: int) -> int:
    """The same in a process; returns its exit status."""
    return 0 if run(Path(folder), sections, end_at=end_at, number=number) else 130

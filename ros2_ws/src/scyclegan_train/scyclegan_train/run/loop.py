"""The training loop: phases by schedule, log entries, panels and checkpoints, and all conditions to stop."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from scyclegan_train.config import Config
from scyclegan_train.config_file import to_yaml
from scyclegan_train.data.inputs import Inputs
from scyclegan_train.data.samples import CtBatch, UsBatch
from scyclegan_train.method.scyclegan import Losses, SCycleGan
from scyclegan_train.run.checkpoint import checkpoints, load_checkpoint, load_weights, save_checkpoint
from scyclegan_train.run.journal import Journal
from scyclegan_train.run.panels import panel
from scyclegan_train.run.schedule import Schedule
from us_sim.core.errors import UsSimError

DEAD = 1e-3  # a discriminator with a loss below it has nothing to teach any more
PANEL_ROWS = 4
CALIBRATION = 16  # batches that batch statistics are measured on


class TrainingStopped(UsSimError, RuntimeError):
    """Training cannot continue; the message names the last good checkpoint and the remedy."""


@dataclass
class Tally:
    """Sums of losses since the last entry, on the device: reading them at every step would wait for the GPU."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0
    dead: dict[str, int] = field(default_factory=dict)  # steps for which a discriminator has been dead

    def add(self, losses: Losses) -> None:
        """Take in a step."""
        for name, value in losses.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        self.count += 1

    def means(self) -> dict[str, float]:
        """Return the means and reset."""
        found = {name: float(value) / self.count for name, value in self.sums.items()}
        for name, value in found.items():
            if name.startswith("critic"):
                self.dead[name] = self.dead.get(name, 0) + self.count if value < DEAD else 0
        self.sums, self.count = {}, 0
        return found


def train(
    config: Config, inputs: Inputs, folder: Path, fabric: Fabric, resume: bool = False, start: Path | None = None
) -> bool:
    """Train a run to its end.

    Args:
        config: of the run; written into the folder by the caller.
        inputs: batches of this process.
        folder: of the run: stats.jsonl, tensorboard/, panels/, checkpoints/.
        fabric: launched; device, precision and processes.
        resume: from the latest checkpoint.
        start: checkpoint of another run, whose networks this one starts from.

    Returns:
        Whether it came to its end; False after Ctrl-C, with a checkpoint written.

    Raises:
        TrainingStopped: a loss is not finite, or a discriminator is dead.
        CheckpointError: nothing to resume from.
    """
    model = build_model(config, fabric)
    schedule = Schedule.of(config.schedule, inputs.steps_of_epoch())
    first, tally = 0, Tally()
    if resume and checkpoints(folder / "checkpoints"):
        latest = checkpoints(folder / "checkpoints")[-1]
        first, state = load_checkpoint(latest, model, fabric.global_rank, fabric.world_size)
        tally = Tally(**state)
    elif start is not None:
        left = load_weights(start, model)
        if left and fabric.is_global_zero:
            print(f"{start}: {', '.join(left)} differ and are initialised", file=sys.stderr)
    run = _Run(config, model, schedule, inputs, folder, fabric, tally, first)
    try:
        return run.go()
    finally:
        run.journal.close()


def build_model(config: Config, fabric: Fabric) -> SCycleGan:
    """Return the networks on this process's device: the same weights in all processes, different random numbers."""
    torch.manual_seed(config.loop.seed)
    model = SCycleGan(config, fabric.device, fabric.autocast, gradient_mean(fabric))
    for generator in (model.draws, model.noise):
        generator.manual_seed(config.loop.seed + fabric.global_rank)
    if config.loop.compile:
        for network in (model.G_ct2us, model.G_us2ct, model.S_us, model.S_ct, model.D_ct, *model.D_us):
            network.compile()
    return model


def gradient_mean(fabric: Fabric) -> Callable[[list[Tensor]], None]:
    """Return what replaces gradients by their mean over the processes, in one message.

    DistributedDataParallel expects all parameters in each backward pass; three phases that freeze each other's
    networks, and networks called twice in a pass, do not go with that.
    """

    def average(gradients: list[Tensor]) -> None:
        if fabric.world_size == 1:
            return
        flat = torch.cat([g.reshape(-1) for g in gradients])
        mean = fabric.all_reduce(flat, reduce_op="mean")
        assert isinstance(mean, Tensor)
        for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    return average


class _Run:
    """A run under way."""

    def __init__(
        self, config: Config, model: SCycleGan, schedule: Schedule, inputs: Inputs, folder: Path, fabric: Fabric,
        tally: Tally, first: int,
    ) -> None:  # fmt: skip
        self.config, self.model, self.schedule, self.inputs = config, model, schedule, inputs
        self.folder, self.fabric, self.tally, self.first = folder, fabric, tally, first
        self.journal = Journal(folder, schedule.steps, first, active=fabric.is_global_zero)
        self._last_good: Path | None = None
        self._time = time.perf_counter()
        kept = [inputs.at(step) for step in range(min(CALIBRATION, schedule.steps))]
        self._calibration = [ct for ct, _ in kept]
        rows = range(min(PANEL_ROWS, inputs.batch))
        self._shown = kept[0][0].pick(rows), kept[0][1].pick(rows)

    def go(self) -> bool:
        loop, done = self.config.loop, self.first
        with asked_to_stop() as asked:
            for ct, us in self.inputs.stream(self.first, self.schedule.steps, loop.prefetch):
                phase = self.schedule.phase(done)
                self.tally.add(self._step(phase, done, ct.to(self.fabric.device), us.to(self.fabric.device)))
                done += 1
                self.journal.advance(done, phase)
                ends = done == self.schedule.steps
                if ends or done % loop.log_every == 0 or self.schedule.phase(done) != phase:
                    self._enter(done, phase)
                if ends or done % loop.panel_every == 0:
                    self._show(done)
                stop = self._any(bool(asked))
                if ends or stop or done % loop.checkpoint_every == 0:
                    self._save(done)
                if stop and not ends:
                    self.journal.say(f"Stopped after step {done}. To continue: train --resume {self.folder}")
                    return False
        return True

    def _step(self, phase: str, step: int, ct: CtBatch, us: UsBatch) -> Losses:
        factor, schedule = self.schedule.rate(step), self.config.schedule
        if phase == "adversarial":
            self.model.set_rates(schedule.rate * factor, schedule.critic_rate * factor, schedule.rate * factor)
            return self.model.step(ct, us, self.schedule.progress(step))
        self.model.set_rates(schedule.pretrain_rate, schedule.critic_rate, schedule.pretrain_rate)
        return self.model.pretrain(ct, us) if phase == "pretrain" else self.model.warm_up(ct, us)

    def _enter(self, done: int, phase: str) -> None:
        count = self.tally.count
        losses = self.tally.means()
        now = time.perf_counter()
        extra = {"rate": self.schedule.rate(done - 1), "seconds_per_step": (now - self._time) / max(1, count)}
        self._time = now
        self.journal.write(done, phase, losses, extra)
        for name, value in losses.items():
            if not math.isfinite(value):
                raise TrainingStopped(f"{name} is {value} before step {done}. {self._advice('lower the rates')}")
        for name, steps in self.tally.dead.items():
            if steps >= self.config.loop.dead:
                advice = self._advice("lower critic_rate or set critic_augmentation")
                raise TrainingStopped(f"the discriminator of {name} has had no loss for {steps} steps. {advice}")

    def _advice(self, change: str) -> str:
        if self._last_good is None:
            found = checkpoints(self.folder / "checkpoints")
            self._last_good = found[-1] if found else None
        where = f"The last good checkpoint is {self._last_good}" if self._last_good else "There is no checkpoint yet"
        return f"{where}; {change} before going on"

    def _show(self, done: int) -> None:
        if self.fabric.is_global_zero:
            ct, us = self._shown
            self.journal.picture(done, panel(self.model, ct.to(self.fabric.device), us.to(self.fabric.device)))

    def _save(self, done: int) -> None:
        self.model.estimate_statistics([ct.to(self.fabric.device) for ct in self._calibration])
        for name, network in self.model.networks.items():
            if not all(bool(p.isfinite().all()) for p in network.parameters()):
                advice = self._advice("lower the rates")
                raise TrainingStopped(f"weights of {name} are not finite after step {done}. {advice}")
        self._last_good = save_checkpoint(
            self.folder / "checkpoints", done, self.model, vars(self.tally), to_yaml(self.config),
            self.config.loop.keep, self.fabric.global_rank, self.fabric.barrier,
        )  # fmt: skip

    def _any(self, asked: bool) -> bool:
        """Whether any process was asked to stop: all have to stop at the same step."""
        if self.fabric.world_size == 1:
            return asked
        total: Any = self.fabric.all_reduce(torch.tensor(float(asked), device=self.fabric.device), reduce_op="sum")
        return bool(total > 0)


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM instead of dying by them; the second Ctrl-C kills as usual."""
    asked: list[int] = []
    before: dict[int, Any] = {}

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(number, before[number])

    if threading.current_thread() is threading.main_thread():  # elsewhere, signals are somebody else's
        before.update({number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)})
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

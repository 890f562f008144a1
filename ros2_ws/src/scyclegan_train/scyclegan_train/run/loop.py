# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The training loop: phases by schedule, log entries, panels and checkpoints, and all conditions to stop."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import distributed

from scyclegan_train.config import Config
from scyclegan_train.config_file import to_yaml
from scyclegan_train.data.arrival import on_device
from scyclegan_train.data.inputs import Inputs
from scyclegan_train.data.samples import CtBatch, UsBatch
from scyclegan_train.method.scyclegan import Losses, SCycleGan
from scyclegan_train.run.checkpoint import (
    ASIDE,
    checkpoints,
    load_artifact,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    set_later_aside,
)  # fmt: skip
from scyclegan_train.run.journal import Journal
from scyclegan_train.run.loggers import open_logger
from scyclegan_train.run.mean import Mean
from scyclegan_train.run.outlook import Cost, costs_of, header, whole_time
from scyclegan_train.run.panels import panel
from scyclegan_train.run.schedule import Phase, Schedule
from scyclegan_train.run.tally import Tally
from scyclegan_train.run.validation import keep_best, validate, value_of
from us_sim.core.errors import UsSimError

CONFIG = "config.yaml"
TIMED = 3  # steps by whose fastest a dry run goes
PANEL_ROWS = 4
CALIBRATION = 16  # batches that batch statistics are measured on


class TrainingStopped(UsSimError, RuntimeError):
    """Training cannot continue; the message names the last good checkpoint and the remedy."""


def train(
    config: Config, inputs: Inputs, folder: Path, fabric: Fabric, resume: bool | Path = False,
    start: Sequence[Path] = (), held: Inputs | None = None, costs: dict[Phase, Cost] | None = None,
) -> bool:  # fmt: skip
    """Train a run to its end.

    Args:
        config: of the run; written into its folder when nothing speaks against it any more.
        inputs: batches of this process.
        folder: of the run: config.yaml, stats.jsonl, tensorboard/, panels/, checkpoints/.
        fabric: launched; device, precision and processes.
        resume: go on from the latest checkpoint; or from this one, later ones are set aside.
        start: checkpoints and artifacts whose networks a new run starts from.
        held: samples that it is not trained on, for validations.
        costs: of a step of each phase, for the header and the estimate of time.

    Returns:
        Whether it came to its end; False after Ctrl-C, with a checkpoint written.

    Raises:
        TrainingStopped: a loss is not finite, or a discriminator is dead.
        CheckpointError: a checkpoint that cannot be resumed from, or one that cannot be written.
    """
    mean = Mean(fabric)
    model = build_model(config, fabric, mean)
    schedule = Schedule.of(config.schedule, inputs.steps_of_epoch())
    first, tally = 0, Tally()
    named = resume if isinstance(resume, Path) else None
    found = named or next(reversed(checkpoints(folder / "checkpoints")), None)
    if resume and found is not None:
        first, state = load_checkpoint(found, model, fabric.global_rank, fabric.world_size)
        tally = Tally(**state)
    else:
        for path in start:
            _start(path, model, fabric.is_global_zero)
    fabric.barrier()  # nobody reads a checkpoint any more
    if fabric.is_global_zero:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(to_yaml(config))
        for later in set_later_aside(named) if named is not None else ():
            print(f"{later}: is after {named} and set aside as {later.name}{ASIDE}", file=sys.stderr)
    run = _Run(config, model, schedule, inputs, folder, fabric, mean, tally, first, held, costs or {})
    try:
        return run.go()
    finally:
        run.journal.close()


def _start(path: Path, model: SCycleGan, says: bool) -> None:
    if path.is_file():
        load_artifact(path, model)
        return
    left = load_weights(path, model)
    if left and says:
        print(f"{path}: {', '.join(left)} differ and start anew", file=sys.stderr)


def build_model(config: Config, fabric: Fabric, mean: Mean | None = None) -> SCycleGan:
    """Return the networks on this process's device: the same weights in all processes, different random numbers."""
    torch.manual_seed(config.loop.seed)
    model = SCycleGan(config, fabric.device, fabric.autocast, mean or Mean(fabric))
    for generator in (model.draws, model.noise):
        generator.manual_seed(config.loop.seed + fabric.global_rank)
    if config.loop.compile:
        for network in (model.G_ct2us, model.G_us2ct, model.S_us, model.S_ct, model.D_ct, *model.D_us):
            network.compile()
    return model


def outlook_of(config: Config, inputs: Inputs, fabric: Fabric) -> list[str]:
    """Lines that say what a run will cost, with the time of a real step of its last phase."""
    schedule = Schedule.of(config.schedule, inputs.steps_of_epoch())
    found = costs_of(config, schedule)
    last = list(found)[-1]
    model, (ct, us) = build_model(config, fabric), inputs.at(0)
    steps = {"pretrain": model.pretrain, "warm_up": model.warm_up, "adversarial": model.step}
    times = []
    for _ in range(TIMED):
        start = time.perf_counter()
        losses = steps[last](ct.to(fabric.device), us.to(fabric.device))
        float(next(iter(losses.values())))  # waits for the GPU
        times.append(time.perf_counter() - start)
    return [*header(config, inputs, schedule, found), whole_time(schedule, found, last, min(times))]


class _Run:
    """A run under way."""

    def __init__(
        self, config: Config, model: SCycleGan, schedule: Schedule, inputs: Inputs, folder: Path, fabric: Fabric,
        mean: Mean, tally: Tally, first: int, held: Inputs | None, costs: dict[Phase, Cost],
    ) -> None:  # fmt: skip
        self.config, self.model, self.schedule, self.inputs = config, model, schedule, inputs
        self.folder, self.fabric, self.mean, self.tally, self.first = folder, fabric, mean, tally, first
        self._asked = mean.asked.clone()
        active = fabric.is_global_zero
        logger = open_logger(config.loop.logger, folder) if active else None
        self.journal = Journal(folder, schedule.steps, first, active, logger=logger)
        self._last_good: Path | None = None
        self._time = time.perf_counter()
        kept = [inputs.at(step) for step in range(min(CALIBRATION, schedule.steps))]
        self._calibration = [ct for ct, _ in kept]
        rows = range(min(PANEL_ROWS, inputs.batch))
        self._held = [held.at(step) for step in range(config.loop.validation)] if held is not None else []
        self._costs = costs
        self._shown = kept[0][0].pick(rows), kept[0][1].pick(rows)

    def go(self) -> bool:
        loop, done = self.config.loop, self.first
        if self._costs:
            for line in header(self.config, self.inputs, self.schedule, self._costs):
                self.journal.say(line)
        with asked_to_stop() as asked:
            coming = self.inputs.stream(self.first, self.schedule.steps, loop.prefetch)
            for ct, us in on_device(coming, self.fabric.device):
                phase = self.schedule.phase(done)
                self.tally.add(self._step(phase, done, ct, us))
                done += 1
                self.journal.advance(done, phase)
                ends = done == self.schedule.steps
                if ends or done % loop.log_every == 0 or self.schedule.phase(done) != phase:
                    self._enter(done, phase)
                if ends or done % loop.panel_every == 0:
                    self._show(done)
                stop = self._to_stop(bool(asked))
                validates = bool(self._held) and (ends or done % loop.validate_every == 0)
                better = validates and self._validate(done)
                given_up = validates and 0 < loop.patience <= self.tally.since
                if ends or stop or better or given_up or done % loop.checkpoint_every == 0:
                    self._save(done)
                if better and self.fabric.is_global_zero and self._last_good is not None:
                    keep_best(self._last_good, self.folder)
                if given_up and not ends:
                    self.journal.say(f"Ended after step {done}: {loop.best} has not become better than "
                                     f"{self.tally.best:.4g} in {self.tally.since} validations")  # fmt: skip
                    return True
                if stop and not ends:
                    self.journal.say(f"Stopped after step {done}. To continue: train --resume {self.folder}")
                    return False
        self.journal.say(f"Done: {self.schedule.steps} steps in {self.folder}. To use it: export {self.folder} FILE")
        return True

    def _step(self, phase: str, step: int, ct: CtBatch, us: UsBatch) -> Losses:
        factor, schedule = self.schedule.rate(step), self.config.schedule
        if phase == "adversarial":
            self.model.set_rates(schedule.rate * factor, schedule.critic_rate * factor, schedule.rate * factor)
            return self.model.step(ct, us, self.schedule.progress(step))
        self.model.set_rates(schedule.pretrain_rate, schedule.critic_rate, schedule.pretrain_rate)
        return self.model.pretrain(ct, us) if phase == "pretrain" else self.model.warm_up(ct, us)

    def _enter(self, done: int, phase: Phase) -> None:
        count = self.tally.count
        losses = self.tally.means(self.mean)
        now = time.perf_counter()
        extra = {"rate": self.schedule.rate(done - 1), "seconds_per_step": (now - self._time) / max(1, count)}
        self._time = now
        self._estimate(phase, extra["seconds_per_step"])
        self.journal.write(done, phase, losses, extra)
        for name, value in losses.items():
            if not math.isfinite(value):
                raise TrainingStopped(f"{name} is {value} before step {done}. {self._advice('lower the rates')}")
        for name, steps in self.tally.dead.items():
            if steps >= self.config.loop.dead:
                advice = self._advice("lower critic_rate or set critic_augmentation")
                raise TrainingStopped(f"the discriminator of {name} has had no loss for {steps} steps. {advice}")

    def _estimate(self, phase: Phase, seconds: float) -> None:
        """Say once how long the run takes, when its first steps are known."""
        if self._costs:
            self.journal.say(whole_time(self.schedule, self._costs, phase, seconds))
            self._costs = {}

    def _validate(self, done: int) -> bool:
        """Write how the run does on held-out samples; return whether it never did better."""
        self.model.estimate_statistics([ct.to(self.fabric.device) for ct in self._calibration])
        found = validate(self.model, self._held)
        self.journal.write(done, "validation", found, {})
        return self.tally.better(value_of(found, self.config.loop.best))

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
            self.config.loop.keep, self.fabric.global_rank, self._any,
        )  # fmt: skip

    def _to_stop(self, asked: bool) -> bool:
        """Whether any process was asked to stop: all stop at the same step.

        Others hear of it with the gradients; what came with those of the step before is read, which waits for no GPU.
        """
        if self.fabric.world_size == 1:
            return asked
        heard, self._asked = self._asked, self.mean.asked.clone()
        self.mean.asked.fill_(float(asked))
        return bool(heard > 0)

    def _any(self, failed: bool) -> bool:
        """Whether it is so in any process."""
        if self.fabric.world_size > 1:
            total = torch.tensor(float(failed), device=self.fabric.device)
            distributed.all_reduce(total)
            return bool(total > 0)
        return failed


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

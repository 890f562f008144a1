# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The log of a run: stats.jsonl, TensorBoard scalars, panels, and a line on the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

STATS = "stats.jsonl"
SHOWN = 5  # losses beside the bar; without a terminal all are printed


class Journal:
    """Writes for one process; for the others it is silent.

    Args:
        folder: of the run.
        steps: of the whole run.
        first: step to resume from; later entries of an interrupted run are dropped.
        active: whether this process writes.
        console: the terminal.
        logger: takes the losses too, by `log_metrics`.
    """

    def __init__(
        self, folder: Path, steps: int, first: int, active: bool = True, console: Console | None = None,
        logger: Any = None,
    ) -> None:  # fmt: skip
        self._logger = logger
        self._folder, self._active = folder, active
        self._console = console or Console(stderr=True)
        if not active:
            return
        _cut(folder / STATS, first)
        self._stats = (folder / STATS).open("a")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False, compact=False),
            TextColumn("{task.fields[losses]}"), console=self._console,
            disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task("start", total=steps, completed=first, losses="")
        self._progress.start()

    def advance(self, step: int, phase: str) -> None:
        """Say that `step` steps are done."""
        if self._active:
            self._progress.update(self._task, completed=step, description=phase)

    def write(self, step: int, phase: str, losses: dict[str, float], extra: dict[str, Any]) -> None:
        """Write mean losses since the last entry."""
        if not self._active:
            return
        self._stats.write(json.dumps({"step": step, "phase": phase, "losses": losses, **extra}) + "\n")
        self._stats.flush()
        for name, value in losses.items():
            self._board.add_scalar(f"{phase}/{name}", value, step)
        if self._logger is not None:
            self._logger.log_metrics({f"{phase}/{name}": value for name, value in losses.items()}, step)
        shown = [f"{name} {value:.3f}" for name, value in losses.items()]
        self._progress.update(self._task, losses=" ".join(shown[:SHOWN]))
        if not self._console.is_terminal:
            self._console.print(f"{phase} {step} {' '.join(shown)}", highlight=False, soft_wrap=True)

    def picture(self, step: int, picture: NDArray[np.uint8]) -> None:
        """Write a panel."""
        if not self._active:
            return
        self._board.add_image("panel", picture, step, dataformats="HWC")
        (self._folder / "panels").mkdir(exist_ok=True)
        Image.fromarray(picture).save(self._folder / "panels" / f"step_{step:07d}.png")

    def say(self, text: str) -> None:
        """Print a line above the progress."""
        if self._active:
            self._console.print(text, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Finish all files."""
        if self._active:
            self._progress.stop()
            self._stats.close()
            self._board.close()
            if self._logger is not None:
                self._logger.finalize("success")


def read_stats(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of a run's stats.jsonl."""
    return [json.loads(line) for line in (folder / STATS).read_text().splitlines()]


def _cut(file: Path, first: int) -> None:
    """Drop entries after a step, and a line that was cut off."""
    if not file.exists():
        return
    kept = []
    for line in file.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= first:
                kept.append(line)
        except json.JSONDecodeError:
            continue
    file.write_text("".join(f"{line}\n" for line in kept))

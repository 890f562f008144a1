# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Runs side by side: one after the other, each in a process of its own, and what held-out samples say of each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scyclegan_train.run.checkpoint import checkpoints
from scyclegan_train.run.journal import STATS, read_stats
from us_sim.core.errors import UsSimError

VALIDATION = "validation"


class TrialError(UsSimError, RuntimeError):
    """A run ended with an error; its last line is in the message."""


@dataclass(frozen=True)
class Trial:
    """A run to be trained.

    Attributes:
        folder: of the run.
        config: YAML file or the name of a shipped one.
        changes: `section.name=value` each.
    """

    folder: Path
    config: str
    changes: tuple[str, ...] = ()


def trained(trial: Trial, best: str) -> dict[str, float]:
    """Train a run, go on with one that was stopped, or leave a finished one; return its losses where `best` is least.

    Raises:
        TrialError: it ended with an error, or validated nothing.
        KeyboardInterrupt: it was stopped by Ctrl-C, as this process was.
    """
    started = bool(checkpoints(trial.folder / "checkpoints"))
    what = ["--resume", str(trial.folder)] if started else ["--config", trial.config, "--out", str(trial.folder)]
    changes = [] if started else [word for change in trial.changes for word in ("--set", change)]
    command = [sys.executable, "-m", "scyclegan_train", "train", *what, *changes]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TrialError(f"{trial.folder}: {last}")
    return best_entry(trial.folder, best)


def best_entry(folder: Path, best: str) -> dict[str, float]:
    """The losses of the validation at which one of them was least.

    Raises:
        TrialError: the run validated nothing, or has no loss of that name.
    """
    entries = [e["losses"] for e in read_stats(folder) if e["phase"] == VALIDATION] if (folder / STATS).exists() else []
    if not entries:
        raise TrialError(f"{folder}: holds no validation; set loop.validate_every above 0")
    if best not in entries[0]:
        raise TrialError(f"{folder}: has no {best!r}; expected one of {', '.join(entries[0])}")
    return dict(min(entries, key=lambda losses: losses[best]))


def fold_changes(sources: int, fold: int, folds: int) -> list[str]:
    """What gives the prepared CT of a configuration with one source its fold."""
    return [f"data.ct.{place}.fold=[{fold}, {folds}]" for place in range(sources)] if folds else []


def table(found: Mapping[str, Sequence[Mapping[str, float]]], rows: Mapping[str, Mapping[str, str]]) -> str:
    """Markdown: a row a loss, a column a method; `rows` holds the cells by loss and method."""
    methods = list(found)
    lines = [f"| held-out loss | {' | '.join(methods)} |", f"|---{'|---' * len(methods)}|"]
    lines += [f"| {name} | {' | '.join(cells.get(m, '') for m in methods)} |" for name, cells in rows.items()]
    return "\n".join(lines)

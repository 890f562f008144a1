# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""`scyclegan_train sweep`: values of a configuration searched by Optuna for the least loss on held-out samples."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from scyclegan_train.config_file import load_config
from scyclegan_train.run.trials import Trial, TrialError, trained
from us_sim.core.command import as_command, given_path
from us_sim.core.errors import ConfigError

JOURNAL = "study.log"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(prog="scyclegan_train sweep", description=__doc__)
    found.add_argument("--config", required=True, help="YAML file, or a shipped one; loop.validate_every above 0")
    found.add_argument("--vary", action="append", required=True, metavar="SECTION.NAME=LOW:HIGH[:log]",
                       help="a number between two others; or =A,B,C, one of these; may be repeated")  # fmt: skip
    found.add_argument("--trials", type=int, default=20, help="runs in all (%(default)s)")
    found.add_argument("--best", default="cycle_ct", help="loss to make least (%(default)s)")
    found.add_argument("--seed", type=int, default=0, help="of the search (%(default)s)")
    found.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE", help="for all runs")
    found.add_argument("--out", type=given_path, required=True, help="folder of the runs and the study")
    return found


@as_command("scyclegan_train sweep")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; started again, it goes on."""
    given = parser().parse_args(arguments)
    study = _study(given)
    study.optimize(lambda trial: _value(trial, given), n_trials=max(0, given.trials - len(study.trials)),
                   catch=(TrialError,))  # fmt: skip
    done = [trial for trial in study.trials if trial.value is not None]
    if not done:
        raise ConfigError(f"{given.out}: no run came to its end; see the messages above")
    changes = " ".join(f"--set {name}={value}" for name, value in study.best_params.items())
    print(f"least {given.best} {study.best_value:.4g} by {changes}")
    return 0


def suggested(trial: Any, rule: str) -> str:
    """Draw one value; return `section.name=value`.

    Raises:
        ConfigError: a rule of another form.
    """
    name, found, values = rule.partition("=")
    bounds = values.split(":")
    try:
        if found and len(bounds) in (2, 3) and bounds[2:] in ([], ["log"]):
            low, high = map(float, bounds[:2])
            return f"{name}={trial.suggest_float(name, low, high, log=len(bounds) == 3)!r}"
        if found and "," in values:
            return f"{name}={trial.suggest_categorical(name, values.split(','))}"
    except ValueError as error:
        raise ConfigError(f"--vary {rule}: {error}") from error
    raise ConfigError(f"--vary {rule}: expected SECTION.NAME=LOW:HIGH, LOW:HIGH:log or A,B,C")


def _study(given: argparse.Namespace) -> Any:
    load_config(given.config, given.set)
    try:
        optuna = import_module("optuna")
    except ImportError as error:
        raise ConfigError("a sweep needs Optuna; install the extra: pip install 'us_sim[sweep]'") from error
    given.out.mkdir(parents=True, exist_ok=True)
    backend = import_module("optuna.storages.journal").JournalFileBackend(str(given.out / JOURNAL))
    storage = optuna.storages.JournalStorage(backend)
    sampler = optuna.samplers.TPESampler(seed=given.seed)
    return optuna.create_study(storage=storage, sampler=sampler, study_name="sweep", load_if_exists=True)


def _value(trial: Any, given: argparse.Namespace) -> float:
    changes = [*given.set, f"loop.best={given.best}", *(suggested(trial, rule) for rule in given.vary)]
    return trained(Trial(given.out / f"trial_{trial.number:04d}", given.config, tuple(changes)), given.best)[given.best]


if __name__ == "__main__":
    raise SystemExit(main())

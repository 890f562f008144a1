# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""`scyclegan_train compare`: methods by seeds by folds, trained on the same data; a table with 95 % intervals."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import product

from scyclegan_train.config_file import load_config
from scyclegan_train.evaluation.intervals import clustered
from scyclegan_train.run.trials import Trial, fold_changes, table, trained
from us_sim.core.command import as_command, given_path
from us_sim.core.errors import ConfigError
from us_sim.core.files import atomic_write

TABLE, NUMBERS = "comparison.md", "comparison.json"
Found = dict[str, list[dict[str, float]]]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(prog="scyclegan_train compare", description=__doc__)
    found.add_argument("--method", action="append", required=True, metavar="NAME=CONFIG", help="may be repeated")
    found.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of each run; default 0 1 2")
    found.add_argument("--folds", type=int, default=0, help="of the patients of prepared CT; 0: its own splits")
    found.add_argument("--best", default="cycle_ct", help="loss whose least value chooses the validation (%(default)s)")
    found.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE", help="for all methods")
    found.add_argument("--out", type=given_path, required=True, help="folder of the runs and the table")
    return found


@as_command("scyclegan_train compare")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; started again, it goes on."""
    given = parser().parse_args(arguments)
    methods = dict(_method(text) for text in given.method)
    found = {name: _runs(name, config, given) for name, config in methods.items()}
    _write(found, given)
    print(given.out / TABLE)
    return 0


def cells(found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, str]]:
    """Mean and interval over runs of each loss and method; a loss that a method has not is left empty."""
    losses = dict.fromkeys(name for runs in found.values() for run in runs for name in run)
    rows: dict[str, dict[str, str]] = {loss: {} for loss in losses}
    for method, runs in found.items():
        for loss in losses:
            values = [run[loss] for run in runs if loss in run]
            if values:
                interval = clustered(values, [str(i) for i in range(len(values))])
                rows[loss][method] = f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    return rows


def _runs(name: str, config: str, given: argparse.Namespace) -> list[dict[str, float]]:
    found = []
    for seed, fold in product(given.seeds, range(1, given.folds + 1) if given.folds else [0]):
        changes = [*given.set, f"loop.seed={seed}", f"loop.best={given.best}"]
        sources = len(load_config(config, given.set).data.ct)
        changes += fold_changes(sources, fold, given.folds)
        folder = given.out / "runs" / f"{name}-{seed}{f'-{fold}' if fold else ''}"
        print(f"{folder.name}: training", flush=True)
        found.append(trained(Trial(folder, config, tuple(changes)), given.best))
    return found


def _write(found: Found, given: argparse.Namespace) -> None:
    folds = f", {given.folds} folds" if given.folds else ""
    title = (
        f"Mean over runs (seeds {', '.join(map(str, given.seeds))}{folds}) with the 95 % interval, least {given.best}."
    )
    for name, text in ((TABLE, f"{title}\n\n{table(found, cells(found))}\n"), (NUMBERS, json.dumps(found, indent=1))):
        with atomic_write(given.out / name) as partial:
            partial.write_text(text)


def _method(text: str) -> tuple[str, str]:
    name, found, config = text.partition("=")
    if not found or not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"--method {text}: expected NAME=CONFIG, such as paper=paper.yaml")
    load_config(config)
    return name, config


if __name__ == "__main__":
    raise SystemExit(main())

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""`scyclegan_train prepare`: CT scans with labels in, slices on a run's grid out."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from scyclegan_train.config import PLACES
from scyclegan_train.config_file import load_config
from scyclegan_train.data.cases import CtCase, find_cases, read_list, shard_of
from scyclegan_train.data.cutting import Cut, drawn_cases, prepare_case
from scyclegan_train.data.faults import DataError, Faults
from scyclegan_train.data.slices import about_slices, write_recipe
from us_sim.core.command import as_command, given_path
from us_sim.core.compute.cluster import spread

Done = tuple[CtCase, str, tuple[str, ...]]  # a case, its error, and notes from loading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("images", type=Path, nargs="?", help="folder with Case_NNNNN_0000.nii.gz")
    parser.add_argument("--labels", type=Path, help="folder with Case_NNNNN.nii.gz; by default that of the images")
    parser.add_argument("--list", type=Path, help="CSV file with columns ct, labels[, patient, split] instead")
    parser.add_argument("--label-scheme", help="label scheme; detected by default")
    parser.add_argument("--labels-map", type=Path, help="YAML file with label values or names and their classes")
    parser.add_argument("--out", type=given_path, required=True, help="folder of the slices")
    parser.add_argument("--config", default="paper.yaml", help="run whose grid, fan and `prepare` the slices are for")
    parser.add_argument("--poses", choices=PLACES, help="planes of the slices; default from the config")
    parser.add_argument("--slices", type=_at_least_one, help="slices per scan; default from the config")
    parser.add_argument("--scans", type=_at_least_one, help="maximum per split, drawn by seed")
    parser.add_argument("--seed", type=int, default=0, help="of poses and splits (%(default)s)")
    parser.add_argument("--shard", default="1/1", help="part i/n of the scans, for several machines")
    parser.add_argument("--workers", type=_at_least_one, default=1, help="processes on this machine (%(default)s)")
    parser.add_argument("--scheduler", default="", metavar="tcp://HOST:PORT", help="of a Dask cluster that does it")
    parser.add_argument("--strict", action="store_true", help="stop at the first file that cannot be used")


def run(options: argparse.Namespace) -> None:
    """Prepare all scans of a shard; those done before are kept.

    Raises:
        DataError: nothing that can be used, another recipe in the folder, or a fault while strict.
    """
    faults = Faults(options.strict)
    config = load_config(options.config)
    cut = Cut(config.generator.card(), options.poses or config.prepare.poses, options.slices or config.prepare.slices,
              options.seed, options.out, options.label_scheme, options.labels_map,
              config.prepare.whole_slice)  # fmt: skip
    if (options.images is None) == (options.list is None):
        raise DataError("give either a folder of images or --list")
    cases = (
        read_list(options.list, options.seed, faults)
        if options.list is not None
        else find_cases(options.images, options.labels, options.seed, faults)
    )
    write_recipe(cut.out, cut.recipe)
    if not cases:
        faults.report(Console(stderr=True))
        raise DataError(f"{options.images or options.list}: no scan can be used, for the reasons above; label maps in "
                        "another folder are given by --labels")  # fmt: skip
    mine = shard_of(drawn_cases(cases, options.scans or config.prepare.scans, cut.seed), options.shard)
    todo = [case for case in mine if not _is_done(options.out / f"{case.name}.safetensors")]
    console = Console(stderr=True)
    console.print(f"{len(mine)} scans, {len(mine) - len(todo)} of them done before")
    usable = len(mine)
    for case, reason in _progress(console, _prepared(todo, cut, options.workers, options.scheduler), len(todo)):
        if reason:
            faults.add(case.ct, reason)
            usable -= 1
    faults.report(console)
    if mine and not usable:
        raise DataError("no scan can be used, for the reasons above")


@as_command("scyclegan_train prepare")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for what the user can mend."""
    parser = argparse.ArgumentParser(prog="scyclegan_train prepare", description=__doc__)
    add_arguments(parser)
    run(parser.parse_args(arguments))
    return 0


def _prepared(cases: Sequence[CtCase], cut: Cut, workers: int, scheduler: str) -> Iterator[Done]:
    """Each case when it is done, with its error and notes."""
    prepared = partial(prepare_case, cut=cut)
    if workers == 1 and not scheduler:
        yield from ((case, *prepared(case)) for case in cases)
    else:
        yield from ((case, *made) for case, made in spread(prepared, cases, workers, scheduler))


def _progress(console: Console, done: Iterator[Done], total: int) -> Iterator[tuple[CtCase, str]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("scans", total=total)
        for case, reason, notes in done:
            for line in notes:
                console.print(f"{case.name}: {line}", markup=False, highlight=False)
            bar.update(task, advance=1, description=case.name)
            yield case, reason


def _is_done(path: Path) -> bool:
    try:
        about_slices(path)
    except DataError:
        return False
    return True


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value

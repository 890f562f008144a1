# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""`scyclegan_train synthesise`: training images by a generator, CT to ultrasound with masks; or ultrasound to CT."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

from scyclegan_train.config_file import load_config
from scyclegan_train.data.cases import CtCase, find_cases
from scyclegan_train.data.cutting import Cut, drawn_cases, prepare_case
from scyclegan_train.data.faults import DataError, Faults
from scyclegan_train.data.inputs import known_fan
from scyclegan_train.data.slices import RECIPE, write_recipe
from scyclegan_train.run.reverse_synthesis import Reverse, open_frames, synthesise_ct
from scyclegan_train.run.synthesis import Synthesis, begin, cases_left, fan_of_frames, synthesise
from us_sim.core.command import as_command, given_path
from us_sim.core.compute.cluster import spread
from us_sim.core.errors import ConfigError
from us_sim.core.generator.artifact import load_network, read_card
from us_sim.core.generator.card import Card


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(prog="scyclegan_train synthesise", description=__doc__)
    found.add_argument("generator", type=Path, help="artifact of G_ct2us, or of G_us2ct for the other direction")
    found.add_argument("data", type=Path, help="folder of prepare, of CT scans, or for the other direction of frames")
    found.add_argument("--out", type=given_path, required=True, help="folder of images, masks and cards")
    found.add_argument("--labels", type=Path, help="folder of the scans' label maps; by default that of the scans")
    found.add_argument("--config", default="paper.yaml", help="whose `prepare` says which slices are cut of CT scans")
    found.add_argument("--seed", type=int, default=0, help="of splits and slices (%(default)s)")
    found.add_argument("--masks", type=Path, help="folder of the frames' masks, by name")
    found.add_argument("--segmenter", type=Path, help="artifact of S_us, for frames without masks")
    found.add_argument("--fit", default="lines", choices=("lines", "whole"), help="as the key `fit` of a source")
    found.add_argument("--batch", type=int, default=16, help="images drawn at once (%(default)s)")
    found.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(%(default)s)")
    found.add_argument("--workers", type=int, default=1, help="processes on this machine (%(default)s)")
    found.add_argument("--scheduler", default="", metavar="tcp://HOST:PORT", help="of a Dask cluster that does it")
    return found


@as_command("scyclegan_train synthesise")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for what the user can mend."""
    given = parser().parse_args(arguments)
    if min(given.batch, given.workers) < 1:
        raise ConfigError("expected --batch and --workers of 1 or more")
    count = _frames(given) if read_card(given.generator).kind == "us2ct" else _from_ct(given)
    print(f"{count} new images in {given.out}")
    return 0


def _frames(given: argparse.Namespace) -> int:
    _, card, digest = load_network(given.generator, "us2ct")
    begin(given.out, {"generator": {"name": given.generator.stem, "sha256": digest}, "direction": "us to ct"})
    frames = open_frames(given.data, card, known_fan(given.data), given.masks, given.fit == "whole")
    frames.faults.report()
    return synthesise_ct(frames, Reverse(given.generator, given.segmenter, given.device), given.out / "ct", given.batch)


def _from_ct(given: argparse.Namespace) -> int:
    card = load_network(given.generator, "generator")[1]
    slices = given.data if (given.data / RECIPE).is_file() else _slices(given, card)
    what = Synthesis(given.generator, slices, given.out, given.batch, given.device)
    begin(given.out, what.card, fan_of_frames(card))
    left = cases_left(what)
    console = Console(stderr=True)
    made = _each(partial(synthesise, what=what), left, given.workers, given.scheduler)
    return sum(count for _, count in track(made, "drawing", len(left), console=console))


def _slices(given: argparse.Namespace, card: Card) -> Path:
    """Cut the slices of CT scans beside the images."""
    faults, config, console = Faults(), load_config(given.config).prepare, Console(stderr=True)
    out: Path = given.out / "slices"
    cases = drawn_cases(find_cases(given.data, given.labels, given.seed, faults), config.scans, given.seed)
    cut = Cut(card, config.poses, config.slices, given.seed, out, whole_slice=config.whole_slice)
    write_recipe(out, cut.recipe)
    left = [case for case in cases if not (out / f"{case.name}.safetensors").exists()]
    made = _each(partial(prepare_case, cut=cut), left, given.workers, given.scheduler)
    for case, (reason, _) in track(made, "cutting", len(left), console=console):
        if reason:
            faults.add(case.ct, reason)
    faults.report(console)
    if not any(out.glob("*.safetensors")):
        raise DataError(f"{given.data}: no scan can be used, for the reasons above")
    return out


def _each(work, items: Sequence[Path] | Sequence[CtCase], workers: int, scheduler: str) -> Iterator[tuple]:  # type: ignore[no-untyped-def]
    """Each item with what was made of it: here, or by processes."""
    if workers == 1 and not scheduler:
        yield from ((item, work(item)) for item in items)
    else:
        yield from spread(work, items, workers, scheduler)


if __name__ == "__main__":
    raise SystemExit(main())

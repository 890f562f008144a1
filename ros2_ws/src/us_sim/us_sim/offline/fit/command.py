# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Command `us_sim_fit`: a folder of frames of a scanner in, a scanner preset out."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from us_sim.core.command import as_command, given_path
from us_sim.core.errors import ConfigError
from us_sim.core.files import atomic_write, check_replaceable
from us_sim.core.geometry.fans import read_fan
from us_sim.core.physics.scanner_file import ScannerPreset, save_scanner, tissues_of
from us_sim.core.tissue import TISSUES
from us_sim.offline.fit.fitting import EVALUATIONS, FIRST, LAST, NOISES, Fit, fit
from us_sim.offline.fit.frames import FEW, Scanned, read_frames
from us_sim.offline.fit.knobs import SPANS, WALL, Guess
from us_sim.offline.fit.report import picture, verdict, written
from us_sim.offline.fit.scenes import FORMED, scenes_of
from us_sim.offline.sheet import save_png

MARK = "us_sim_fit"  # in all that the command writes, so that it replaces nothing else
PHANTOMS, UNSEEN = (0, 1), (2, 3)  # seeds of the anatomy for fitting and for validation


@as_command("us_sim_fit")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        _run(options, console)
    except KeyboardInterrupt:
        print("us_sim_fit: interrupted; the same command resumes where it stopped", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace, console: Console) -> None:
    out: Path = options.out
    if out.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out is {out}; expected a file that ends in .yaml")
    image, report = out.with_suffix(".png"), out.with_suffix(".md")
    check_replaceable((out, image, report), MARK, ConfigError)
    with console.status("reading the frames"):
        fan = read_fan(options.fan) if options.fan else None
        scanned = read_frames(options.frames, fan, options.radius, options.depth)
    for note in scanned.notes:
        console.print(f"us_sim_fit: {note}", soft_wrap=True, highlight=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    with console.status("building the phantoms"):
        scenes, unseen = (scenes_of(scanned.probe, scanned.pixel, seeds, options.seed) for seeds in (PHANTOMS, UNSEEN))
    journal = out.with_suffix(".journal")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("fitting", total=EVALUATIONS)

        def advanced(count: int, least: float) -> None:
            progress.update(task, completed=count, description=f"fitting, loss {least:.2f}")

        found = fit(scanned, scenes, unseen, journal, _key(scanned, options.seed), advanced)
        progress.update(task, completed=EVALUATIONS)
    remarks = f"{verdict(found)}\nwritten by {MARK}"
    save_scanner(preset_of(found.guess, scanned, out.stem, options.source), out, remarks)
    save_png(picture(found, scanned, unseen), image, MARK)
    with atomic_write(report) as partial:
        partial.write_text(f"{written(found, scanned, image.name)}\nWritten by {MARK}.\n")
    journal.unlink()
    _tell(console, found, out)


def preset_of(guess: Guess, scanned: Scanned, name: str, source: str) -> ScannerPreset:
    """Return the scanner to write: grids as usual, the probe of the frames, the depth that most of them have."""
    depth = max(set(scanned.depths), key=scanned.depths.count)
    probe = replace(scanned.probe, depth=round(depth, 1), scan_lines=FORMED[0], samples=FORMED[1])
    louder = {one.name.lower(): {"backscatter": round(TISSUES[one].backscatter + guess.wall, 2)} for one in WALL}
    return ScannerPreset(name, source, probe, guess.settings, guess.scanner, tissues_of(louder))


def _key(scanned: Scanned, seed: int) -> str:
    """What a journal belongs to."""
    digest = hashlib.sha256(scanned.grey.numpy().tobytes())
    digest.update(repr((scanned.probe, scanned.pixel, seed, SPANS, NOISES.tolist(), FIRST, LAST)).encode())
    return digest.hexdigest()


def _tell(console: Console, found: Fit, out: Path) -> None:
    console.print(f"{verdict(found)}\n{out}, {out.with_suffix('.md').name}, {out.with_suffix('.png').name}; use it as "
                  f"scanner:={out} renderer:=physics", soft_wrap=True, highlight=False)  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="us_sim_fit",
        description="Fit the physics renderer to frames of a scanner: writes a preset, a report and a figure.",
    )
    parser.add_argument("frames", type=Path, help=f"folder of B-mode frames of a convex probe, {FEW} or more")
    parser.add_argument("--out", type=given_path, required=True, metavar="FILE", help="scanner preset to write, .yaml")
    parser.add_argument("--radius", type=float, help="radius of curvature of the probe, mm (60)")
    parser.add_argument("--depth", type=float, help="imaging depth of all frames, mm, instead of the radius")
    parser.add_argument("--fan", type=Path, metavar="JSON", help="the fan in the frames' pixels, where it is not found")
    parser.add_argument("--source", default="", help="where the frames come from and their licence, for the file")
    parser.add_argument("--seed", type=int, default=0, help="of scatterers and noise (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

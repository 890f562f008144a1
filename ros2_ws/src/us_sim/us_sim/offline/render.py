# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Command `us_sim_render`: the simulator without ROS, poses in; PNGs, a dataset or a film out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import Field, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from us_sim.core.assembly import base_probe, open_simulator, started
from us_sim.core.command import as_command, given_path
from us_sim.core.compute.cluster import spread
from us_sim.core.config import ImageSettings, SimConfig
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.errors import ConfigError, RecordingError
from us_sim.core.faults import FaultSettings
from us_sim.core.files import check_replaceable
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.robot.motion import MOTIONS, motion
from us_sim.offline.dataset import SHARD, SUMS, Dataset, card_of
from us_sim.offline.film import check_film, write_film
from us_sim.offline.replay import Replay, Shot
from us_sim.offline.sheet import MARK, contact_sheet, pictures, save_png
from us_sim.poses.trajectory import paced, read_trajectory

COUNT = 12  # frames of a motion; of a film, as many as a round of ROUND s has
ROUND = 12.0  # s
KINDS, SHEET = ("image", "slice", "labels"), "sheet.png"
CONFIGS: tuple[type[Any], ...] = (SimConfig, ImageSettings, MechanicsSettings, FaultSettings)


@as_command("us_sim_render")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = vars(_parser().parse_args(argv))
    console = Console(stderr=True)
    try:
        _check(options)
        _render(options, console)
    except KeyboardInterrupt:
        again = "; the same command resumes where it stopped" if options["batch"] else ""
        print(f"us_sim_render: interrupted{again}", file=sys.stderr)
        return 130
    return 0


def _check(options: dict[str, Any]) -> None:
    """Raise ConfigError for options that do not go together, before anything is loaded."""
    out, film, batch = options["out"], options["film"], options["batch"]
    if out is None and film is None:
        raise ConfigError("no output; expected --out DIR for pictures or a dataset, or --film FILE")
    if out is None and options["sheet"]:
        raise ConfigError("--sheet is written to a folder; expected --out DIR with it")
    if out is not None and out.is_file():
        raise ConfigError(f"--out is {out}, a file; expected a folder")
    if film is not None:
        check_film(film)
    if options["count"] is not None and options["count"] < 1:
        raise ConfigError(f"count is {options['count']}; expected 1 or more")
    if batch is None:
        return
    if options["workers"] < 1:
        raise ConfigError(f"workers is {options['workers']}; expected 1 or more")
    if out is None or film is not None or options["sheet"]:
        raise ConfigError("--batch writes a dataset; expected --out DIR with it, and neither --film nor --sheet")
    if not 1 <= batch <= SHARD:
        raise ConfigError(f"batch is {batch}; expected 1 to {SHARD}")


def _render(options: dict[str, Any], console: Console) -> None:
    replay = _replay(options, console)
    if options["batch"]:
        _dataset(replay, options, console)
    else:
        _pictures_and_film(replay, options, console)


def _replay(options: dict[str, Any], console: Console) -> Replay:
    config, settings, mechanics, faults = (_settings(config, options) for config in CONFIGS)
    given = None
    if options["poses"]:
        given = read_trajectory(
            options["poses"], rate=options["rate"], topic=options["topic"], ct_frame=options["ct_frame"]
        )
    with console.status("opening the patient"):
        simulator = open_simulator(config, started(config, settings), base_probe(config), mechanics)
    patient = simulator.patient
    for line in filter(None, (patient.origin, *patient.labelling, *patient.warnings)):
        _say(console, f"{patient.name}: {line}")
    for line in simulator.probe.warnings:
        _say(console, line)
    if given is None:
        usual = round(ROUND * options["rate"]) if options["film"] else COUNT
        count = usual if options["count"] is None else options["count"]
        trajectory = paced(motion(options["motion"], patient, count), options["rate"])
    else:
        trajectory = given.spread(options["count"])
    return Replay(simulator, trajectory, faults, lambda text: _say(console, text))


def _dataset(replay: Replay, options: dict[str, Any], console: Console) -> None:
    out = options["out"]
    dataset = _opened(replay, options)
    there = len(replay.trajectory) - sum(map(len, dataset.missing()))
    if dataset.damaged:
        _say(console, f"made again, as their checksum is not in {SUMS} or another: {', '.join(dataset.damaged[:10])}")
    if there:
        _say(console, f"{there} of {len(replay.trajectory)} poses are done already")
    with _progress(console) as progress:
        task = progress.add_task("rendering", total=len(replay.trajectory), completed=there)
        for done in _filled(dataset, replay, options):
            progress.advance(task, done)
    _say(console, f"{len(replay.trajectory)} poses in {out}")


def _opened(replay: Replay, options: dict[str, Any]) -> Dataset:
    source = {"file": options["poses"].name} if options["poses"] else {"motion": options["motion"]}
    return Dataset(options["out"], card_of(replay, source, ct_slice=options["ct_slice"]))


def _filled(dataset: Dataset, replay: Replay, options: dict[str, Any]) -> Iterator[int]:
    """How many poses are done with each step: here, or a shard at a time by the workers of a cluster."""
    if options["workers"] == 1 and not options["scheduler"]:
        yield from dataset.fill(replay, options["batch"], ct_slice=options["ct_slice"])
        return
    dataset.sweep()
    work = partial(_shard, tuple(sorted(options.items())))
    for shard, _ in spread(work, dataset.missing(), options["workers"], options["scheduler"]):
        dataset.note(dataset.file(shard))
        yield len(shard)


def _shard(options: tuple[tuple[str, Any], ...], shard: range) -> None:
    """Fill one shard, in a worker that keeps its simulator for the next."""
    dataset, replay = _kept(options)
    for _ in dataset.fill(replay, dict(options)["batch"], ct_slice=dict(options)["ct_slice"], shards=[shard]):
        pass


@lru_cache(maxsize=1)
def _kept(options: tuple[tuple[str, Any], ...]) -> tuple[Dataset, Replay]:
    replay = _replay(dict(options), Console(stderr=True))
    return _opened(replay, dict(options)), replay


def _pictures_and_film(replay: Replay, options: dict[str, Any], console: Console) -> None:
    trajectory, probe, out = replay.trajectory, replay.simulator.probe, options["out"]
    source = options["poses"].name if options["poses"] else options["motion"]
    kept: list[Shot] = []
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        names = [_name(kind, number) for number in range(len(trajectory)) for kind in KINDS]
        check_replaceable((out / name for name in [*names, SHEET]), MARK, RecordingError)

    def shots() -> Iterator[Shot]:
        with _progress(console) as progress:
            task = progress.add_task("rendering", total=len(trajectory))
            for shot in replay.shots(0, len(trajectory)):
                progress.update(task, completed=shot.number + 1)
                if out is not None:
                    _write(shot, probe, out)
                if options["sheet"]:
                    kept.append(shot)
                yield shot

    if options["film"]:
        forces = [max(0.0, -float(replay.wrench(number).force[2])) for number in range(len(trajectory))]
        title = f"{replay.simulator.patient.name}, {source}: {replay.simulator.renderer}"
        count = write_film(options["film"], shots(), trajectory.stamps.tolist(), forces, probe, title)
        _say(console, f"{count} pictures in {options['film']}")
    else:
        for _ in shots():
            pass
    if options["sheet"]:
        title = f"{replay.simulator.patient.name}, {source}: {replay.simulator.renderer}, CT, labels"
        save_png(contact_sheet([shot.frame for shot in kept], probe, title), out / SHEET)
    if out is not None:
        _say(console, f"{len(trajectory)} frames in {out}")


def _write(shot: Shot, probe: ProbeGeometry, out: Path) -> None:
    """Write the three pictures of a frame; the PNGs' resolution carries the size of their pixels."""
    dx, dz = probe.pixel_spacing
    for kind, picture in zip(KINDS, pictures(shot.frame, probe), strict=True):
        save_png(picture, out / _name(kind, shot.number), dpi=(25.4 / dx, 25.4 / dz))


def _name(kind: str, number: int) -> str:
    return f"{kind}_{number:03d}.png"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False)


def _progress(console: Console) -> Progress:
    """How far it is, and how long it takes."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, TextColumn("left:"), TimeRemainingColumn(), console=console)


# -- command line ---------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="us_sim_render",
        description="Render B-mode ultrasound, CT slice and labels of a patient along a motion or given poses: as "
        "pictures, as a dataset, as a film.",
    )
    paths = parser.add_mutually_exclusive_group()
    paths.add_argument("--motion", default="liver_sweep", choices=tuple(MOTIONS), help="(%(default)s)")
    paths.add_argument(
        "--poses",
        type=Path,
        metavar="FILE",
        help="recorded poses: MCAP, rosbag2 folder, or CSV of ct_from_probe, one pose per line: 16 numbers, row-major, "
        "mm; or x y z in mm and qx qy qz qw",
    )
    parser.add_argument("--topic", default="", help="of the poses in a recording (the only one)")
    parser.add_argument("--ct-frame", default="ct", help="frame_id of the patient in a recording (%(default)s)")
    parser.add_argument(
        "--rate",
        type=_rate,
        default=30.0,
        help="poses per second of a motion or CSV, without stamps (%(default)g)",
    )
    parser.add_argument(
        "--count",
        type=int,
        help=f"frames, evenly spread (all poses of a file; {COUNT} of a motion, {ROUND:g} s of it for a film)",
    )
    parser.add_argument(
        "--out", type=given_path, metavar="DIR", help="folder for the PNGs or the dataset; made if missing"
    )
    parser.add_argument("--sheet", action="store_true", help="write sheet.png, all frames with slice and labels")
    parser.add_argument(
        "--film", type=given_path, metavar="FILE", help="write a film with the force over time: .mp4 or .gif"
    )
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="write a dataset of .npz instead of PNGs, rendering N poses at once; a restart resumes",
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that fill the dataset (%(default)s)")
    parser.add_argument("--scheduler", default="", metavar="tcp://HOST:PORT", help="of a Dask cluster that fills it")
    parser.add_argument("--ct-slice", action="store_true", help="the dataset holds the HU of the CT slice as well")
    for config in CONFIGS:
        for item in fields(config):
            _add_setting(parser, item)
    return parser


def _add_setting(parser: argparse.ArgumentParser, item: Field[Any]) -> None:
    rule, name = item.metadata, f"--{item.name.replace('_', '-')}"
    span = "" if rule["low"] is None else f", {rule['low']:.10g} to {rule['high']:.10g}"
    text = f"{rule['description']}{span} ({item.default if item.default != '' else 'empty'})"
    if isinstance(item.default, bool):
        parser.add_argument(name, action=argparse.BooleanOptionalAction, default=item.default, help=text)
    else:
        kind, choices = type(item.default), rule["choices"] or None
        parser.add_argument(name, type=kind, default=item.default, choices=choices, help=text)


def _rate(text: str) -> float:
    rate = float(text)
    if not 0.1 <= rate <= 1000:
        raise argparse.ArgumentTypeError(f"{text}; expected 0.1 to 1000 poses a second")
    return rate


def _settings(config: type[Any], options: dict[str, Any]) -> Any:
    return config(**{item.name: options[item.name] for item in fields(config)})


if __name__ == "__main__":
    sys.exit(main())

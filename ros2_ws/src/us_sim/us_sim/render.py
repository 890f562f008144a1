"""Command `us_sim_render`: the simulator without ROS, poses in, PNGs and a contact sheet out."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from us_sim.core.assembly import open_simulator
from us_sim.core.config import ImageSettings, SimConfig
from us_sim.core.errors import DeviceError, PoseError, UsSimError
from us_sim.core.motion import MOTIONS, motion
from us_sim.core.probe_file import load_probe
from us_sim.core.simulator import Frame, Simulator
from us_sim.core.transforms import Matrix, check_pose, rigid, rotation_from_quaternion
from us_sim.sheet import contact_sheet, pictures

COUNT = 12


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 after one line that says what was wrong."""
    options = vars(_parser().parse_args(argv))
    console = Console(stderr=True)
    try:
        _render(options, console)
    except (UsSimError, OSError) as error:
        print(f"us_sim_render: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _render(options: dict[str, Any], console: Console) -> None:
    config, settings = _settings(SimConfig, options), _settings(ImageSettings, options)
    given = read_poses(options["poses"]) if options["poses"] else None
    out: Path = options["out"]
    out.mkdir(parents=True, exist_ok=True)
    with console.status("opening the patient"):
        simulator = open_simulator(config, settings, load_probe(config.probe))
    patient = simulator.patient
    for warning in patient.warnings:
        console.print(f"{patient.name}: {warning}", markup=False, highlight=False)
    if given is None:
        poses = motion(options["motion"], patient, COUNT if options["count"] is None else options["count"])
    else:
        poses = spread(given, options["count"])
    frames = []
    for number, pose in enumerate(track(poses, "rendering", console=console)):
        try:
            frames.append(simulator.render(pose))
        except DeviceError as error:
            console.print(f"{error}; going on with the CPU", markup=False, highlight=False)
            simulator = simulator.on_cpu(str(error))
            frames.append(simulator.render(pose))
        _write(simulator, frames[-1], out, number)
    if options["sheet"]:
        source = options["poses"].name if options["poses"] else options["motion"]
        title = f"{patient.name}, {source}: {simulator.renderer}, CT, labels"
        contact_sheet(frames, simulator.probe, title).save(out / "sheet.png")
    console.print(f"{len(poses)} frames in {out}", markup=False, highlight=False)


def _write(simulator: Simulator, frame: Frame, out: Path, number: int) -> None:
    """Write the three pictures of a frame; the PNGs' resolution carries the size of their pixels."""
    dx, dz = simulator.probe.pixel_spacing
    for name, picture in zip(("image", "slice", "labels"), pictures(frame, simulator.probe), strict=True):
        picture.save(out / f"{name}_{number:03d}.png", dpi=(25.4 / dx, 25.4 / dz))


# -- command line ---------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="us_sim_render",
        description="Render B-mode ultrasound, CT slice and labels of a patient along a motion or given poses.",
    )
    paths = parser.add_mutually_exclusive_group()
    paths.add_argument("--motion", default="liver_sweep", help=f"one of {', '.join(MOTIONS)} (%(default)s)")
    paths.add_argument(
        "--poses",
        type=Path,
        metavar="FILE",
        help="CSV of ct_from_probe, a pose a line: 16 numbers, row-major, mm; or x y z in mm and qx qy qz qw",
    )
    parser.add_argument("--count", type=int, help=f"frames, evenly spread ({COUNT} of a motion, all poses of a file)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the PNGs; made if missing")
    parser.add_argument("--sheet", action="store_true", help="write sheet.png, all frames with slice and labels")
    for config in (SimConfig, ImageSettings):
        for item in fields(config):
            rule = item.metadata
            span = "" if rule["low"] is None else f", {rule['low']:.10g} to {rule['high']:.10g}"
            parser.add_argument(
                f"--{item.name.replace('_', '-')}",
                type=type(item.default),
                default=item.default,
                choices=rule["choices"] or None,
                help=f"{rule['description']}{span} ({item.default if item.default != '' else 'empty'})",
            )
    return parser


def _settings(config: type[Any], options: dict[str, Any]) -> Any:
    return config(**{item.name: options[item.name] for item in fields(config)})


# -- poses ----------------------------------------------------------------------------------------------


def spread(poses: NDArray[np.float64], count: int | None) -> NDArray[np.float64]:
    """Return `count` of the (N, 4, 4) poses, evenly spread from the first to the last; all for None.

    Raises:
        PoseError: count below 1.
    """
    if count is None:
        return poses
    if count < 1:
        raise PoseError(f"count of poses is {count}; expected 1 or more")
    return poses[np.linspace(0, len(poses) - 1, count).round().astype(int)]


def read_poses(path: Path) -> NDArray[np.float64]:
    """Return the (N, 4, 4) poses `ct_from_probe`, mm, of a CSV file; a first line of names is skipped.

    Raises:
        PoseError: no pose, or a line that is not a pose, named with its number.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise PoseError(f"{path}: not a text file; expected a CSV of poses") from None
    poses = []
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.replace(",", " ").replace(";", " ").split()
        if not cells or cells[0].startswith("#") or (number == 1 and not _is_number(cells[0])):
            continue
        try:
            poses.append(_pose(cells))
        except ValueError as error:
            raise PoseError(f"{path}, line {number}: {error}") from None
    if not poses:
        raise PoseError(f"{path}: holds no pose; expected lines of 16 or 7 numbers")
    return np.stack(poses)


def _pose(cells: list[str]) -> Matrix:
    numbers = [float(cell) for cell in cells]
    if not all(map(math.isfinite, numbers)):
        raise PoseError("NaN or Inf; expected finite numbers")
    if len(numbers) == 16:
        if numbers[12:] != [0, 0, 0, 1]:
            raise PoseError(f"last row is {numbers[12:]}; expected 0, 0, 0, 1 (row-major)")
        return check_pose(np.array(numbers).reshape(4, 4))
    if len(numbers) == 7:
        return rigid(rotation_from_quaternion(*numbers[3:]), numbers[:3])
    raise PoseError(f"{len(numbers)} numbers; expected 16 (row-major, mm) or 7 (x y z qx qy qz qw)")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())

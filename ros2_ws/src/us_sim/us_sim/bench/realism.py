# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Renderers beside real frames, in numbers: python -m us_sim.bench.realism --frames FOLDER

The frames of a folder are resampled to the probe's scan lines by the fan that is given, in pixels; without one, by that
of the frames the default probe was taken from.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.ndimage import map_coordinates

from us_sim.core.analysis.realism import BANDS, grey_distance, mean_by_depth, summary
from us_sim.core.assembly import open_generator
from us_sim.core.command import as_command
from us_sim.core.config import SimConfig
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.geometry.probe import ProbeGeometry, preset
from us_sim.core.patient_source import open_patient
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert
from us_sim.core.robot.motion import motion
from us_sim.core.simulator import Simulator

Frames = NDArray[np.float64]
SWEEP_FAN = (369.0, -139.33, 160.0, 732.0, 30.0)  # of `us_liver_sweep`: centre x, y, both radii in pixels, half angle
SIDE = 512  # pixels of a frame: its usual 256 rows would hide the axial grain


def real_frames(folder: Path, probe: ProbeGeometry, fan: tuple[float, ...], step: int = 1) -> Frames:
    """Return every `step`-th picture of a folder along the probe's scan lines, (N, L, S) grey.

    Args:
        folder: of PNG or JPEG pictures.
        probe: convex; its lines and depth are laid over the fan's.
        fan: x and y of the centre of curvature, radii of face and deepest sample, pixels; half of its angle, degrees.
        step: 1 takes all.

    Raises:
        SystemExit: the folder holds no pictures.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))[::step]
    if not files:
        raise SystemExit(f"{folder}: holds no .png or .jpg frames; give a folder of B-mode pictures")
    x, y, near, far, half = fan
    angle = probe.line_angles / (0.5 * probe.field_of_view) * math.radians(half)
    radius = near + probe.sample_depths / probe.depth * (far - near)
    place = y + radius * np.cos(angle)[:, None], x + radius * np.sin(angle)[:, None]
    pictures = (np.asarray(Image.open(path).convert("L"), dtype=np.float64) for path in files)
    return np.stack([map_coordinates(picture, place, order=1) for picture in pictures])


def rendered(simulator: Simulator, count: int) -> Frames:
    """Return frames of a sweep over the simulator's patient along its probe's scan lines, (N, L, S) grey."""
    probe, place = simulator.probe, lines_in_frame(simulator.probe)
    poses = motion("liver_sweep", simulator.patient, count)
    drawn = (simulator.render(pose, ct_slice=False, labels=False).image for pose in poses)
    shape = (probe.scan_lines, probe.samples)
    frames = [map_coordinates(np.asarray(image, np.float64), place, order=1).reshape(shape) for image in drawn]
    return np.stack(frames)


def lines_in_frame(probe: ProbeGeometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows and columns, (L, S) each, of the samples of the scan lines in the probe's frame."""
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    points = probe.polar_points.astype(np.float64)
    return (points[..., 2] - z0) / dz, (points[..., 0] - x0) / dx


def table(shown: dict[str, Frames], probe: ProbeGeometry) -> Table:
    """Return a line for each set of frames; the first is what the others are measured against."""
    real = next(iter(shown.values()))
    rows = {name: summary(frames, probe) for name, frames in shown.items()}
    made = Table("frames", *next(iter(rows.values())), *(f"{a:.0f}-{b:.0f} mm" for a, b in BANDS), "distance")
    for name, row in rows.items():
        depths = [f"{mean:.0f}" for mean in mean_by_depth(shown[name], probe)]
        distance = grey_distance(shown[name], real, probe)
        made.add_row(name, *(f"{value:.1f}" for value in row.values()), *depths, f"{distance:.1f}")
    return made


def sheet(shown: dict[str, Frames], probe: ProbeGeometry, columns: int) -> Image.Image:
    """Return a picture with a row for each set of frames: so many of each, evenly spread, in the probe's fan."""
    grid = conversion_grid(probe, torch.device("cpu"))
    rows = []
    for frames in shown.values():
        chosen = frames[np.linspace(0, len(frames) - 1, columns).round().astype(int)].astype(np.float32)
        rows.append(np.hstack(list(scan_convert(torch.from_numpy(chosen), *grid).numpy())))
    return Image.fromarray(np.vstack(rows).round().astype(np.uint8))


@as_command("us_sim.bench.realism")
def main(argv: list[str] | None = None) -> int:
    """Render sweeps and print the table beside real frames."""
    parser = argparse.ArgumentParser(prog="us_sim.bench.realism", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=Path, required=True, help="folder of real B-mode frames")
    parser.add_argument("--step", type=int, default=7, help="take every so many-th of them (7)")
    parser.add_argument("--fan", type=float, nargs=5, default=SWEEP_FAN, metavar=("X", "Y", "NEAR", "FAR", "HALF"),
                        help="of the frames: centre, radii, pixels; half angle, degrees")  # fmt: skip
    parser.add_argument("--ct", default="", help="CT; empty for the built-in phantom")
    parser.add_argument("--labels", default="", help="its label map")
    parser.add_argument("--generators", nargs="*", default=[], help="generators to measure beside physics")
    parser.add_argument("--count", type=int, default=8, help="poses of the sweep (8)")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write a picture, six frames of each in a row")
    given = parser.parse_args(argv)
    probe = replace(preset("c5_2"), width=SIDE, height=SIDE)
    patient = open_patient(SimConfig(ct=given.ct, labels=given.labels))
    shown = {"real": real_frames(given.frames, probe, tuple(given.fan), given.step)}
    mechanics = MechanicsSettings()
    shown["physics"] = rendered(Simulator(patient, probe, device="cpu", mechanics=mechanics), given.count)
    for name in given.generators:
        one = open_generator(name, "cpu")
        learned = Simulator(patient, probe, renderer="generator", generator=one, device="cpu", mechanics=mechanics)
        shown[name] = rendered(learned, given.count)
    Console(width=220).print(table(shown, probe))
    if given.sheet:
        sheet(shown, probe, 6).save(given.sheet)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

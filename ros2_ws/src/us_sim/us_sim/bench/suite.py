# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The command `make bench`: reslice, frames, generators and round trips, with ratios to well-known libraries."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.ndimage import map_coordinates

from us_sim.bench import batch, generators
from us_sim.bench.timing import Row, in_turns, machine, milliseconds
from us_sim.core.command import as_command
from us_sim.core.compute.grids import placed_by_axis
from us_sim.core.files import atomic_write
from us_sim.core.generator.shipped import shipped
from us_sim.core.geometry.probe import preset
from us_sim.core.geometry.transforms import Matrix, apply, inverse, rigid, rotation_from_quaternion
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.patient.volume import AIR_HU, CtVolume
from us_sim.core.robot.motion import motion
from us_sim.core.sampling.reslice import reslice
from us_sim.core.simulator import Simulator

COLUMNS = ["what", "median ms", "95 % ms", "a second", "over us_sim reslice", "faster than eager", "SSIM to fp32"]
SHAPE = (512, 512, 300)
PROBE = preset("c5_2")
POINTS = PROBE.pixel_points


def big_volume() -> CtVolume:
    """Noise of ±1000 HU in a volume of clinical size."""
    rng = np.random.default_rng(0)
    affine = np.diag([0.75, 0.75, 1.0, 1.0])
    affine[:3, 3] = -192, -192, -150
    hu = rng.integers(-1000, 1001, SHAPE, dtype=np.int16)
    return CtVolume(hu, rng.integers(0, 14, SHAPE, dtype=np.uint8), affine, "noise", "")


def oblique_poses(count: int) -> list[Matrix]:
    """Random poses whose fan lies in the volume."""
    rng = np.random.default_rng(1)
    turns = rng.standard_normal((count, 4))
    return [rigid(rotation_from_quaternion(*turn), rng.uniform(-30, 30, 3)) for turn in turns]


def sweep_poses(count: int) -> list[Matrix]:
    """Neighbouring planes of a slow sweep: 0.5 mm apart along the elevation of a random plane."""
    first = oblique_poses(1)[0]
    return [first @ rigid(np.eye(3), (0, 0.5 * (i - count / 2), 0)) for i in range(count)]


def scipy_slice(volume: CtVolume) -> Callable[[Matrix], object]:
    """HU and classes of the frame's pixels through `map_coordinates`."""

    def work(pose: Matrix) -> object:
        voxels = apply(inverse(volume.ct_from_voxel) @ pose, POINTS.reshape(-1, 3)).T
        hu = map_coordinates(volume.hu, voxels, order=1, mode="constant", cval=AIR_HU, output=np.float32)
        return hu, map_coordinates(volume.tissue, voxels, order=0, mode="constant", cval=0)

    return work


def sitk_slice(volume: CtVolume) -> Callable[[Matrix], object]:
    """The same through SimpleITK's ResampleImageFilter."""
    import SimpleITK as sitk  # only the benchmark has it

    images = []
    for array in (volume.hu, volume.tissue):
        image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
        image.SetSpacing(volume.spacing.tolist())
        image.SetOrigin(volume.ct_from_voxel[:3, 3].tolist())
        images.append(image)

    def work(pose: Matrix) -> object:
        first = apply(pose, POINTS[0, 0])
        out = []
        for image, kind in zip(images, (sitk.sitkLinear, sitk.sitkNearestNeighbor), strict=True):
            resampler = sitk.ResampleImageFilter()
            resampler.SetSize((PROBE.width, PROBE.height, 1))
            resampler.SetOutputSpacing((*PROBE.pixel_spacing, 1.0))
            resampler.SetOutputOrigin(first.tolist())
            resampler.SetOutputDirection(np.stack([pose[:3, 0], pose[:3, 2], -pose[:3, 1]], axis=1).ravel().tolist())
            resampler.SetInterpolator(kind)
            resampler.SetDefaultPixelValue(AIR_HU if kind == sitk.sitkLinear else 0)
            out.append(sitk.GetArrayFromImage(resampler.Execute(image)))
        return out

    return work


def vtk_slice(volume: CtVolume) -> Callable[[Matrix], object]:
    """The same through vtkImageReslice."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy  # only the benchmark has it
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkImagingCore import vtkImageReslice

    filters = []
    for array in (volume.hu, volume.tissue):
        image = vtkImageData()
        image.SetDimensions(volume.hu.shape)
        image.SetSpacing(volume.spacing.tolist())
        image.SetOrigin(volume.ct_from_voxel[:3, 3].tolist())
        image.GetPointData().SetScalars(numpy_to_vtk(array.ravel(order="F"), deep=True))
        reslicer = vtkImageReslice()
        reslicer.SetInputData(image)
        reslicer.SetOutputDimensionality(2)
        reslicer.SetOutputExtent(0, PROBE.width - 1, 0, PROBE.height - 1, 0, 0)
        reslicer.SetOutputSpacing(*PROBE.pixel_spacing, 1.0)
        reslicer.SetOutputOrigin(0.0, 0.0, 0.0)
        filters.append(reslicer)
    filters[0].SetInterpolationModeToLinear()
    filters[0].SetBackgroundLevel(AIR_HU)
    filters[1].SetInterpolationModeToNearestNeighbor()

    def work(pose: Matrix) -> object:
        axes = [*pose[:3, 0], *pose[:3, 2], *-pose[:3, 1]]
        for reslicer in filters:
            reslicer.SetResliceAxesDirectionCosines(axes)
            reslicer.SetResliceAxesOrigin(apply(pose, POINTS[0, 0]).tolist())
            reslicer.Modified()
            reslicer.Update()
        return [vtk_to_numpy(reslicer.GetOutput().GetPointData().GetScalars()) for reslicer in filters]

    return work


def slices(repeats: int) -> dict[str, Row]:
    """Time one 256×256 slice with labels in every library that is installed, over a sweep and at random."""
    volume = big_volume()
    works: dict[str, Callable[[Matrix], object]] = {
        "us_sim reslice": partial(reslice, volume, placed_by_axis(POINTS)),  # as a simulator keeps them
        "scipy map_coordinates": scipy_slice(volume),
    }
    for name, make in (("SimpleITK", sitk_slice), ("VTK vtkImageReslice", vtk_slice)):
        try:
            works[name] = make(volume)
        except ImportError as error:
            Console(stderr=True).print(f"{name} left out: {error}")
    planes = {"sweep": sweep_poses(repeats), "random planes": oblique_poses(repeats)}
    rows: dict[str, Row] = {}
    for where, poses in planes.items():
        found = in_turns([*works.values()], poses)
        rows.update({f"{name}, {where}": row for name, row in zip(works, found, strict=True)})
    return rows


def frames(repeats: int) -> dict[str, Row]:
    """Time whole frames of the built-in phantom on every device there is."""
    patient = builtin_patient(0)
    poses = list(motion("liver_sweep", patient, repeats))
    rows = {}
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        simulator = Simulator(patient, PROBE, device=device)
        image = partial(simulator.render, ct_slice=False, labels=False)
        rows[f"physics frame, {simulator.device.name}"] = milliseconds(image, poses)
        rows[f"physics frame with slice and labels, {simulator.device.name}"] = milliseconds(simulator.render, poses)
        rows[f"slice and labels, {simulator.device.name}"] = milliseconds(partial(simulator.render, image=False), poses)
    simulator = Simulator(patient, PROBE, device="cpu")
    rows["contact"] = milliseconds(simulator.contact, poses)
    return rows


def round_trips(seconds: float) -> dict[str, Row]:
    """Time pose sent to image received in another process, for each shipped generator; nothing where ROS is missing.

    It runs as a command: what needs ROS stays in its own room.
    """
    rows: dict[str, Row] = {}
    for name in shipped():
        command = [sys.executable, "-m", "us_sim.bringup.round_trip", "--json", "--seconds", f"{seconds:g}"]
        done = subprocess.run([*command, f"generator:={name}"], capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            Console(stderr=True).print(f"round trip of {name} left out: {last}", markup=False)
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        rows.update({f"round trip, {name}: {what}": row for what, row in found.items()})
    return rows


def described(about: dict[str, Any]) -> str:
    """Return one line on the machine."""
    return ", ".join(f"{key} {value}" for key, value in about.items())


def cells(figures: dict[str, Row]) -> list[list[str]]:
    """Return the table's lines: figures, then ratios to what was measured in the same run."""
    lines = []
    for name, row in figures.items():
        ours = figures.get(f"us_sim reslice, {name.partition(', ')[2]}")
        lines.append([
            name, f"{row['median']:.2f}", f"{row['p95']:.2f}", f"{row.get('rate', 1e3 / row['median']):.0f}",
            f"{row['median'] / ours['median']:.1f}" if ours else "",
            f"{row['eager']:.1f}" if "eager" in row else "",
            f"{row['ssim']:.3f}" if "ssim" in row else "",
        ])  # fmt: skip
    return lines


@as_command("us_sim.bench")
def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="us_sim.bench", description=__doc__)
    parser.add_argument("--repeats", type=int, default=60, help="poses of each measurement (60)")
    parser.add_argument("--quick", action="store_true", help="slices and physics frames alone, about a minute")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each round trip at 30 Hz (20)")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--markdown", type=Path, help="file to write the table to")
    arguments = parser.parse_args(argv)
    count = arguments.repeats // 3 if arguments.quick else arguments.repeats
    figures = {**slices(count), **frames(count)}
    if not arguments.quick:
        batches = batch.rows(count)
        stepped = batch.steps(count // 10) if batches else {}  # both need Gymnasium
        figures |= {**batches, **stepped, **generators.rows(count), **round_trips(arguments.seconds)}
    report = {"machine": machine(), "ms": figures}
    about, lines = described(report["machine"]), cells(figures)
    table = Table(*COLUMNS)
    table.columns[0].no_wrap = True
    for line in lines:
        table.add_row(*line)
    console = Console(width=150)
    console.print(about)
    console.print(table)
    if arguments.json:
        with atomic_write(arguments.json) as whole:
            whole.write_text(json.dumps(report, indent=1) + "\n")
    if arguments.markdown:
        text = [" | ".join(line) for line in (COLUMNS, ["---"] * len(COLUMNS), *lines)]
        arguments.markdown.write_text("\n".join([about, "", *(f"| {line} |" for line in text), ""]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Invented scanners recovered from frames: python -m us_sim.offline.fit.recovery --out FOLDER

For each scanner frames of phantoms that the fit does not use are written as PNG files, `us_sim_fit` is run on their
folder as a user would run it, and the preset that it writes is compared with the true one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from us_sim.core.command import as_command
from us_sim.core.config import ImageSettings
from us_sim.core.errors import UsSimError
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.physics.scanner import GENERIC
from us_sim.core.physics.scanner_file import ScannerPreset, load_scanner, tissues_of
from us_sim.core.robot.motion import motion
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TISSUES
from us_sim.offline.fit import command
from us_sim.offline.fit.quantities import QUANTITIES

PHANTOMS = (20, 21, 22, 23)  # seeds; the fit has others
PIXEL = 0.25  # mm, of the frames
VIEWS = {"liver_sweep": 5, "fan_tilt": 2, "rotation": 2}  # frames of each motion on each phantom


def attenuating(factor: float) -> dict[str, dict[str, float]]:
    """The acoustic table with all attenuation below that of bone and gas multiplied."""
    soft = {one.name.lower(): own for one, own in TISSUES.items() if own.attenuation < 5}
    return {name: {"attenuation": own.attenuation * factor} for name, own in soft.items()}


def fan(radius: float, degrees: float, depth: float) -> ProbeGeometry:
    """A convex probe with frames of square pixels, as scanners save them."""
    found = ProbeGeometry(
        ProbeKind.CONVEX, radius_of_curvature=radius, field_of_view=float(np.radians(degrees)), depth=depth
    )
    left, right, top, bottom = found.fan_size
    return replace(found, width=round((right - left) / PIXEL), height=round((bottom - top) / PIXEL))


INVENTED = {
    "coarse": ScannerPreset(
        "coarse", "", fan(60.0, 70.0, 160.0), ImageSettings(dynamic_range=65.0, frequency=2.5, tgc=1.2),
        replace(GENERIC, sensitivity=-4.0, gamma=1.6, noise_level=-88.0, looks=3, pulse_length=0.9, beam_ratio=0.03,
                edge_loss=12.0),
        tissues_of(attenuating(1.25)),
    ),
    "fine": ScannerPreset(
        "fine", "", fan(45.0, 62.0, 130.0), ImageSettings(dynamic_range=50.0, frequency=4.5, tgc=1.1),
        replace(GENERIC, sensitivity=-14.0, gamma=1.0, black=10.0, tgc_limit=60.0, noise_level=-108.0, looks=5,
                pulse_length=0.35, beam_ratio=0.025, edge_loss=2.0),
        tissues_of(attenuating(0.85)),
    ),
    "noisy": ScannerPreset(
        "noisy", "", fan(50.0, 56.0, 180.0), ImageSettings(dynamic_range=75.0, frequency=3.0, tgc=1.0),
        replace(GENERIC, sensitivity=2.0, gamma=1.9, noise_level=-82.0, looks=1, pulse_length=0.6, beam_ratio=0.028,
                ring_level=-8.0, ring_length=2.0, shadow_level=-20.0),
    ),
}  # fmt: skip


def write_frames(scanner: ScannerPreset, folder: Path) -> None:
    """Write what a scanner shows of PHANTOMS, a PNG file for each of VIEWS."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in PHANTOMS:
        patient = builtin_patient(seed)
        poses = np.concatenate([motion(name, patient, count + 1)[1:] for name, count in VIEWS.items()])
        simulator = Simulator(patient, scanner.probe, scanner.image, device="cpu", seed=seed, scanner=scanner)
        for number, frame in enumerate(simulator.render_batch(poses, ct_slice=False, labels=False)):
            assert frame.image is not None
            Image.fromarray(frame.image).save(folder / f"{seed}_{number}.png")


def recovered(scanner: ScannerPreset, folder: Path) -> ScannerPreset:
    """Return the preset that `us_sim_fit` writes for a scanner's frames, told the probe's radius alone.

    Raises:
        UsSimError: the command ended with an error, which it has printed.
    """
    file = folder / f"{scanner.name}.yaml"
    write_frames(scanner, folder / scanner.name)
    radius = f"{scanner.probe.radius_of_curvature:g}"
    if command.main([str(folder / scanner.name), "--radius", radius, "--out", str(file)]):
        raise UsSimError(f"us_sim_fit ended with an error on the frames of {scanner.name}")
    return load_scanner(str(file))


@as_command("us_sim.offline.fit.recovery")
def main(argv: Sequence[str] | None = None) -> int:
    """Print a row for each quantity and scanner; 1 if any lies beyond its bound."""
    parser = argparse.ArgumentParser(prog="us_sim.offline.fit.recovery", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for frames, presets and reports")
    parser.add_argument("--scanner", nargs="+", choices=INVENTED, default=list(INVENTED), help="default: all")
    given = parser.parse_args(argv)
    missed = 0
    print("| scanner | quantity | unit | generic | found | bound | |\n" + "|---" * 7 + "|", flush=True)
    for name in given.scanner:
        true = INVENTED[name]
        found = recovered(true, given.out)
        for quantity, rule in QUANTITIES.items():
            gaps = [rule.gap(true, one) for one in (ScannerPreset(), found)]
            within = gaps[1] <= rule.bound
            missed += not within
            says = "" if within else "beyond"
            print(f"| {name} | {quantity} | {rule.unit} | {gaps[0]:.2f} | {gaps[1]:.2f} | {rule.bound:g} | {says} |",
                  flush=True)  # fmt: skip
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())

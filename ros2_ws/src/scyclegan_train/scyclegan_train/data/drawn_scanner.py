# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Scanners that do not exist, one for each frame: domain randomisation for segmenters that have to read real frames.

What is learned from one scanner's frames holds for no other: fan, depth, tone, TGC, grain, shadows and the echo of the
organs relative to each other differ from machine to machine, and from patient to patient.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from us_sim.core.config import TGC_SLIDERS, ImageSettings
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.physics.scanner import GENERIC
from us_sim.core.physics.scanner_file import ScannerPreset
from us_sim.core.sampling.anatomy import Anatomy, louder
from us_sim.core.tissue import CLASS_COUNT

ECHO = 2.5  # dB, standard deviation of the backscatter of each class
LOSS = (0.75, 1.35)  # factor on the attenuation of all tissue


def draw_scanner(rng: np.random.Generator, grid: ProbeGeometry) -> ScannerPreset:
    """Return a convex scanner with as many scan lines and samples as a grid, its acoustic table the usual one."""
    probe = ProbeGeometry(
        ProbeKind.CONVEX,
        depth=float(rng.uniform(100, 210)),
        radius_of_curvature=float(rng.uniform(40, 65)),
        field_of_view=math.radians(rng.uniform(52, 78)),
        scan_lines=grid.scan_lines,
        samples=grid.samples,
        slice_thickness=float(rng.uniform(2, 5)),
    )
    sliders = dict(zip(TGC_SLIDERS, map(float, rng.normal(0, 2, 8)), strict=True))
    image = ImageSettings(
        gain=float(rng.uniform(-8, 8)),
        dynamic_range=float(rng.uniform(45, 80)),
        frequency=float(rng.uniform(2.3, 4.8)),
        focus=float(rng.uniform(0.3, 0.8) * probe.depth),
        tgc=float(rng.uniform(0.9, 1.4)),
        **sliders,
    )
    constants = replace(
        GENERIC,
        gamma=float(rng.uniform(0.9, 2.1)),
        black=float(rng.uniform(0, 15)),
        tgc_limit=float(rng.uniform(42, 66)),
        noise_level=float(rng.uniform(-112, -88)),
        looks=int(rng.integers(1, GENERIC.looks + 1)),
        pulse_length=float(rng.uniform(0.35, 1.0)),
        beam_ratio=float(rng.uniform(0.018, 0.045)),
        edge_loss=float(rng.uniform(0, 14)),
        ring_level=float(rng.uniform(-30, -6)),
        side_lobe_level=float(rng.uniform(-25, -10)),
        specular_level=float(rng.uniform(-8, 6)),
        shadow_level=float(rng.uniform(-50, -34)),
        shadow_length=float(rng.uniform(10, 50)),
        mirror_level=float(rng.uniform(-25, -5)),
    )
    return ScannerPreset("drawn", "", probe, image, constants)


def altered(anatomy: Anatomy, rng: np.random.Generator) -> Anatomy:
    """Return the anatomy of another patient: echo of each class, and attenuation of all, drawn anew."""
    heard = louder(anatomy, torch.from_numpy(rng.normal(0, ECHO, CLASS_COUNT)))
    return replace(heard, attenuation=anatomy.attenuation * float(rng.uniform(*LOSS)))

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The simulated side: phantoms seen from a few poses, sampled once; a scanner then costs only image formation.

Frames go the way of the real ones: formed on the scan lines of the preset to be written, scan-converted to pixels, and
resampled from there. Each interpolation takes grain away, and the more, the finer it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.physics.b_mode import polar_frame
from us_sim.core.physics.imaging import formation
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert
from us_sim.core.robot.motion import motion
from us_sim.core.sampling.anatomy import Anatomy, joined, louder
from us_sim.core.sampling.reslice import elevation_beam
from us_sim.core.sampling.sampler import CpuSampler
from us_sim.core.tissue import CLASS_COUNT
from us_sim.offline.fit.knobs import WALL, Guess

FORMED = 192, 512  # scan lines and samples of a preset
VIEWS = {"liver_sweep": 2, "fan_tilt": 1, "rotation": 1}  # poses of each motion that a phantom is seen from


@dataclass(frozen=True, eq=False)
class Scenes:
    """Anatomy along the scan lines of a probe.

    Attributes:
        anatomy: of all poses, sampled.
        probe: whose scan lines they are, with the frame's pixels.
        lines: the same fan with the scan lines on which frames are compared.
        seed: of the electronic noise.
    """

    anatomy: Anatomy
    probe: ProbeGeometry
    lines: ProbeGeometry
    seed: int = 0

    @property
    def all_valid(self) -> Tensor:
        """(N, L, S) bool: a simulated frame shows something everywhere."""
        return torch.ones(len(self.anatomy.tissue), self.lines.scan_lines, self.lines.samples, dtype=torch.bool)

    @cached_property
    def _grids(self) -> tuple[Tensor, Tensor, Tensor]:
        """From scan lines to pixels, with the fan's mask, and from pixels to the lines that are compared."""
        to_pixels, mask = conversion_grid(self.probe, torch.device("cpu"))
        across, along = (torch.from_numpy(self.lines.polar_points[..., axis]) for axis in (0, 2))
        (x, z), (dx, dz) = self.probe.first_pixel, self.probe.pixel_spacing
        places = [
            (2 * (across - x) / dx + 1) / self.probe.width - 1,
            (2 * (along - z) / dz + 1) / self.probe.height - 1,
        ]
        return to_pixels, mask, torch.stack(places, dim=-1)[None].float().contiguous()

    @torch.inference_mode()
    def frames(self, guess: Guess) -> Tensor:
        """(N, L, S) grey levels that a scanner would show of them."""
        anatomy = self.anatomy
        if guess.wall:
            decibels = torch.zeros(CLASS_COUNT)
            decibels[list(WALL)] = guess.wall
            anatomy = louder(anatomy, decibels)
        form = formation(self.probe, guess.settings, self.seed, torch.device("cpu"), guess.scanner)
        to_pixels, mask, to_lines = self._grids
        polar = polar_frame(anatomy, torch.ones(anatomy.tissue.shape[:2]), form)
        return scan_convert(scan_convert(polar, to_pixels, mask), to_lines, torch.ones(to_lines.shape[1:3]) > 0)


def formed(lines: ProbeGeometry, pixel: float) -> ProbeGeometry:
    """The probe of a preset with square pixels of a size in mm."""
    left, right, top, bottom = lines.fan_size
    width, height = round((right - left) / pixel), round((bottom - top) / pixel)
    return replace(lines, scan_lines=FORMED[0], samples=FORMED[1], width=width, height=height)


def scenes_of(lines: ProbeGeometry, pixel: float, phantoms: Sequence[int], seed: int = 0) -> Scenes:
    """Sample phantoms of some seeds from the poses of VIEWS; they differ between the phantoms.

    Args:
        lines: the fan, with the scan lines on which frames are compared.
        pixel: mm, of the frames.
        phantoms, seed: of the anatomy, and of the noise.
    """
    probe = formed(lines, pixel)
    beam = elevation_beam(probe.slice_thickness, probe.elevation_planes)
    points, parts = torch.from_numpy(probe.polar_points), []
    for phantom in phantoms:
        patient = builtin_patient(phantom)
        poses = np.concatenate([motion(name, patient, 4 * n)[phantom % 4 :: 4] for name, n in VIEWS.items()])
        parts.append(CpuSampler(patient, phantom).anatomy(points, poses, beam))
    return Scenes(joined(parts), probe, lines, seed)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The simulated side: phantoms seen from a few poses, sampled once; a scanner then costs only image formation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.physics.b_mode import polar_frame
from us_sim.core.physics.imaging import formation
from us_sim.core.robot.motion import motion
from us_sim.core.sampling.anatomy import Anatomy, joined
from us_sim.core.sampling.reslice import elevation_beam
from us_sim.core.sampling.sampler import CpuSampler
from us_sim.offline.fit.knobs import WALL, Guess

VIEWS = {"liver_sweep": 2, "fan_tilt": 1, "rotation": 1}  # poses of each motion that a phantom is seen from


@dataclass(frozen=True, eq=False)
class Scenes:
    """Anatomy along the scan lines of a probe.

    Attributes:
        anatomy: of all poses, sampled.
        probe: whose scan lines they are.
        seed: of the electronic noise.
    """

    anatomy: Anatomy
    probe: ProbeGeometry
    seed: int = 0

    @torch.inference_mode()
    def frames(self, guess: Guess) -> Tensor:
        """(N, L, S) grey levels that a scanner would show of them."""
        anatomy = self.anatomy
        if guess.wall:
            louder = torch.ones(256)
            louder[list(WALL)] = 10 ** (guess.wall / 20)
            anatomy = replace(anatomy, scatter=anatomy.scatter * louder[anatomy.tissue.long()][..., None])
        form = formation(self.probe, guess.settings, self.seed, torch.device("cpu"), guess.scanner)
        return polar_frame(anatomy, torch.ones(anatomy.tissue.shape[:2]), form)


def scenes_of(probe: ProbeGeometry, phantoms: Sequence[int], seed: int = 0) -> Scenes:
    """Sample phantoms of some seeds from the poses of VIEWS; they differ between the phantoms."""
    beam = elevation_beam(probe.slice_thickness, probe.elevation_planes)
    points, parts = torch.from_numpy(probe.polar_points), []
    for phantom in phantoms:
        patient = builtin_patient(phantom)
        poses = np.concatenate([motion(name, patient, 4 * n)[phantom % 4 :: 4] for name, n in VIEWS.items()])
        parts.append(CpuSampler(patient, phantom).anatomy(points, poses, beam))
    return Scenes(joined(parts), probe, seed)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Slices along the motions over a patient: what is learned of a generator after its training is learned from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from us_sim.core.config import ImageSettings
from us_sim.core.generator.artifact import Generator
from us_sim.core.generator.renderer import LearnedRenderer
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.patient import Patient
from us_sim.core.robot.motion import MOTIONS, motion
from us_sim.core.sampling.reslice import Beam, elevation_beam
from us_sim.core.sampling.sampler import CpuSampler, Sampler


@dataclass(frozen=True, eq=False)
class MotionSlice:
    """One pose, (1, 4, 4), on a patient."""

    renderer: LearnedRenderer
    sampler: Sampler
    pose: Matrix
    beam: Beam

    def read(self) -> Tensor:
        """Return what the generator is fed, (1, C, h, w)."""
        return self.renderer.read(self.sampler, self.pose, self.beam)

    def physics(self) -> Tensor:
        """Return the physics frame that it learns, (1, h, w) grey levels."""
        return self.renderer.reference(self.sampler, self.pose, self.beam)


def motion_slices(generator: Generator, patient: Patient, seed: int, views: int) -> Iterator[MotionSlice]:
    """Yield `views` poses of each motion, for a generator on the CPU; `seed` is that of scatterers and noise."""
    probe, sampler = generator.card.probe, CpuSampler(patient, seed)
    renderer = LearnedRenderer(generator, probe, ImageSettings(), seed)
    beam = elevation_beam(probe.slice_thickness, probe.elevation_planes)
    for name in MOTIONS:
        for pose in motion(name, patient, views):
            yield MotionSlice(renderer, sampler, pose[None], beam)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Sampling of a deformed or breathing patient: points are mapped to the undeformed CT before they are sampled."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from us_sim.core.sampling.anatomy import Anatomy
from us_sim.core.sampling.reslice import Beam, Poses
from us_sim.core.sampling.sampler import Sampler, Slice

Source = Callable[[Tensor], Tensor]  # (A, C, 3) mm in `probe` to where the tissue lay there at each pose, (B, A, C, 3)


class MovedSampler:
    """Samples through the displacements of a batch of poses.

    HU, classes, acoustic properties, scatterers and the skin's distance all go through the same displacement.
    """

    def __init__(self, sampler: Sampler, source: Source) -> None:
        self._sampler, self._source = sampler, source
        self.device = sampler.device

    def slice(self, points: Tensor, ct_from_probe: Poses, beam: Beam) -> Slice:
        """Return HU and classes, (B, ...), as `Sampler.slice`."""
        return self._sampler.slice(self._source(points), ct_from_probe, beam)

    def classes(self, points: Tensor, ct_from_probe: Poses) -> Tensor:
        """Return classes, (B, ...), as `Sampler.classes`."""
        return self._sampler.classes(self._source(points), ct_from_probe)

    def anatomy(self, points: Tensor, ct_from_probe: Poses, beam: Beam) -> Anatomy:
        """Return what lies along scan lines, (B, L, S), as `Sampler.anatomy`."""
        return self._sampler.anatomy(self._source(points), ct_from_probe, beam)

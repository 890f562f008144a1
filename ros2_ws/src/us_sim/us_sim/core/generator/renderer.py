# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The generator renderer: encodes the input as the card says and maps the output onto the frame."""

from __future__ import annotations

from copy import copy, deepcopy

import numpy as np
import torch
from torch import Tensor

from us_sim.core.compute.grids import placed_by_axis
from us_sim.core.config import ImageSettings
from us_sim.core.generator.artifact import Generator
from us_sim.core.generator.composition import Composition
from us_sim.core.generator.encoding import encode
from us_sim.core.generator.tone import noise_floor
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.physics import speckle
from us_sim.core.physics.b_mode import polar_frame, uncoupled
from us_sim.core.physics.imaging import formation
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert
from us_sim.core.sampling.anatomy import Anatomy
from us_sim.core.sampling.reslice import Beam, Poses
from us_sim.core.sampling.sampler import Sampler, Slice


class LearnedRenderer:
    """One generator for one probe. All that does not depend on the pose is precomputed.

    Attributes:
        reads_frame: the generator is fed the HU and classes at the pixels of the probe's own frame.
    """

    def __init__(self, generator: Generator, probe: ProbeGeometry, settings: ImageSettings, seed: int) -> None:
        card, device = generator.card, generator.device
        self._generator, self._settings = generator, settings
        self._polar = card.grid == "polar"
        grid = card.probe
        self._lines = torch.from_numpy(placed_by_axis(grid.polar_points)).to(device)
        points = grid.polar_points.transpose(1, 0, 2) if self._polar else grid.pixel_points
        self._points = torch.from_numpy(placed_by_axis(points)).to(device)
        self.reads_frame = card.source == "ct" and np.array_equal(points, probe.pixel_points)
        self._fan = torch.ones(card.size, dtype=torch.bool, device=device)
        if not self._polar:
            self._fan = torch.tensor(grid.fan_mask).to(device)
        self._card_grid = conversion_grid(grid, device)
        # The physics frame of the two-stage pipeline is the one the generator was trained on.
        self._training = formation(grid, ImageSettings(), seed, device)
        self._statistics = generator.statistics.to(device) if generator.statistics else None
        self._heads = generator.heads.to(device) if generator.heads else None
        self._network = generator.network
        if self._heads and device.type != "cpu":  # the generator's own stays on the CPU, for when the GPU fails
            self._network = deepcopy(generator.network).to(device)
        self._compose = Composition(card, probe, uncoupled(self._training), noise_floor(self._training))

    def with_settings(self, settings: ImageSettings) -> LearnedRenderer:
        """Return the same renderer at another gain or dynamic range; all that is made once is shared."""
        other = copy(self)
        other._settings = settings
        return other

    def draw(self, sampler: Sampler, poses: Poses, coupling: Tensor, beam: Beam, frame: Slice | None = None) -> Tensor:
        """Return (B, H, W) grey levels, 0 to 255, for (B, 4, 4) poses and (B, L) coupling; `frame` as for `read`."""
        return self.shown(self.read(sampler, poses, beam, frame), coupling)[0]

    def shown(self, read: Tensor, coupling: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return grey levels and how unlike training the slices are, for what `read` returned and (B, L) coupling.

        Returns:
            (B, H, W), 0 to 255, and the (B,) out-of-distribution score, above 1 out of distribution; None: not known.
        """
        drawn = self._generator.backend(read)
        score = self._statistics.ood_score(drawn.bottleneck) if self._statistics else None
        return self._compose(drawn.image, coupling, self._settings), score

    def uncertainty(self, read: Tensor, coupling: Tensor) -> Tensor | None:
        """Return the error to expect of the image at the training's settings, for what `read` returned.

        Returns:
            (B, H, W) grey levels, 0 outside the fan and without coupling; None: not known.
        """
        if self._heads is None:
            return None
        return self._compose.placed(self._heads.told(self._network.last_features(read)), coupling)

    def reference(self, sampler: Sampler, poses: Poses, beam: Beam) -> Tensor:
        """Return the physics frame that it was trained on, (B, *card.size) grey levels, of a probe that is coupled."""
        return self._physics_view(sampler.anatomy(self._lines, poses, beam))

    def read(self, sampler: Sampler, poses: Poses, beam: Beam, frame: Slice | None = None) -> Tensor:
        """Return what the generator is fed, (B, C, H, W), for (B, 4, 4) poses.

        Args:
            sampler, poses, beam: what is seen, and how.
            frame: HU and classes at the pixels of the probe's frame; with `reads_frame` they are not sampled again.
        """
        card = self._generator.card
        anatomy = None
        if card.source == "physics" or card.encoding == "rich":
            anatomy = sampler.anatomy(self._lines, poses, beam)
        if anatomy is not None and self._polar:
            hu, tissue = self._on_grid(anatomy.hu), self._on_grid(anatomy.tissue)
        elif frame is not None and self.reads_frame:
            hu, tissue = frame
        else:
            hu, tissue = sampler.slice(self._points, poses, beam)
        image = self._physics_view(anatomy) if card.source == "physics" and anatomy is not None else hu
        scatter = None
        if card.encoding == "rich" and anatomy is not None:
            scatter = self._on_grid(speckle.texture(anatomy, self._training))
        return encode(card, image, tissue, scatter, self._fan)

    def _physics_view(self, anatomy: Anatomy) -> Tensor:
        lines = anatomy.impedance.shape[:2]
        coupled = torch.ones(lines, device=anatomy.impedance.device)
        return self._on_grid(polar_frame(anatomy, coupled, self._training))

    def _on_grid(self, polar: Tensor) -> Tensor:
        """(B, L, S) on the generator's own grid, (B, *card.size)."""
        return polar.transpose(1, 2) if self._polar else scan_convert(polar, *self._card_grid)

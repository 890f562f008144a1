# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""From a generator's output to the probe's frame: grey levels, gain, scan conversion, lines without coupling."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
import torch
from torch import Tensor

from us_sim.core.compute.kernels import kernel
from us_sim.core.config import ImageSettings
from us_sim.core.generator.card import Card
from us_sim.core.generator.tone import gain_over_depth, is_trained, recompressed
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.physics.scan_conversion import bilinear, cell, conversion_grid, scan_convert, scan_convert_by_tensors


class Composition:
    """Maps a generator's output onto the frame of one probe.

    Args:
        card: of the generator.
        probe: whose frame it is; of no more depth than the card's.
        uncoupled: (L, S) grey levels of the card's probe in air.
        noise: (L, S) amplitude of its electronic noise, from `tone.noise_floor`.
    """

    def __init__(self, card: Card, probe: ProbeGeometry, uncoupled: Tensor, noise: Tensor) -> None:
        device = uncoupled.device
        self._polar = card.grid == "polar"
        self._lines, self._fan = line_grid(probe, card.probe, device)
        self._air, self._floor = uncoupled, noise
        self._bare = scan_convert(uncoupled[None], self._lines, self._fan)[0]
        self._drawn = self._lines.flip(-1) if self._polar else pixel_grid(probe, card.probe, device)
        # Depth of the samples, and noise and depth where the generator draws.
        self._deepest, self._depths = probe.depth, torch.tensor(card.probe.sample_depths).to(device).expand_as(noise)
        self._noise, self._depth = noise.T, self._depths.T
        if not self._polar:
            both = torch.stack([noise, self._depths])
            self._noise, self._depth = scan_convert(both, *conversion_grid(card.probe, device))

    def __call__(self, output: Tensor, coupling: Tensor, settings: ImageSettings) -> Tensor:
        """Return (B, H, W) grey levels, 0 to 255, exactly 0 outside the fan.

        Args:
            output: (B, 3, h, w) in [−1, 1], at the training's settings; grey is the channels' mean.
            coupling: (B, L) of evenly spread scan lines; where it is lost, the probe's own reverberation shows.
            settings: gain, TGC and dynamic range to show it at.
        """
        if output.device.type != "cpu":
            return self.by_tensors(output, coupling, settings)
        assert len(coupling) == len(output), "coupling and output of different poses"
        grey, frame = torch.empty(len(output), *output.shape[2:]), torch.empty(len(output), *self._fan.shape)
        _grey(output.numpy(), grey.numpy())
        grey, bare = self._at(settings, grey)
        _compose(
            grey.numpy(), self._drawn.numpy(), self._lines.numpy(), self._fan.numpy(),
            coupling.numpy(), bare.numpy(), frame.numpy(),
        )  # fmt: skip
        return frame

    def by_tensors(self, output: Tensor, coupling: Tensor, settings: ImageSettings) -> Tensor:
        """The same on any torch device."""
        grey, bare = self._at(settings, 255 * (output.float().mean(dim=1) * 0.5 + 0.5).clamp(0, 1))
        share = scan_convert_by_tensors(coupling[..., None], self._lines, self._fan)
        shown = scan_convert_by_tensors(grey, self._drawn, self._fan)
        return shown * share + bare * (1 - share)

    def placed(self, drawn: Tensor, coupling: Tensor) -> Tensor:
        """Return (B, h, w) of what the generator draws on the frame, (B, H, W): 0 where coupling, (B, L), is lost."""
        share = scan_convert_by_tensors(coupling[..., None], self._lines, self._fan)
        return scan_convert_by_tensors(drawn, self._drawn, self._fan) * share

    def _at(self, settings: ImageSettings, grey: Tensor) -> tuple[Tensor, Tensor]:
        """What was drawn, (B, h, w), and the frame in air, (H, W), at a gain, TGC and dynamic range."""
        if is_trained(settings):
            return grey, self._bare
        drawn, in_air = (gain_over_depth(depths, self._deepest, settings) for depths in (self._depth, self._depths))
        air = recompressed(self._air, self._floor, in_air, settings.dynamic_range)
        shown = recompressed(grey, self._noise, drawn, settings.dynamic_range)
        return shown, scan_convert(air[None], self._lines, self._fan)[0]


def line_grid(probe: ProbeGeometry, drawn: ProbeGeometry, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what `scan_convert` needs to bring scan lines of `drawn` onto the frame of a probe of no more depth."""
    lines = replace(probe, scan_lines=drawn.scan_lines, samples=drawn.samples)
    grid, fan = conversion_grid(lines, device)
    grid[..., 0] = (grid[..., 0] + 1) * (probe.depth / drawn.depth) - 1
    return grid, fan


def pixel_grid(probe: ProbeGeometry, drawn: ProbeGeometry, device: torch.device) -> Tensor:
    """Return (1, H, W, 2), where the probe's pixels lie on a picture with the pixels of `drawn`, normalised."""
    (dx, dz), (x0, z0) = drawn.pixel_spacing, drawn.first_pixel
    x, _, z = torch.tensor(probe.pixel_points).unbind(-1)
    column, row = (2 * (x - x0) / dx + 1) / drawn.width - 1, (2 * (z - z0) / dz + 1) / drawn.height - 1
    return torch.stack([column, row], dim=-1)[None].to(device)


@kernel
def _grey(output, grey):  # type: ignore[no-untyped-def]
    white, third, half, one = np.float32(255), np.float32(1 / 3), np.float32(0.5), np.float32(1)
    rows = output.shape[2]
    for r in numba.prange(len(output) * rows):
        b, y = r // rows, r % rows
        for x in range(output.shape[3]):
            mean = (output[b, 0, y, x] + output[b, 1, y, x] + output[b, 2, y, x]) * third
            grey[b, y, x] = white * min(max(mean * half + half, np.float32(0)), one)


@kernel
def _compose(grey, drawn, lines, fan, coupling, bare, frame):  # type: ignore[no-untyped-def]
    one = np.float32(1)
    height, width = fan.shape
    for r in numba.prange(len(grey) * height):
        b, y = r // height, r % height
        for x in range(width):
            if not fan[y, x]:
                frame[b, y, x] = 0
                continue
            near, far, w = cell(lines[0, y, x, 1], coupling.shape[1])
            share = coupling[b, near] + w * (coupling[b, far] - coupling[b, near])
            shown = bilinear(grey, b, drawn[0, y, x, 0], drawn[0, y, x, 1])
            frame[b, y, x] = shown * share + bare[y, x] * (one - share)

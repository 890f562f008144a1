"""The learned renderer: feeds a generator as its card says and brings its picture onto the frame."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from us_sim.core import physics
from us_sim.core.anatomy import Anatomy
from us_sim.core.artifact import Generator
from us_sim.core.config import ImageSettings
from us_sim.core.encoding import decode, encode
from us_sim.core.formation import formation
from us_sim.core.probe import ProbeGeometry
from us_sim.core.reslice import Beam
from us_sim.core.sampling import Sampler
from us_sim.core.scan_conversion import conversion_grid, scan_convert
from us_sim.core.transforms import Matrix


class LearnedRenderer:
    """One generator drawing for one probe. All that does not depend on the pose is made once."""

    def __init__(self, generator: Generator, probe: ProbeGeometry, settings: ImageSettings, seed: int) -> None:
        card, device = generator.card, generator.device
        self._generator, self._settings = generator, settings
        self._polar = card.grid == "polar"
        grid = card.probe
        self._lines = torch.from_numpy(grid.polar_points).to(device)
        points = grid.polar_points.transpose(1, 0, 2) if self._polar else grid.pixel_points
        self._points = torch.from_numpy(np.ascontiguousarray(points)).to(device)
        self._fan = torch.ones(card.size, dtype=torch.bool, device=device)
        if not self._polar:
            self._fan = torch.from_numpy(grid.fan_mask).to(device)
        self._card_grid = conversion_grid(grid, device)
        self._frame_grid = frame_grid(probe, grid, device)
        self._drawn_grid = self._frame_grid[0] if self._polar else pixel_grid(probe, grid, device)
        # The physics frame of the two-stage pipeline is the one the generator was trained on.
        self._training = formation(grid, ImageSettings(), seed, device)
        self._bare = scan_convert(physics.uncoupled(self._training)[None], *self._frame_grid)

    def toned(self, settings: ImageSettings) -> LearnedRenderer:
        """Return the same renderer at another gain or dynamic range; all that is made once is shared."""
        other = copy(self)
        other._settings = settings
        return other

    def draw(self, sampler: Sampler, poses: Matrix, coupling: Tensor, beam: Beam) -> Tensor:
        """Return (B, H, W) grey levels, 0 to 255, for (B, 4, 4) poses and (B, L) coupling."""
        drawn = decode(self._generator.backend(self.read(sampler, poses, beam)))
        return self._compose(self._toned(drawn), coupling)

    def read(self, sampler: Sampler, poses: Matrix, beam: Beam) -> Tensor:
        """Return what the generator is fed, (B, C, H, W), for (B, 4, 4) poses."""
        card = self._generator.card
        anatomy = None
        if card.source == "physics" or card.encoding == "rich":
            anatomy = sampler.anatomy(self._lines, poses, beam)
        if anatomy is not None and self._polar:
            hu, tissue = self._on_grid(anatomy.hu), self._on_grid(anatomy.tissue)
        else:
            hu, tissue = sampler.slice(self._points, poses, beam)
        image = self._physics_view(anatomy) if card.source == "physics" and anatomy is not None else hu
        scatter = None
        if card.encoding == "rich" and anatomy is not None:
            scatter = self._on_grid(physics.texture(anatomy, self._training))
        return encode(card, image, tissue, scatter, self._fan)

    def _physics_view(self, anatomy: Anatomy) -> Tensor:
        lines = anatomy.impedance.shape[:2]
        coupled = torch.ones(lines, device=anatomy.impedance.device)
        return self._on_grid(physics.b_mode(anatomy, coupled, self._training))

    def _on_grid(self, polar: Tensor) -> Tensor:
        """(B, L, S) on the generator's own grid, (B, *card.size)."""
        return polar.transpose(1, 2) if self._polar else scan_convert(polar, *self._card_grid)

    def _toned(self, drawn: Tensor) -> Tensor:
        """Apply gain and dynamic range to a picture learned at the default settings."""
        usual, wanted = ImageSettings(), self._settings
        level = (drawn / 255 - 1) * usual.dynamic_range + wanted.gain - usual.gain
        return 255 * (1 + level / wanted.dynamic_range).clamp(0, 1)

    def _compose(self, drawn: Tensor, coupling: Tensor) -> Tensor:
        """Bring the picture onto the frame; lines without coupling show the probe's own reverberation."""
        grid, fan = self._frame_grid
        lines = torch.nn.functional.interpolate(coupling[:, None], len(self._lines), mode="linear")[:, 0]
        share = scan_convert(lines[..., None], grid, fan)
        drawn = scan_convert(drawn.transpose(1, 2) if self._polar else drawn, self._drawn_grid, fan)
        return drawn * share + self._bare * (1 - share)


def frame_grid(probe: ProbeGeometry, drawn: ProbeGeometry, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what `scan_convert` needs to bring scan lines of `drawn` onto the frame of a probe of no more depth."""
    lines = replace(probe, scan_lines=drawn.scan_lines, samples=drawn.samples)
    grid, fan = conversion_grid(lines, device)
    grid[..., 0] = (grid[..., 0] + 1) * (probe.depth / drawn.depth) - 1
    return grid, fan


def pixel_grid(probe: ProbeGeometry, drawn: ProbeGeometry, device: torch.device) -> Tensor:
    """Return (1, H, W, 2), where the probe's pixels lie on a picture with the pixels of `drawn`, normalised."""
    (dx, dz), (x0, z0) = drawn.pixel_spacing, drawn.first_pixel
    x, _, z = torch.from_numpy(probe.pixel_points).unbind(-1)
    column, row = (2 * (x - x0) / dx + 1) / drawn.width - 1, (2 * (z - z0) / dz + 1) / drawn.height - 1
    return torch.stack([column, row], dim=-1)[None].to(device)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Measures compared between frames: distributions and correlations by depth and angle, never pixel by pixel.

Sliced Wasserstein distance of filter responses: Heitz et al. 2021 (arXiv 2006.07229), filters in place of a network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from us_sim.core.geometry.probe import ProbeGeometry

BANDS = 8  # of depth, beyond the near field
NEAR = 6.0  # mm of the near field
BLOCK_LINES, BLOCK_DEPTH = 12, 10.0  # a block: one of so many parts of the fan's width, and mm along the lines
LIT = 15.0  # grey level above which a block is tissue and no shadow
SLICES = 12  # random combinations of filters
AXIAL, LATERAL = 5, 4  # lags of the autocorrelation, samples and lines
GREY, BLOCK, SLICE = (torch.linspace(0.01, 0.99, n) for n in (33, 9, 17))  # quantiles
FEWEST, MOST = 200, 4000  # values of a distribution: without which it is none, and about which suffice
# A difference of each measure that an eye can just see.
SCALE = {"grey": 4.0, "block SD": 0.5, "grain": 0.03, "texture": 1.0, "near field": 6.0, "lateral": 4.0, "floor": 3.0}

Measures = dict[str, Tensor]  # each (bands, …); NaN where there is too little to measure


@dataclass(frozen=True, eq=False)
class Ruler:
    """Measures frames of one probe.

    Attributes:
        probe: whose scan lines the frames have.
    """

    probe: ProbeGeometry

    def measure(self, grey: Tensor, valid: Tensor) -> Measures:
        """Return what (N, L, S) grey levels show where they are valid."""
        bands = self.bands()
        side = self._side()
        sectors = [(bands == b)[None, :] & (side == s)[:, None] for b in range(BANDS) for s in (False, True)]
        blocks = self._blocks(grey, valid)
        return {
            "grey": torch.stack([_quantiles(grey, valid & where, GREY) for where in sectors]),
            "block SD": blocks[0],
            "grain": blocks[1],
            "texture": self._texture(grey, valid, bands),
            "near field": self._near(grey, valid),
            "lateral": self._lateral(grey, valid),
            "floor": _quantiles(grey, valid & (bands == BANDS - 1), torch.tensor([0.05, 0.1, 0.2])),
        }

    def bands(self) -> Tensor:
        """(S,) band of depth of each sample; −1 in the near field."""
        depths = torch.from_numpy(self.probe.sample_depths)
        band = ((depths - NEAR) / (self.probe.depth - NEAR) * BANDS).floor()
        return band.clamp(max=BANDS - 1).long()

    def _side(self) -> Tensor:
        """(L,) whether a line lies in the outer third of the fan; left and right are one."""
        lines = self.probe.scan_lines
        return ((torch.arange(lines) + 0.5) / lines * 2 - 1).abs() > 2 / 3

    def _blocks(self, grey: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Quantiles of the SD, and mean autocorrelations, of the more even half of the lit blocks, by depth.

        The other half holds vessels, diaphragm and edges of shadows.
        """
        wide, long = self.probe.scan_lines // BLOCK_LINES, round(BLOCK_DEPTH / self.probe.sample_spacing)
        cells = _cells(grey, wide, long)
        whole = _cells(valid, wide, long).all(dim=(-1, -2))
        mean, spread = cells.mean(dim=(-1, -2)), cells.std(dim=(-1, -2))
        lit = whole & (mean > LIT)
        deviations, correlations = [], []
        for row in range(cells.shape[2]):
            chosen, own = cells[:, :, row][lit[:, :, row]], spread[:, :, row][lit[:, :, row]]
            uneven = own / mean[:, :, row][lit[:, :, row]]
            even = uneven <= uneven.median() if len(own) >= 8 else torch.zeros(len(own), dtype=torch.bool)
            deviations.append(own[even].quantile(BLOCK) if even.any() else torch.full_like(BLOCK, torch.nan))
            correlations.append(_autocorrelation(chosen[even]))
        return torch.stack(deviations), torch.stack(correlations)

    def _texture(self, grey: Tensor, valid: Tensor, bands: Tensor) -> Tensor:
        """Quantiles of random combinations of filter responses, by depth."""
        filters = _filters()
        padded = torch.nn.functional.pad(grey[:, None], (4, 4, 2, 2), mode="replicate")
        response = torch.nn.functional.conv2d(padded, filters, stride=(2, 3))
        blocked = torch.nn.functional.max_pool2d((~valid).float()[:, None], (5, 9), (2, 3), (2, 4))[:, 0] > 0
        at = bands[::3]
        rows = []
        for band in range(BANDS):
            values = response.movedim(1, -1)[~blocked & (at == band)]
            few = len(values) < FEWEST
            rows.append(torch.full((SLICES, len(SLICE)), torch.nan) if few else _sorted_at(_thinned(values), SLICE))
        return torch.stack(rows)

    def _near(self, grey: Tensor, valid: Tensor) -> Tensor:
        """Mean grey of each sample of the near field."""
        first = int((torch.from_numpy(self.probe.sample_depths) < 2 * NEAR).sum())
        return _mean(grey[..., :first], valid[..., :first], (0, 1))

    def _lateral(self, grey: Tensor, valid: Tensor) -> Tensor:
        """Mean grey over the fan's width, from the centre outwards, in six steps."""
        lines = self.probe.scan_lines
        step = (((torch.arange(lines) + 0.5) / lines * 2 - 1).abs() * 6).long()
        deep = self.bands() >= 0
        parts = [(step == k)[:, None] & deep for k in range(6)]
        return torch.stack([_mean(grey, valid & part, (0, 1, 2)) for part in parts])


def distances(one: Measures, other: Measures) -> dict[str, float]:
    """Mean absolute difference of each measure, in its own unit: of quantiles, the Wasserstein distance."""
    return {name: _distance(one[name], other[name]) for name in one}


def _distance(one: Tensor, other: Tensor) -> float:
    gap = (one - other).abs()
    return float(gap[~gap.isnan()].mean()) if (~gap.isnan()).any() else math.nan


def _quantiles(grey: Tensor, where: Tensor, at: Tensor) -> Tensor:
    values = grey[where]
    if len(values) < FEWEST:
        return torch.full_like(at, torch.nan)
    return _sorted_at(_thinned(values)[:, None], at)[0]


def _thinned(values: Tensor) -> Tensor:
    return values[:: max(1, len(values) // MOST)]


def _sorted_at(values: Tensor, at: Tensor) -> Tensor:
    """(C, Q) quantiles of (N, C)."""
    ordered = values.sort(dim=0).values
    return ordered[(at * (len(ordered) - 1)).round().long()].T


def _mean(grey: Tensor, valid: Tensor, axes: tuple[int, ...]) -> Tensor:
    return (grey * valid).sum(dim=axes) / valid.sum(dim=axes)  # NaN where nothing is valid


def _cells(picture: Tensor, wide: int, long: int) -> Tensor:
    """(N, columns, rows, wide, long) blocks of (N, L, S)."""
    return picture.unfold(1, wide, wide).unfold(2, long, long)


def _autocorrelation(blocks: Tensor) -> Tensor:
    """(AXIAL + LATERAL,) mean autocorrelation of (N, wide, long) blocks, the trend over depth taken off."""
    if len(blocks) == 0:
        return torch.full((AXIAL + LATERAL,), torch.nan)
    even = blocks - blocks.mean(dim=1, keepdim=True)
    power = even.square().mean()
    axial = [(even[..., k:] * even[..., :-k]).mean() for k in range(1, AXIAL + 1)]
    lateral = [(even[:, k:] * even[:, :-k]).mean() for k in range(1, LATERAL + 1)]
    return torch.stack([*axial, *lateral]) / power


def _filters() -> Tensor:
    """(SLICES, 1, 5, 9) combinations of derivatives of Gaussians, of unit norm each."""
    y, x = torch.meshgrid(torch.arange(-2.0, 3), torch.arange(-4.0, 5), indexing="ij")
    bank = []
    for wide, long in ((0.6, 0.8), (1.0, 1.6)):
        bell = torch.exp(-0.5 * ((y / wide) ** 2 + (x / long) ** 2))
        bank += [y * bell, x * bell, (y**2 / wide**2 - 1) * bell, (x**2 / long**2 - 1) * bell]
    stack = torch.stack([one - one.mean() for one in bank])
    stack = stack / torch.linalg.vector_norm(stack, dim=(-1, -2), keepdim=True)
    mix = torch.randn(SLICES, len(stack), generator=torch.Generator().manual_seed(0))
    mix = mix / torch.linalg.vector_norm(mix, dim=1, keepdim=True)
    return torch.einsum("sf,fyx->syx", mix, stack)[:, None]

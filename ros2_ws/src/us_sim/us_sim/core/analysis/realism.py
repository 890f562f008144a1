# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Realism metrics: distances of rendered from real frames, on scan lines × depth, each in its own unit.

Frames are (N, L, S) grey levels, 0 to 255, along the scan lines of one probe. Real frames come resampled to it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from us_sim.core.geometry.probe import ProbeGeometry

Frames = NDArray[np.floating]
Band = tuple[float, float]

BANDS: tuple[Band, ...] = ((5, 20), (20, 35), (35, 50), (50, 65), (65, 80), (80, 95), (95, 110), (110, 125), (125, 140))
WHOLE: Band = (5.0, 140.0)  # mm; nearer the probe itself rings, deeper there is little but noise
BLACK = 12.0  # grey level up to which a sample counts as black
STEEP = 17.0  # grey to a mm above which a sample lies on an edge: 27 % of the sweep of real frames do
QUANTILES = np.linspace(0.5, 99.5, 100)
BLOCK_LINES, BLOCK_DEPTH = 16, 10.0  # scan lines and mm of a block


def band(frames: Frames, probe: ProbeGeometry, depths: Band) -> Frames:
    """Return the samples between two depths in mm, (N, L, samples there)."""
    at = (probe.sample_depths >= depths[0]) & (probe.sample_depths < depths[1])
    return frames[..., at]


def grey_distance(frames: Frames, real: Frames, probe: ProbeGeometry) -> float:
    """Mean over the bands of the distance between both grey distributions (1-Wasserstein), grey levels."""
    return float(np.mean([_apart(band(frames, probe, depths), band(real, probe, depths)) for depths in BANDS]))


def _apart(some: Frames, others: Frames) -> float:
    return float(np.abs(np.percentile(some, QUANTILES) - np.percentile(others, QUANTILES)).mean())


def mean_by_depth(frames: Frames, probe: ProbeGeometry) -> NDArray[np.float64]:
    """Mean grey of each of the bands."""
    return np.array([band(frames, probe, depths).mean() for depths in BANDS], dtype=np.float64)


def share_of_black(frames: Frames, probe: ProbeGeometry) -> float:
    """Share of the samples that are black, 0 to 1."""
    return float((band(frames, probe, WHOLE) <= BLACK).mean())


def edge_density(frames: Frames, probe: ProbeGeometry) -> float:
    """Share of the samples at which grey changes by more than STEEP a mm, 0 to 1."""
    depths = probe.sample_depths
    per_line = (np.diff(probe.line_angles).mean() * (probe.apex + depths)) if math.isfinite(probe.apex) else (
        np.full(len(depths), probe.aperture / probe.scan_lines)
    )  # fmt: skip
    across, along = np.gradient(frames.astype(np.float32), axis=(-2, -1))
    return float((band(np.hypot(along / probe.sample_spacing, across / per_line), probe, WHOLE) > STEEP).mean())


def lateral_profile(frames: Frames, probe: ProbeGeometry, parts: int = 12) -> NDArray[np.float64]:
    """Mean grey of so many equal parts of the fan, from the image's left to its right."""
    lines = band(frames, probe, WHOLE).mean(axis=(0, 2))
    return np.array([part.mean() for part in np.array_split(lines, parts)])


def blocks(frames: Frames, probe: ProbeGeometry, depth: float) -> Frames:
    """Return blocks at a depth in mm, (blocks, BLOCK_LINES, samples): the lit ones, of these the more even half.

    That leaves out vessels, the diaphragm and the edges of shadows.
    """
    rows = band(frames, probe, (depth, depth + BLOCK_DEPTH))
    found = [rows[:, at : at + BLOCK_LINES] for at in range(40, probe.scan_lines - 52, BLOCK_LINES)]
    if not found:
        return np.empty((0, BLOCK_LINES, rows.shape[-1]))
    every = np.concatenate(found)
    lit = every[every.mean(axis=(1, 2)) > 15]
    order = np.argsort(lit.std(axis=(1, 2)) / lit.mean(axis=(1, 2)))
    return lit[order[: (len(lit) + 1) // 2]]


def block_sd(frames: Frames, probe: ProbeGeometry, depth: float) -> float:
    """Median standard deviation of the blocks at a depth in mm, grey levels; NaN without any."""
    return _median([float(block.std()) for block in blocks(frames, probe, depth)])


def grain(frames: Frames, probe: ProbeGeometry, depth: float) -> tuple[float, float]:
    """Median full width at half maximum of the blocks' autocorrelation, axial and lateral, mm; NaN without any."""
    found = blocks(frames, probe, depth)
    middle = depth + 0.5 * BLOCK_DEPTH
    curved = math.isfinite(probe.apex)
    lateral = (probe.apex + middle) * probe.field_of_view if curved else probe.aperture
    axial_width = _median([correlation_width(block, 1) for block in found]) * probe.sample_spacing
    return axial_width, _median([correlation_width(block, 0) for block in found]) * lateral / probe.scan_lines


def _median(values: list[float]) -> float:
    return float(np.nanmedian(values)) if values else math.nan


def correlation_width(block: Frames, axis: int) -> float:
    """Full width at half maximum of the autocorrelation along an axis, in samples, the depth trend taken off."""
    even = block - block.mean(axis=0)
    spectrum = np.abs(np.fft.fft(even, n=2 * even.shape[axis], axis=axis)) ** 2
    curve = np.fft.ifft(spectrum.sum(axis=1 - axis)).real
    if curve[0] <= 0:
        return math.nan
    below = int(np.argmax(curve < 0.5 * curve[0]))
    rest, before = 0.5 * curve[0], curve[below - 1]
    return 2 * float(below - 1 + (before - rest) / (before - curve[below]))


def summary(frames: Frames, probe: ProbeGeometry) -> dict[str, float]:
    """Return what one line of the table says of some frames."""
    shown = band(frames, probe, WHOLE)
    axial, lateral = grain(frames, probe, 50.0)
    profile = lateral_profile(frames, probe)
    return {
        "mean": float(shown.mean()),
        "SD": float(shown.std()),
        "99 %": float(np.percentile(shown, 99)),
        "black %": 100 * share_of_black(frames, probe),
        "edges %": 100 * edge_density(frames, probe),
        "block SD": block_sd(frames, probe, 50.0),
        "axial mm": axial,
        "lateral mm": lateral,
        "fan edges": float(profile[[0, -1]].mean()),
        "centre": float(profile[len(profile) // 2 - 1 : len(profile) // 2 + 1].mean()),
    }

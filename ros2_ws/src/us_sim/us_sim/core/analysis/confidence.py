# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Ultrasound confidence map: for each pixel the probability that a random walk reaches the transducer.

Source: Karamalis, Wein, Klein, Navab 2012, "Ultrasound confidence maps using random walks", Medical Image Analysis
16(6), doi 10.1016/j.media.2012.07.005. The walk runs on the scan lines, as the paper has it for curved probes. To keep
up with a stream it runs on LINES × DEPTHS cells; α and β are fitted to that. So that maps of different frames
compare, grey levels are not stretched to each frame's own range; those from BRIGHT on count as one, for a bright
layer near the face does not make what lies behind it doubtful, but nearly black does.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter, map_coordinates

from us_sim.core.errors import ProbeError
from us_sim.core.geometry.probe import ProbeGeometry

ALPHA = 1.0  # attenuation over the depth of the image
BETA = 60.0  # how much a step of grey hinders the walk
GAMMA = 0.05  # penalty on leaving the scan line
LEAST = 1e-5  # weight of any edge
BRIGHT = 40  # grey level of tissue beyond doubt
LINES, DEPTHS = 64, 96  # cells
GRAIN = 1.0  # cells, standard deviation over which speckle is evened out
_WITHIN = (2, 4)  # points averaged in a cell, across and along

Array = NDArray[np.float64]


def confidence_map(image: NDArray[np.uint8], probe: ProbeGeometry) -> NDArray[np.float32]:
    """Return (H, W) confidence, 0 to 1, of an (H, W) B-mode image; 0 outside the fan.

    Raises:
        ProbeError: an image that does not have the size of the probe's frame.
    """
    if image.shape != (probe.height, probe.width):
        raise ProbeError(f"image has shape {image.shape}; the probe's frame asks for {(probe.height, probe.width)}")
    samples, pixels = _places(probe)
    fine = map_coordinates(image, samples, np.float64, order=1, mode="nearest")
    cells = fine.reshape(LINES, _WITHIN[0], DEPTHS, _WITHIN[1]).mean(axis=(1, 3))
    grey = np.minimum(gaussian_filter(cells, GRAIN, mode="nearest") / BRIGHT, 1.0)
    found = np.zeros(image.shape, np.float32)
    found[probe.fan_mask] = map_coordinates(random_walk(grey), pixels, np.float32, order=1, mode="nearest")
    return found


def random_walk(grey: Array) -> Array:
    """Return (L, S) probability that a walk from each cell comes to the first sample before the last one.

    Neighbours of cell i on its line (γ = 0), beside it (GAMMA) and across a corner (√2 GAMMA) are entered with weight
    exp(−β (|cᵢ − cⱼ| + γ)), c = grey · exp(−α depth). With 1 at the first sample and 0 at the last, the probabilities
    solve the equations of the graph's Laplacian, which is banded: neighbours lie at most L + 1 places apart.

    Args:
        grey: (L, S) levels, 0 to 1, along S samples of L ≥ 3 scan lines.
    """
    lines, depths = grey.shape
    c = (grey * np.exp(-ALPHA * np.linspace(0.0, 1.0, depths))).T  # row after row of equal depth
    down = _weight(c[1:], c[:-1], 0.0)  # (S − 1, L)
    aside = _weight(c[1:-1, 1:], c[1:-1, :-1], GAMMA)  # (S − 2, L − 1): the rows in question
    falling = _weight(c[1:, 1:], c[:-1, :-1], np.sqrt(2) * GAMMA)  # to the next line; (S − 1, L − 1)
    rising = _weight(c[1:, :-1], c[:-1, 1:], np.sqrt(2) * GAMMA)  # to the line before
    above, below = down.copy(), down.copy()  # all the weight between a cell and the row over it, and under it
    above[:, 1:] += falling
    above[:, :-1] += rising
    below[:, :-1] += falling
    below[:, 1:] += rising
    degree = above[:-1] + below[1:]
    degree[:, 1:] += aside
    degree[:, :-1] += aside
    bands = np.zeros((lines + 2, depths - 2, lines))
    bands[0] = degree
    bands[1, :, :-1] = -aside
    bands[lines - 1, :-1, 1:] = -rising[1:-1]
    bands[lines, :-1] = -down[1:-1]
    bands[lines + 1, :-1, :-1] = -falling[1:-1]
    known = np.zeros((depths - 2, lines))
    known[0] = above[0]
    solved = solveh_banded(
        bands.reshape(lines + 2, -1), known.ravel(), lower=True, overwrite_ab=True, overwrite_b=True, check_finite=False
    )
    rows = np.vstack([np.ones(lines), solved.reshape(depths - 2, lines), np.zeros(lines)])
    return np.ascontiguousarray(rows.T)


def _weight(a: Array, b: Array, penalty: float) -> Array:
    return np.exp(-BETA * (np.abs(a - b) + penalty)) + LEAST


@lru_cache(maxsize=4)
def _places(probe: ProbeGeometry) -> tuple[Array, Array]:
    """Row and column, in the image, of the cells' points; line and depth, in cells, of the fan's pixels."""
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    across, along = LINES * _WITHIN[0], DEPTHS * _WITHIN[1]
    fine = replace(probe, scan_lines=across, samples=along)
    x, z = fine.polar_points[..., 0].astype(np.float64), fine.polar_points[..., 2].astype(np.float64)
    samples = np.stack([(z - z0) / dz, (x - x0) / dx])
    line, sample = np.moveaxis(probe.polar_of_pixel[probe.fan_mask].astype(np.float64), -1, 0)
    pixels = np.stack([
        (line + 0.5) * (LINES / probe.scan_lines) - 0.5, (sample + 0.5) * (DEPTHS / probe.samples) - 0.5])  # fmt: skip
    return samples, pixels

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Metrics of single frames: distance to another frame, border contrast, overlap, hallucinated structures."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.metrics import structural_similarity

Picture = NDArray[np.float64]
Mask = NDArray[np.bool_]
Classes = NDArray[np.uint8]
Spacing = tuple[float, float]  # mm between rows, and between columns

GREYS = 255.0
BORDER = (1.0, 6.0)  # mm from a border, between which its two sides are compared
ENOUGH = 50  # pixels on either side, or of an organ, below which the metric is NaN
RIDGE_WIDTH = 1.5  # mm, scale at which ridges are looked for
RIDGE_HEIGHT = 8.0  # grey levels: scale-normalised second derivative across a ridge
ELONGATED = 2.0  # second derivative across a ridge over that along it
FAR = 5.0  # mm from the next interface, beyond which a ridge is a hallucinated structure


def psnr(image: Picture, reference: Picture, where: Mask) -> float:
    """Peak signal-to-noise ratio in dB of grey levels 0 to 255 where it counts; inf for equal pictures."""
    error = float(np.square(image - reference)[where].mean())
    return 10 * math.log10(GREYS**2 / error) if error else math.inf


def correlation(image: Picture, reference: Picture, where: Mask) -> float:
    """Pearson's correlation of grey levels where it counts; NaN where one of them is constant."""
    a, b = (x[where] - x[where].mean() for x in (image, reference))
    scale = math.sqrt(float((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale else math.nan


def pose_correlation(frames: Picture, where: Mask) -> float:
    """Mean correlation of (B, H, W) frames of different poses where both count; 1 for the same image at every pose."""
    pairs = list(combinations(range(len(frames)), 2))
    found = [correlation(frames[i], frames[j], where[i] & where[j]) for i, j in pairs
             if np.count_nonzero(where[i] & where[j]) > ENOUGH]  # fmt: skip
    kept = [value for value in found if math.isfinite(value)]
    return float(np.mean(kept)) if kept else math.nan


def ssim(image: Picture, reference: Picture, where: Mask) -> float:
    """Structural similarity (Wang et al. 2004: Gaussian of 1.5 pixels), mean of its map where it counts."""
    _, similar = structural_similarity(
        image, reference, data_range=GREYS, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    return float(similar[where].mean())


def dice(found: Classes, wanted: Classes, where: Mask, tissue: int) -> float:
    """2|F∩W| / (|F| + |W|) of a class where it counts; NaN where fewer than ENOUGH pixels are wanted."""
    f, w = (found == tissue) & where, (wanted == tissue) & where
    if np.count_nonzero(w) < ENOUGH:
        return math.nan
    return 2 * np.count_nonzero(f & w) / (np.count_nonzero(f) + np.count_nonzero(w))


def gcnr(one: Picture, other: Picture, bins: int = 32) -> float:
    """Generalised contrast-to-noise ratio: 1 − overlap of two grey histograms (Rodriguez-Molares et al. 2020)."""
    a, b = (np.histogram(x, bins, (0, GREYS))[0] / max(1, x.size) for x in (one, other))
    return 1 - float(np.minimum(a, b).sum())


def border_gcnr(image: Picture, tissue: Classes, where: Mask, pair: tuple[int, int], spacing: Spacing) -> float:
    """gCNR of two neighbouring classes, of pixels 1 to 6 mm from the other; NaN without enough of them."""
    sides = []
    for here, there in (pair, pair[::-1]):
        if not (tissue == there).any():
            return math.nan
        distance = distance_transform_edt(tissue != there, sampling=spacing)
        near = (distance > BORDER[0]) & (distance < BORDER[1])
        sides.append(image[(tissue == here) & near & where])
    if min(map(len, sides)) < ENOUGH:
        return math.nan
    return gcnr(*sides)


def interface_distance(tissue: Classes, spacing: Spacing) -> Picture:
    """(H, W) mm to the next pixel at which the class changes; inf where there is none."""
    edge = np.zeros(tissue.shape, bool)
    for axis in (0, 1):
        change = np.diff(tissue.astype(np.int16), axis=axis) != 0
        first, last = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        first[axis], last[axis] = (0, 1), (1, 0)
        edge |= np.pad(change, first) | np.pad(change, last)
    if not edge.any():
        return np.full(tissue.shape, np.inf)
    return np.asarray(distance_transform_edt(~edge, sampling=spacing))


def ridges(image: Picture, spacing: Spacing) -> Mask:
    """(H, W) whether a pixel lies on a bright, elongated ridge: eigenvalues of the Hessian at RIDGE_WIDTH.

    A straight line of Gaussian profile with height A and standard deviation s answers, after smoothing by σ, with
    A s σ² / (s² + σ²)^{3/2}: 0.35 A for s = σ.
    """
    sigma = [RIDGE_WIDTH / step for step in spacing]
    rr, rc, cc = (
        RIDGE_WIDTH**2 * gaussian_filter(image, sigma, order=order) / scale
        for order, scale in (
            ((2, 0), spacing[0] ** 2), ((1, 1), spacing[0] * spacing[1]), ((0, 2), spacing[1] ** 2)
        )
    )  # fmt: skip
    middle, spread = (rr + cc) / 2, np.hypot((rr - cc) / 2, rc)
    across, along = middle - spread, middle + spread
    return np.asarray((across < -RIDGE_HEIGHT) & (-across > ELONGATED * np.abs(along)))


def hallucinated(image: Picture, tissue: Classes, where: Mask, spacing: Spacing) -> float:
    """Share of the pixels more than FAR mm from any interface that lie on a bright ridge; NaN without enough."""
    far = where & (interface_distance(tissue, spacing) > FAR)
    if np.count_nonzero(far) < ENOUGH:
        return math.nan
    return float(ridges(image, spacing)[far].mean())

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Radiomic features of a frame: first-order, co-occurrence (GLCM) and run lengths (GLRLM) of its grey levels.

Definitions of the Image Biomarker Standardisation Initiative (Zwanenburg et al. 2020, doi 10.1148/radiol.2020191145),
2D, bins of fixed width, distance 1, features averaged over four directions. PyRadiomics has more of them, but no wheel
for today's Python.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.feature import graycomatrix, graycoprops

BIN = 16  # grey levels
LEVELS = 256 // BIN
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)

Levels = NDArray[np.uint8]
Named = dict[str, float]


def features(frame: NDArray[np.floating], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the features of a (H, W) frame, 0 to 255, where it counts: (d,), named by `named`."""
    return np.array(list(named(frame, where).values()))


def named(frame: NDArray[np.floating], where: NDArray[np.bool_]) -> Named:
    """The same by name. Pixels that do not count end runs and have no neighbours."""
    levels = np.where(where, np.clip(frame, 0, 255) // BIN + 1, 0).astype(np.uint8)
    return first_order(frame[where], levels[where]) | co_occurrence(levels) | run_lengths(levels)


def first_order(values: NDArray[np.floating], levels: Levels) -> Named:
    """Statistics of grey levels, (n,), and of their bins, (n,)."""
    p10, p25, p50, p75, p90 = np.percentile(values, (10, 25, 50, 75, 90))
    shares = np.bincount(levels) / len(levels)
    z = (values - values.mean()) / max(values.std(), np.finfo(float).tiny)
    return {
        "mean": float(values.mean()), "SD": float(values.std()), "10 %": p10, "median": p50, "90 %": p90,
        "interquartile range": p75 - p25, "mean deviation": float(np.abs(values - values.mean()).mean()),
        "skewness": float((z**3).mean()), "kurtosis": float((z**4).mean()),
        "entropy": _entropy(shares), "uniformity": float((shares**2).sum()),
    }  # fmt: skip


def co_occurrence(levels: Levels) -> Named:
    """Features of the symmetric co-occurrence matrix of (H, W) bins from 1 on; 0 does not count."""
    pairs = graycomatrix(levels, [1], ANGLES, LEVELS + 1, symmetric=True)[1:, 1:].astype(np.float64)
    share = pairs / np.maximum(pairs.sum(axis=(0, 1)), 1)
    names = ("contrast", "dissimilarity", "homogeneity", "ASM", "correlation")
    found = {f"GLCM {name}": float(graycoprops(share, name).mean()) for name in names}
    i, j = np.indices(share.shape[:2])[..., None, None]
    off = i + j - 2 * (i * share).sum(axis=(0, 1))
    for name, power in (("cluster shade", 3), ("cluster prominence", 4)):
        found[f"GLCM {name}"] = float((off**power * share).sum(axis=(0, 1)).mean())
    return found | {"GLCM entropy": float(np.mean([_entropy(share[..., 0, k]) for k in range(len(ANGLES))]))}


def run_lengths(levels: Levels) -> Named:
    """Features of the runs of equal bins in (H, W) bins from 1 on; 0 does not count."""
    turned = levels[:, ::-1]
    directions = (levels, levels.T, _diagonals(levels), _diagonals(turned))
    each = [_of_runs(*runs(lines), int(np.count_nonzero(levels))) for lines in directions]
    return {f"GLRLM {name}": float(np.mean([found[name] for found in each])) for name in each[0]}


def runs(lines: Levels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return bin and length of every run in (N, n) lines."""
    flat = np.pad(lines, ((0, 0), (0, 1))).ravel().astype(np.int64)
    starts = np.flatnonzero(np.diff(flat, prepend=-1))
    lengths = np.diff(starts, append=len(flat))
    kept = flat[starts] > 0
    return flat[starts][kept], lengths[kept]


def _of_runs(bins: NDArray[np.int64], lengths: NDArray[np.int64], pixels: int) -> Named:
    count = max(1, len(bins))
    both = np.unique(np.stack([bins, lengths]), axis=1, return_counts=True)[1] / count
    return {
        "short runs": float((1.0 / lengths**2).sum() / count), "long runs": float((lengths**2).sum() / count),
        "grey non-uniformity": float(((np.bincount(bins) / count) ** 2).sum()),
        "length non-uniformity": float(((np.bincount(lengths) / count) ** 2).sum()),
        "share of runs": count / max(1, pixels), "low grey": float((1.0 / bins**2).sum() / count),
        "high grey": float((bins**2).sum() / count), "length variance": float(lengths.var()) if len(lengths) else 0.0,
        "entropy": _entropy(both),
    }  # fmt: skip


def _diagonals(levels: Levels) -> Levels:
    """(H, W) -> a line for each diagonal that goes up to the right, filled with 0."""
    height, width = levels.shape
    sheared = np.zeros((height, height + width - 1), levels.dtype)
    for row, line in enumerate(levels):
        sheared[row, row : row + width] = line
    return sheared.T


def _entropy(shares: NDArray[np.float64]) -> float:
    kept = shares[shares > 0]
    return float(-(kept * np.log2(kept)).sum())

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Means over patients and distances between sets of frames, with bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
SUBSETS = 200
COVERED = (2.5, 97.5)  # percentiles

Features = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval; NaN where nothing was measured.

    Attributes:
        value, low, high: in the unit of what was measured.
        clusters: patients, or frames, that it comes from.
    """

    value: float
    low: float
    high: float
    clusters: int


def clustered(values: Sequence[float], patients: Sequence[str], seed: int = 0) -> Interval:
    """Mean over patients of each patient's mean, with the interval of resampling patients with replacement.

    Frames of one patient are no independent samples; NaN are left out.
    """
    kept = [(v, p) for v, p in zip(values, patients, strict=True) if math.isfinite(v)]
    means = np.array([np.mean([v for v, q in kept if q == p]) for p in sorted({p for _, p in kept})])
    if not len(means):
        return Interval(math.nan, math.nan, math.nan, 0)
    if len(means) == 1:
        return Interval(float(means[0]), math.nan, math.nan, 1)
    rows = np.random.default_rng(seed).integers(len(means), size=(DRAWS, len(means)))
    low, high = np.percentile(means[rows].mean(axis=1), COVERED)
    return Interval(float(means.mean()), float(low), float(high), len(means))


def kid(x: Features, y: Features) -> float:
    """Kernel inception distance: unbiased MMD² of (N, d) and (M, d) under k(a, b) = (a·b/d + 1)³.

    Source: Bińkowski et al. 2018. Around 0 for samples of one distribution, and then negative as often as not.
    """
    d = x.shape[1]
    xx, yy, xy = ((a @ b.T / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def frechet(x: Features, y: Features) -> float:
    """|μx − μy|² + tr(Σx + Σy − 2 (Σx Σy)^½) of (N, d) and (M, d) features; Heusel et al. 2017.

    Biased upwards by few samples: it compares only sets of as many. The last trace is the nuclear norm of
    the product of the covariances' triangular roots, which holds for fewer samples than features too.
    """
    a, b = ((f - f.mean(axis=0)) / math.sqrt(len(f) - 1) for f in (x, y))
    roots = [np.linalg.qr(part).R for part in (a, b)]
    together = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    apart = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()
    return float(apart + (a**2).sum() + (b**2).sum() - 2 * together)


def frd(drawn: Features, real: Features) -> float:
    """Fréchet radiomic distance: log of the Fréchet distance of radiomic features in units of the real frames' SD.

    Source: Konz et al., arXiv 2412.01496, eq. 3. Features that do not vary among the real frames are left out.

    Args:
        drawn, real: (N, d) and (M, d) features, a row a frame.
    """
    spread = real.std(axis=0)
    varies = spread > 1e-12
    scaled = [(f[:, varies] - real.mean(axis=0)[varies]) / spread[varies] for f in (drawn, real)]
    return 0.5 * math.log(max(frechet(*scaled), np.finfo(float).tiny))


def kid_interval(x: Sequence[Features], y: Sequence[Features], seed: int = 0) -> Interval:
    """KID of two sets of clusters, each (n, d) features of one frame or patient, with its interval.

    Half of the clusters are drawn without replacement each time: the spread of such half samples is that of
    the bootstrap, and no sample meets itself in the kernel, which would bias the distance.
    """
    value = kid(np.concatenate(x), np.concatenate(y))
    rng, drawn = np.random.default_rng(seed), []
    if min(len(x), len(y)) < 4:
        return Interval(value, math.nan, math.nan, min(len(x), len(y)))
    for _ in range(SUBSETS):
        a, b = (np.concatenate([s[i] for i in rng.permutation(len(s))[: len(s) // 2]]) for s in (x, y))
        drawn.append(kid(a, b))
    low, high = np.percentile(drawn, COVERED)
    return Interval(value, float(low), float(high), min(len(x), len(y)))

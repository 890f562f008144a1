# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Whether a slice that a generator is fed is unlike its training: a distance in the bottleneck of its network.

Mean and standard deviation over the slice of the deepest features, which the network finds as it draws, are compared
with those of the slices it was trained on, by their Mahalanobis distance (Lee et al. 2018, NeurIPS). The covariance is
that of probabilistic PCA: exact along the axes on which the training varies most, the same along all others (Tipping &
Bishop 1999, J. R. Stat. Soc. B, eq. 7 and 8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from us_sim.core.errors import ArtifactError

FLOOR = 0.05  # least spread, as a share of the mean spread: a feature that hardly varies tells little
AXES = 32  # at most
LEAST_REST = 0.1  # spreads off the axes that count as none: half precision moves a feature by a fortieth of its spread
USUAL = 0.99  # share of slices of other patients, unlike those learned from, that lie within the limit


@dataclass(frozen=True, eq=False)
class TrainingStatistics:
    """Statistics of the bottleneck over the slices that a generator was trained on.

    Attributes:
        mean, spread: (F,) of the features.
        axes: (K, F) orthonormal, in spreads: those along which the slices vary most.
        along: (K,) standard deviations on the axes, spreads.
        rest: () standard deviation in every direction across them, spreads.
        limit: () distance within which USUAL of held-out slices lie.
    """

    mean: Tensor
    spread: Tensor
    axes: Tensor
    along: Tensor
    rest: Tensor
    limit: Tensor

    def ood_score(self, bottleneck: Tensor) -> Tensor:
        """Return the distance over the limit, (B,), of `Drawn.bottleneck`: above 1 a slice is unlike training."""
        return self.distance(bottleneck) / self.limit

    def distance(self, bottleneck: Tensor) -> Tensor:
        """Return the Mahalanobis distance, (B,), of (B, F) features, over the root of their number."""
        off = (bottleneck - self.mean) / self.spread
        on_axes = off @ self.axes.T
        across = (off.square().sum(dim=1) - on_axes.square().sum(dim=1)).clamp(min=0)
        square = (on_axes / self.along).square().sum(dim=1) + across / self.rest.square()
        return (square / len(self.mean)).sqrt()

    def to(self, device: torch.device) -> TrainingStatistics:
        """Return the same on a device."""
        return TrainingStatistics(*(value.to(device) for value in vars(self).values()))


def learned(training: Tensor, held_out: Tensor) -> TrainingStatistics:
    """Return what is usual, from `Drawn.bottleneck` of N slices of training and M of patients held out."""
    mean, spread = training.mean(dim=0), training.std(dim=0)
    spread = spread.clamp(min=FLOOR * float(spread.mean()))
    off = (training - mean) / spread
    _, lengths, axes = torch.linalg.svd(off, full_matrices=False)
    variances = lengths.square() / (len(off) - 1)
    count = min(AXES, len(variances) - 1)
    rest = (variances[count:].sum() / (off.shape[1] - count)).sqrt().clamp(min=LEAST_REST)
    along = variances[:count].sqrt().clamp(min=float(rest))
    found = TrainingStatistics(mean, spread, axes[:count], along, rest, torch.tensor(1.0))
    return TrainingStatistics(mean, spread, axes[:count], along, rest, found.distance(held_out).quantile(USUAL))


def from_tensors(kept: Mapping[str, Tensor]) -> TrainingStatistics:
    """Return statistics of tensors by the names of the attributes, as `vars` gives them.

    Raises:
        ArtifactError: they are no such statistics.
    """
    names = [field.name for field in fields(TrainingStatistics)]
    if set(kept) != set(names):
        raise ArtifactError(f"training statistics {sorted(kept)}; expected {sorted(names)}: learn them again")
    found = TrainingStatistics(*(kept[name].float() for name in names))
    features, axes = found.mean.numel(), found.along.numel()
    expected = {"mean": (features,), "spread": (features,), "axes": (axes, features), "along": (axes,)}
    for name, value in vars(found).items():
        if tuple(value.shape) != expected.get(name, ()) or not bool(value.isfinite().all()):
            raise ArtifactError(
                f"training statistics: {name} of shape {tuple(value.shape)}; expected finite numbers of shape "
                f"{expected.get(name, ())}: learn them again"
            )
        if name not in ("mean", "axes") and not bool((value > 0).all()):
            raise ArtifactError(f"training statistics: {name} down to {float(value.min())}; expected above 0")
    return found

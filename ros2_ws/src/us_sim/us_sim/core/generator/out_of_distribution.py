# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Whether a slice that a generator is fed is unlike its training: a distance in the bottleneck of its network.

The network's encoder reads the input at a quarter of its resolution, which tells anatomy and takes a thirtieth of the
work of a frame. Mean and standard deviation of its deepest features over the slice are compared with those of the
slices it was trained on, each in units of its own spread there (Lee et al. 2018, NeurIPS, with a diagonal covariance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from us_sim.core.errors import ArtifactError

COARSE = 4  # pixels that are averaged along both axes
FLOOR = 0.05  # least spread, as a share of the mean spread: a feature that hardly varies tells little
USUAL = 0.99  # share of slices of other patients, unlike those learned from, that lie within the limit


@dataclass(frozen=True, eq=False)
class TrainingStatistics:
    """Statistics of the bottleneck over the slices that a generator was trained on.

    Attributes:
        mean, spread: (F,) of the features.
        limit: distance within which USUAL of held-out slices lie.
    """

    mean: Tensor
    spread: Tensor
    limit: float

    def ood_score(self, encoder: nn.ModuleList, read: Tensor) -> Tensor:
        """Return the distance over the limit, (B,): above 1 a slice is unlike training.

        Args:
            encoder: of the generator's network, `UNet.down`, where the rest lies.
            read: (B, C, H, W), what it is fed.
        """
        return self._distance(features(encoder, read)) / self.limit

    def to(self, device: torch.device) -> TrainingStatistics:
        """Return the same on a device."""
        return TrainingStatistics(self.mean.to(device), self.spread.to(device), self.limit)

    def _distance(self, found: Tensor) -> Tensor:
        return ((found - self.mean) / self.spread).square().mean(dim=1).sqrt()

    def to_card(self) -> dict[str, Any]:
        """Return what the card keeps, as numbers and lists."""
        return {"mean": self.mean.tolist(), "spread": self.spread.tolist(), "limit": self.limit}


@torch.inference_mode()
def features(encoder: nn.ModuleList, read: Tensor) -> Tensor:
    """Return (B, F) of (B, C, H, W) input: mean and standard deviation over the slice of each deepest feature."""
    x = nn.functional.avg_pool2d(read, COARSE).float()
    for level, block in enumerate(encoder):
        x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
    flat = x.flatten(2).float()
    return torch.cat([flat.mean(dim=2), flat.std(dim=2, correction=0)], dim=1)


def learned(training: Tensor, held_out: Tensor) -> TrainingStatistics:
    """Return what is usual, from the features of slices: (N, F) of training, (M, F) of patients held out."""
    spread = training.std(dim=0)
    found = TrainingStatistics(training.mean(dim=0), spread.clamp(min=FLOOR * float(spread.mean())), 1.0)
    return TrainingStatistics(found.mean, found.spread, float(found._distance(held_out).quantile(USUAL)))


def from_card(kept: dict[str, Any]) -> TrainingStatistics | None:
    """Read what `to_card` gave; None for a card that keeps nothing.

    Raises:
        ArtifactError: not what `to_card` gives.
    """
    if not kept:
        return None
    try:
        mean, spread = (torch.tensor(kept[name], dtype=torch.float32) for name in ("mean", "spread"))
        limit = float(kept["limit"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ArtifactError(
            f"card: training_statistics lacks mean, spread, limit as numbers ({error}); export again"
        ) from error
    good = mean.ndim == 1 and mean.shape == spread.shape and bool(mean.isfinite().all() and spread.isfinite().all())
    if not (good and len(mean) > 0 and float(spread.min()) > 0 and 0 < limit < float("inf")):
        raise ArtifactError(
            f"card: training_statistics has means {tuple(mean.shape)}, spreads {tuple(spread.shape)}, limit {limit}; "
            "expected as many finite means as positive spreads, and a positive limit"
        )
    return TrainingStatistics(mean, spread, limit)

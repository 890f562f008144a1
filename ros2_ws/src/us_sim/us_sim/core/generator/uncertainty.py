# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""How far from the physics frame a generator draws, pixel by pixel: an ensemble of small heads on its last features.

Each head tells the logarithm of the error from the features and their squares, and is fitted to a bootstrap of the
patients. Where the heads disagree, the features are unlike those that they know, and the error told is larger. One
factor makes 68 % of the errors on further patients lie below it, as a standard deviation does.
Source: Osband et al. 2016 (NeurIPS), bootstrapped heads; Levi et al. 2022 (Sensors), calibration by one factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from us_sim.core.errors import ArtifactError

HEADS = 8
WITHIN = 0.683  # share of errors below what is told
RIDGE = 1e-3  # of the mean square of an input


@dataclass(frozen=True, eq=False)
class ErrorHeads:
    """The ensemble.

    Attributes:
        weights: (K, 2 F + 1): of the F features, of their squares, and a constant.
        factor: () on what the heads tell.
    """

    weights: Tensor
    factor: Tensor

    def told(self, features: Tensor) -> Tensor:
        """Return the error to expect, (B, h, w) grey levels, of (B, F, h, w) features, `UNet.last_features`."""
        logs = F.conv2d(inputs(features), self.weights[:, :-1, None, None], self.weights[:, -1])
        return (self.factor * torch.exp(logs.mean(dim=1) + logs.std(dim=1))).clamp(max=255)

    def to(self, device: torch.device) -> ErrorHeads:
        """Return the same on a device."""
        return ErrorHeads(self.weights.to(device), self.factor.to(device))


def inputs(features: Tensor) -> Tensor:
    """Return what a head reads of (B, F, h, w) features but the constant, (B, 2 F, h, w)."""
    return torch.cat([features, features.square()], dim=1)


@dataclass(frozen=True, eq=False)
class Moments:
    """What a patient adds to the least squares of a head: (D, D) of inputs with inputs, (D,) with targets."""

    inputs: Tensor
    targets: Tensor


def moments(features: Tensor, errors: Tensor) -> Moments:
    """Return those of (B, F, h, w) features and (B, h, w) errors in grey levels; NaN where there is no frame."""
    rows = inputs(features).movedim(1, -1)[errors.isfinite()].double()
    rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=torch.double)], dim=1)
    targets = torch.log(errors[errors.isfinite()].double().abs().clamp(min=0.5))  # half a grey level: rounding
    return Moments(rows.T @ rows, rows.T @ targets)


def fitted(patients: list[Moments], seed: int = 0) -> ErrorHeads:
    """Return heads, each fitted to as many patients as there are, drawn with replacement; their factor is 1."""
    random = torch.Generator().manual_seed(seed)
    weights = []
    for _ in range(HEADS):
        drawn = torch.randint(len(patients), (len(patients),), generator=random).tolist()
        square = sum((patients[n].inputs for n in drawn), torch.zeros(()))
        ridge = RIDGE * torch.diag(square.diagonal().mean().expand(len(square)))
        target = sum((patients[n].targets for n in drawn), torch.zeros(()))
        weights.append(torch.linalg.solve(square + ridge, target))
    return ErrorHeads(torch.stack(weights).float(), torch.tensor(1.0))


def calibrated(heads: ErrorHeads, told: Tensor, errors: Tensor) -> ErrorHeads:
    """Return the heads with the factor at which WITHIN of the errors, (N,), lie below what they `told` of them."""
    ratio = (errors.abs() / told).sort().values
    return ErrorHeads(heads.weights, heads.factor * ratio[round(WITHIN * (len(ratio) - 1))])


def from_tensors(kept: Mapping[str, Tensor], features: int) -> ErrorHeads:
    """Return heads for so many features from tensors by the names of the attributes, as `vars` gives them.

    Raises:
        ArtifactError: they are no such heads.
    """
    shapes = {name: tuple(value.shape) for name, value in kept.items()}
    heads = shapes.get("weights", (0,))[0]
    expected = {"weights": (max(heads, 2), 2 * features + 1), "factor": ()}
    finite = all(bool(value.isfinite().all()) for value in kept.values())
    if shapes != expected or not finite or float(kept["factor"]) <= 0:
        raise ArtifactError(f"error heads {shapes}; expected finite numbers {expected} and a factor above 0: fit again")
    return ErrorHeads(kept["weights"].float(), kept["factor"].float())

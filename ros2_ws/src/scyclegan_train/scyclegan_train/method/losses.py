# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The losses of S-CycleGAN, each over valid pixels only.

Every loss is first a mean over the pixels of a sample, then a mean over all samples of the batch, those that do not
take part included as 0: the mean over processes is then the loss of the joint batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

DICE_SMOOTHING = 1.0  # pixels; a class that neither shows nor is predicted costs nothing
BLACK = -1.0  # what discriminators see where nothing counts


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Sum of scalar losses, each times the weight of its name.

    Raises:
        ValueError: a loss without a weight: a name misspelt would otherwise count with a weight of its own.
    """
    unknown = sorted(losses.keys() - weights.keys())
    if unknown:
        raise ValueError(f"losses {unknown} have no weight; expected some of {sorted(weights)}")
    return torch.stack([weights[name] * value for name, value in losses.items()]).sum()


def pixel_mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean over the counted pixels of each sample, then over the samples.

    Args:
        values: (B, C, H, W).
        where: (B, H, W) bool or weights ≥ 0; a sample without any counts as 0.
    """
    weight = where[:, None].to(values.dtype).expand_as(values)
    return ((values * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1e-6)).mean()


def adversarial(kind: str, logits: Tensor, real: bool, where: Tensor) -> Tensor:
    """Adversarial loss of a discriminator's logits against `real`.

    Args:
        kind: `vanilla`, eq. 1, with the generator's part in the usual non-saturating form; or `lsgan`, least squares.
        logits: (B, 1, h, w) of patches.
        real: the answer wanted.
        where: (B, H, W) bool; averaged down to the patches, each of which counts by its share.
    """
    target = torch.full_like(logits, float(real))
    if kind == "vanilla":
        each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    else:
        each = (logits - target) ** 2
    return pixel_mean(each, patch_weight(where, logits))


def patch_weight(where: Tensor, logits: Tensor) -> Tensor:
    """(B, H, W) averaged down to the (B, h, w) of the patch map."""
    height, width = logits.shape[-2:]
    return F.adaptive_avg_pool2d(where[:, None].float(), (height, width))[:, 0]


def l1(a: Tensor, b: Tensor, where: Tensor) -> Tensor:
    """Mean absolute difference of (B, C, H, W) images where (B, H, W) counts; eq. 2 when used for the cycle."""
    return pixel_mean((a - b).abs(), where)


def cross_entropy(logits: Tensor, mask: Tensor, where: Tensor) -> Tensor:
    """Eq. 3: (B, n, H, W) logits against a one-hot (B, n, H, W) mask, where (B, H, W) counts."""
    return pixel_mean(-(mask * logits.log_softmax(dim=1)).sum(dim=1, keepdim=True), where)


def dice(logits: Tensor, mask: Tensor, where: Tensor) -> Tensor:
    """Eq. 4, soft Dice loss: 1 − 2|P∩M| / (|P| + |M|), mean over classes; arguments as `cross_entropy`."""
    weight = where[:, None].to(logits.dtype)
    found, wanted = logits.softmax(dim=1) * weight, mask * weight
    overlap = (found * wanted).sum(dim=(2, 3))
    total = found.sum(dim=(2, 3)) + wanted.sum(dim=(2, 3))
    share = 1 - (2 * overlap + DICE_SMOOTHING) / (total + DICE_SMOOTHING)
    counted = (where.flatten(1).sum(1) > 0).to(share.dtype)
    return (share.mean(dim=1) * counted).mean()


def segmentation(logits: Tensor, mask: Tensor, where: Tensor) -> Tensor:
    """L_seg: cross-entropy + Dice."""
    return cross_entropy(logits, mask, where) + dice(logits, mask, where)


def pair(fake: Tensor, twin: Tensor, where: Tensor, sigma: float) -> Tensor:
    """L1 between blurred images and between their gradients: speckle is free, what lies where is not."""
    a, b = blurred(masked(fake, where), sigma), blurred(masked(twin, where), sigma)
    loss = l1(a, b, where)
    for axis in (-2, -1):
        both = where.narrow(axis, 1, where.shape[axis] - 1) & where.narrow(axis, 0, where.shape[axis] - 1)
        loss = loss + l1(a.diff(dim=axis), b.diff(dim=axis), both)
    return loss


def masked(image: Tensor, where: Tensor) -> Tensor:
    """(B, C, H, W) with black where nothing counts."""
    return torch.where(where[:, None], image, BLACK)


def blurred(image: Tensor, sigma: float) -> Tensor:
    """(B, C, H, W) under a Gaussian of `sigma` pixels; 0 leaves it as it is."""
    if sigma == 0:
        return image
    reach = max(1, round(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=image.device) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(image.dtype)
    flat = image.flatten(0, 1)[:, None]
    flat = F.conv2d(F.pad(flat, (0, 0, reach, reach), mode="replicate"), kernel[None, None, :, None])
    flat = F.conv2d(F.pad(flat, (reach, reach, 0, 0), mode="replicate"), kernel[None, None, None, :])
    return flat.reshape(image.shape)

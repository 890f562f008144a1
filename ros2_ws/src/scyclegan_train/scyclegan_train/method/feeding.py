# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Network inputs from batches: images of 3 channels in [−1, 1] and one-hot masks.

The input of G_ct2us equals `us_sim.core.generator.encoding.encode` bit for bit; these functions also build it from
a fake CT and from a mask that carries a gradient, which the simulator never needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scyclegan_train.config import IMAGE
from scyclegan_train.data.samples import CtBatch, UsBatch
from scyclegan_train.method.losses import BLACK
from scyclegan_train.method.networks import mask_channels
from us_sim.core.generator.card import Card
from us_sim.core.generator.encoding import class_index, encode, transmission


@dataclass(frozen=True, eq=False)
class Real:
    """A batch of one domain.

    Attributes:
        image: (B, 3, H, W) in [−1, 1]: CT through the card's windows, or grey levels.
        mask: (B, n, H, W) float32 one-hot over the card's classes.
        where: (B, H, W) bool: fan and coupled.
    """

    image: Tensor
    mask: Tensor
    where: Tensor


def real_ct(card: Card, ct: CtBatch, fan: Tensor) -> Real:
    """See a batch of CT; for `source: physics` its image is the physics frame.

    Raises:
        ValueError: the card asks for physics frames and the batch has none.
    """
    source = ct.physics if card.source == "physics" else ct.hu
    if source is None:
        raise ValueError("the generator's source is physics, but the CT source gives no physics frames")
    scatter = torch.zeros_like(source) if card.encoding == "rich" else None
    views = encode(card, source, torch.zeros_like(ct.tissue), scatter, fan)[:, : _views(card)]
    image = torch.stack([views[:, i % views.shape[1]] for i in range(IMAGE)], dim=1)
    return Real(image, one_hot(card, ct.tissue, fan), ct.valid)


def real_us(card: Card, us: UsBatch, fan: Tensor) -> Real:
    """See a batch of ultrasound."""
    return Real(us_image(us.image), one_hot(card, us.tissue, fan), us.valid)


def us_image(grey: Tensor) -> Tensor:
    """(B, H, W) grey levels 0 to 255 -> (B, 3, H, W) in [−1, 1]."""
    return (grey / 127.5 - 1)[:, None].expand(-1, IMAGE, -1, -1)


def one_hot(card: Card, tissue: Tensor, fan: Tensor) -> Tensor:
    """(B, H, W) uint8 tissue classes -> (B, n, H, W) float32; background outside the fan."""
    index = class_index(card, tissue.device)[tissue.long()] * fan
    return hard(index, len(card.classes))


def hard(index: Tensor, count: int) -> Tensor:
    """(B, H, W) int64 -> (B, count, H, W) float32 one-hot."""
    classes = torch.arange(count, device=index.device)[None, :, None, None]
    return (index[:, None] == classes).float()


def ct_input(card: Card, image: Tensor, mask: Tensor | None, scatter: Tensor | None, fan: Tensor) -> Tensor:
    """What G_ct2us reads: a real or fake CT image, a mask or none, and for encoding `rich` speckle (B, H, W)."""
    read = [torch.where(fan, image[:, : _views(card)], BLACK)]
    if card.encoding == "rich":
        assert scatter is not None, "encoding rich needs the level of the scatterers"
        read.append((0.5 * scatter * fan)[:, None])
    if mask is None:
        return _widened(torch.cat(read, dim=1), card.channels)
    layers = _written(card, mask * fan)
    return torch.cat([*read, *(transmission(card, layers) if card.encoding == "rich" else []), layers], dim=1)


def us_input(card: Card, image: Tensor, mask: Tensor | None, where: Tensor, fan: Tensor) -> Tensor:
    """What G_us2ct reads: a real or fake ultrasound image and a mask or none."""
    seen = torch.where(where[:, None], image, BLACK)
    if mask is None:
        return _widened(seen, IMAGE + mask_channels(card))
    return torch.cat([seen, _written(card, mask * fan)], dim=1)


def fan_of(card: Card, device: torch.device | str) -> Tensor:
    """Return (H, W) bool: pixels in the fan; all of them on a polar grid."""
    if card.grid == "polar":
        return torch.ones(card.size, dtype=torch.bool, device=device)
    return torch.tensor(card.probe.fan_mask).to(device)


def _views(card: Card) -> int:
    return IMAGE if card.encoding == "paper" else len(card.windows)


def _widened(image: Tensor, channels: int) -> Tensor:
    """The image with channels of zeros where a mask would be."""
    return torch.nn.functional.pad(image, (0, 0, 0, 0, 0, channels - image.shape[1]))


def _written(card: Card, mask: Tensor) -> Tensor:
    """A one-hot mask as the encoding writes labels: index / (classes − 1), or layers without the background."""
    if card.encoding == "rich":
        return mask[:, 1:]
    index = torch.arange(mask.shape[1], device=mask.device, dtype=mask.dtype)
    return (mask * index[:, None, None]).sum(dim=1, keepdim=True) / (mask.shape[1] - 1)

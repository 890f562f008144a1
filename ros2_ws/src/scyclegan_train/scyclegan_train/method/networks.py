# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The networks beside the generator's U-Net: PatchGAN discriminators, segmenters, and how all of them start.

Sources: Isola et al. 2017 (PatchGAN), Zhu et al. 2017 (CycleGAN), Song & Chong (S-CycleGAN, section III-B).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from scyclegan_train.config import IMAGE
from scyclegan_train.method.filter_bank import CHANNELS, FilterBank
from us_sim.core.generator.artifact import build
from us_sim.core.generator.card import Card
from us_sim.core.generator.unet import UNet

PROJECTED = 32  # random mixtures of the filter bank's responses
FILTERS = {70: (64, 128, 256, 512), 34: (64, 128, 256)}  # receptive field, pixels -> filters of each layer


class PatchDiscriminator(nn.Module):
    """(B, 3, H, W) image in [−1, 1] -> (B, 1, h, w) logits, each of a patch of `field` × `field` pixels.

    Args:
        field: receptive field, 70 or 34.
        width: factor on the number of filters; 1.0 is CycleGAN's.
        depth_channel: tell the discriminator the depth, −1 at the first row to 1 at the last.
    """

    def __init__(self, field: int = 70, width: float = 1.0, depth_channel: bool = False) -> None:
        super().__init__()
        self.depth_channel = depth_channel
        filters = [max(4, round(n * width)) for n in FILTERS[field]]
        layers: list[nn.Module] = [nn.Conv2d(IMAGE + depth_channel, filters[0], 4, stride=2, padding=1)]
        for place, (i, o) in enumerate(pairwise(filters)):
            stride = 1 if place == len(filters) - 2 else 2
            layers += [nn.LeakyReLU(0.2), nn.Conv2d(i, o, 4, stride=stride, padding=1), nn.InstanceNorm2d(o)]
        layers += [nn.LeakyReLU(0.2), nn.Conv2d(filters[-1], 1, 4, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor, depth: Tensor | None = None) -> Tensor:
        if self.depth_channel:
            image = torch.cat([image, depth_of(image) if depth is None else depth[:, None].to(image.dtype)], dim=1)
        logits: Tensor = self.layers(image)
        return logits


class FilterDiscriminator(nn.Module):
    """(B, 3, H, W) image in [−1, 1] -> (B, 1, h, w) logits of patches of 34 × 34 pixels, from fixed features.

    It sees responses of a fixed filter bank, projected at random, as Projected GAN (Sauer et al. 2021) sees those of a
    pretrained network: a discriminator with so little to learn is hard to overfit to a hundred frames.

    Args:
        width: factor on the number of filters.
        depth_channel: tell the discriminator the depth, −1 at the first row to 1 at the last.
    """

    def __init__(self, width: float = 1.0, depth_channel: bool = False) -> None:
        super().__init__()
        self.bank, self.depth_channel = FilterBank(), depth_channel
        mixed = torch.randn(PROJECTED, CHANNELS, generator=torch.Generator().manual_seed(0))
        self.register_buffer("projection", (mixed / CHANNELS**0.5)[:, :, None, None], persistent=False)
        first, second = (max(4, round(n * width)) for n in FILTERS[34][:2])
        self.layers = nn.Sequential(
            nn.Conv2d(PROJECTED + depth_channel, first, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(first, second, 4, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(second, 1, 4, padding=1),
        )  # fmt: skip

    def forward(self, image: Tensor, depth: Tensor | None = None) -> Tensor:
        projection: Tensor = self.projection  # type: ignore[assignment]
        features = nn.functional.conv2d(self.bank(image.mean(dim=1, keepdim=True)), projection)
        if self.depth_channel:
            depths = depth_of(image) if depth is None else depth[:, None]
            features = torch.cat([features, depths.to(features.dtype)], dim=1)
        logits: Tensor = self.layers(features)
        return logits


def depth_of(image: Tensor) -> Tensor:
    """(B, 1, H, W) depth of (B, C, H, W) images, −1 at the first row to 1 at the last."""
    b, _, h, w = image.shape
    return torch.linspace(-1, 1, h, device=image.device, dtype=image.dtype)[:, None].expand(b, 1, h, w)


def ct_generator(card: Card, reads_masks: bool = True) -> UNet:
    """Return G_ct2us, the network that the card describes and the simulator runs."""
    return _started(build(card), reads_masks, masks_from=IMAGE if card.encoding == "paper" else len(card.windows) + 1)


def us_generator(card: Card, reads_masks: bool = True) -> UNet:
    """Return G_us2ct: ultrasound and mask in, the CT through the card's windows out."""
    return _started(build(card.beside("us2ct", card.width)), reads_masks, masks_from=IMAGE)


def segmenter(card: Card, width: float = 1.0) -> UNet:
    """Return S_us or S_ct: an image in, logits of the card's classes out."""
    return _started(build(card.beside("segmenter", width)))


def discriminator(
    field: int, width: float = 1.0, depth_channel: bool = False, features: str = "pixels"
) -> PatchDiscriminator | FilterDiscriminator:
    """Return a discriminator of pixels, with CycleGAN's start: weights of N(0, 0.02); or one of fixed `filters`."""
    if features == "filters":
        return FilterDiscriminator(width, depth_channel)
    network = PatchDiscriminator(field, width, depth_channel)
    for layer in network.layers:
        if isinstance(layer, nn.Conv2d):
            _draw(layer, torch.full((), 0.02))
    return network


def mask_channels(card: Card) -> int:
    """Number of channels in which the card's encoding writes labels."""
    return 1 if card.encoding == "paper" else len(card.classes) - 1


def _started(network: UNet, reads_masks: bool = True, masks_from: int = 0) -> UNet:
    """Draw the weights. A network without mask input has zeros there, so that the simulator may feed it labels."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            fan_in = layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else layer.in_channels
            _draw(layer, torch.tensor(2.0 / fan_in).sqrt())  # He et al. 2015: right for ReLU with either norm
        if isinstance(layer, nn.ConvTranspose2d):  # start as nearest neighbour: no checkerboard (Aitken et al. 2017)
            layer.weight.data.copy_(layer.weight.data[:, :, :1, :1])
    nn.init.normal_(network.head.weight, std=0.02)
    if not reads_masks:
        first = network.down[0]
        assert isinstance(first, nn.Sequential)
        assert isinstance(first[0], nn.Conv2d)
        nn.init.zeros_(first[0].weight[:, network.fold * masks_from :])
    return network


def _draw(layer: nn.Conv2d | nn.ConvTranspose2d, deviation: Tensor) -> None:
    nn.init.normal_(layer.weight, std=float(deviation))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)

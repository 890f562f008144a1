# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The generator's network: the U-Net of the paper, and its only definition.

Three encoder blocks of 64, 128 and 256 filters, a bottleneck of 512, skip connections, tanh. `width` scales the
filters. Source: Song & Chong, S-CycleGAN, section III-B; Ronneberger et al. 2015 for the architecture.

Two additions of ours, for encoding `rich`. With `speckle`, the network draws two maps, tone and contrast, and the image
is tone + contrast · speckle: what a scanner shows is the sum of both in dB, and grain that has not gone through the
convolutions stays as fine as it came. With `fold`, that many samples of depth are one row of the network (space to
depth, Shi et al. 2016), so that it costs less than the image has samples.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from us_sim.core.generator.local_contrast import local_contrast

Norm = Literal["instance", "batch"]
FILTERS = (64, 128, 256, 512)
STRIDE = 2 ** (len(FILTERS) - 1)  # height and width must be its multiples


class Drawn(NamedTuple):
    """What a generator draws of B inputs, and how it saw them.

    Attributes:
        image: (B, out, H, W).
        bottleneck: (B, 2 F): mean, then standard deviation, over the slice of each of the F deepest features.
    """

    image: Tensor
    bottleneck: Tensor


class UNet(nn.Module):
    """(B, channels, H, W) -> (B, out, H, W).

    Args:
        channels: input channels, image and semantic mask together.
        out: output channels; 3 for images in [−1, 1].
        width: factor on the number of filters; 1.0 is the paper's.
        norm: `instance` as in CycleGAN, or `batch`, whose statistics do not depend on the frame.
        bounded: end with tanh (images) or without (logits of a segmenter).
        relative: the image is seen by its local contrast.
        speckle: input channel of the speckle that the image is made of; None: it is drawn by the network alone.
        fold: samples of depth in a row of the network; H is a multiple of `fold` · STRIDE.
    """

    def __init__(
        self, channels: int, out: int = 3, width: float = 1.0, norm: Norm = "instance", bounded: bool = True,
        relative: bool = False, speckle: int | None = None, fold: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        filters = [max(4, round(n * width)) for n in FILTERS]
        inputs = [fold * channels, *filters[:-1]]
        self.down = nn.ModuleList(_block(i, o, norm) for i, o in zip(inputs, filters, strict=True))
        pairs = list(zip(filters[:0:-1], filters[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in pairs)
        self.merge = nn.ModuleList(_block(2 * o, o, norm) for _, o in pairs)
        self.head = nn.Conv2d(filters[0], fold * (out if speckle is None else out + 1), 1)
        self.bounded, self.relative, self.speckle, self.fold = bounded, relative, speckle, fold

    def forward(self, x: Tensor) -> Tensor:
        return self._decoded(self._encoded(x), x)

    def drawn(self, x: Tensor) -> Drawn:
        """Return what `forward` returns, and the statistics of the bottleneck."""
        levels = self._encoded(x)
        deepest = levels[-1].flatten(2).float()
        mean = deepest.mean(dim=2)
        spread = (deepest - mean[..., None]).square().mean(dim=2).sqrt()
        return Drawn(self._decoded(levels, x), torch.cat([mean, spread], dim=1))

    def _encoded(self, x: Tensor) -> list[Tensor]:
        levels: list[Tensor] = []
        x = folded(local_contrast(x) if self.relative else x, self.fold)
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
            levels.append(x)
        return levels

    def last_features(self, x: Tensor) -> Tensor:
        """Return what the last convolution reads, (B, F, H, W), for an input as of `forward`."""
        return self._merged(self._encoded(x)).repeat_interleave(self.fold, dim=2)

    def _decoded(self, levels: list[Tensor], given: Tensor) -> Tensor:
        x = unfolded(self.head(self._merged(levels)), self.fold)
        if self.speckle is not None:
            tone, contrast = x[:, :-1], x[:, -1:]
            x = tone + contrast * given[:, self.speckle, None]
        return torch.tanh(x) if self.bounded else x

    def _merged(self, levels: list[Tensor]) -> Tensor:
        x = levels[-1]
        for up, merge, skip in zip(self.up, self.merge, levels[-2::-1], strict=True):
            x = merge(torch.cat([skip, up(x)], dim=1))
        return x

    def flop(self, height: int, width: int) -> int:
        """Return the multiplications and additions in the convolutions for one image of (height, width)."""
        height //= self.fold
        deepest = len(self.down) - 1
        parts = [
            *enumerate(self.down),
            *((deepest - i, up) for i, up in enumerate(self.up)),  # a weight of theirs meets each pixel that goes in
            *((deepest - 1 - i, merge) for i, merge in enumerate(self.merge)),
            (0, self.head),
        ]
        kernels = [(level, p.numel()) for level, part in parts for p in part.parameters() if p.ndim == 4]
        return sum(2 * size * height * width // 4**level for level, size in kernels)


def folded(x: Tensor, fold: int) -> Tensor:
    """(B, C, H, W) -> (B, C · fold, H / fold, W): neighbours in depth become channels of one row."""
    if fold == 1:
        return x
    b, c, h, w = x.shape
    return x.reshape(b, c, h // fold, fold, w).transpose(2, 3).reshape(b, c * fold, h // fold, w)


def unfolded(x: Tensor, fold: int) -> Tensor:
    """The inverse of `folded`."""
    if fold == 1:
        return x
    b, c, h, w = x.shape
    return x.reshape(b, c // fold, fold, h, w).transpose(2, 3).reshape(b, c // fold, h * fold, w)


def _block(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    layer = nn.InstanceNorm2d if norm == "instance" else nn.BatchNorm2d
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=norm == "instance"),
        layer(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=norm == "instance"),
        layer(outputs),
        nn.ReLU(inplace=True),
    )

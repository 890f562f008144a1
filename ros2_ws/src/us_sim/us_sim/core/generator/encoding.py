# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Input encoding and output decoding of a generator, as its card says; training and simulation share this code."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from us_sim.core.compute.kernels import kernel
from us_sim.core.config import ImageSettings
from us_sim.core.generator.backend import CPU
from us_sim.core.generator.card import Card
from us_sim.core.physics.imaging import tgc
from us_sim.core.tissue import CLASS_COUNT, TISSUES, TissueClass

UNLABELLED = 0.65  # dB/(cm MHz), attenuation of body that is of no class of the card: fat, muscle
LEAST_TRANSMISSION, MOST_TRANSMISSION = -40.0, 20.0  # dB


def window(hu: Tensor, low: float, high: float) -> Tensor:
    """Map HU linearly so that `low` becomes −1 and `high` becomes 1; clipped."""
    return (2 * (hu - low) / (high - low) - 1).clamp(-1, 1)


def encode(card: Card, image: Tensor, tissue: Tensor, scatter: Tensor | None, fan: Tensor) -> Tensor:
    """Build the network's input.

    Args:
        card: of the generator.
        image: (B, H, W) float32: HU, or for `source: physics` the B-mode frame in grey levels 0 to 255.
        tissue: (B, H, W) uint8 class ids.
        scatter: (B, H, W) level of the scatterers, from `speckle.texture`; only encoding `rich` reads it.
        fan: (H, W) bool; outside it the input is constant: −1 for images, 0 for labels and scatterers.

    Returns:
        (B, C, H, W) float32 with C = `card.channels`.
    """
    assert card.encoding == "paper" or scatter is not None, "encoding rich needs scatterers"
    if image.device.type == "cpu":
        return _compiled(card, image, tissue, scatter, fan)
    return encode_by_tensors(card, image, tissue, scatter, fan)


def encode_by_tensors(card: Card, image: Tensor, tissue: Tensor, scatter: Tensor | None, fan: Tensor) -> Tensor:
    """`encode` on any torch device."""
    views = [torch.where(fan, window(image, low, high), -1.0) for low, high in _windows(card)]
    index = class_index(card, tissue.device)[tissue.long()] * fan
    if card.encoding == "paper" or scatter is None:
        return torch.stack([*views * 3, index / (len(card.classes) - 1)], dim=1)
    layers = (index[:, None] == torch.arange(1, len(card.classes), device=index.device)[:, None, None]).float()
    return torch.cat([torch.stack([*views, 0.5 * scatter * fan], dim=1), *transmission(card, layers), layers], dim=1)


def _windows(card: Card) -> tuple[tuple[float, float], ...]:
    """What becomes −1 and 1 in each view: HU, or black and white of a B-mode frame."""
    return card.windows if card.source == "ct" else ((0.0, 255.0),) * len(card.windows)


def transmission(card: Card, layers: Tensor) -> list[Tensor]:
    """TGC-compensated two-way transmission to each sample, a list of one (B, 1, H, W) in units of 20 dB.

    A convolution sees some dozen samples up the scan line, a rib's shadow reaches to the end of it. On a cartesian
    grid, where scan lines are no columns, there is no such channel and the list is empty.

    Args:
        card: of the generator, encoding `rich`.
        layers: (B, classes − 1, H, W) one-hot labels without the background; rows are depth.
    """
    if card.grid != "polar":
        return []
    gain, loss = _sound_on(card.probe.sample_spacing, card.classes, layers.shape[2], layers.device)
    lost = loss[0] + torch.einsum("c,bchw->bhw", loss[1:] - loss[0], layers)
    return [((gain[:, None] - torch.cumsum(lost, dim=1)).clamp(LEAST_TRANSMISSION, MOST_TRANSMISSION) / 20)[:, None]]


@lru_cache(maxsize=16)
def _sound(spacing: float, classes: tuple[int, ...], samples: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """TGC at each sample, and what a sample of each class costs both ways, dB. Nobody writes into them."""
    settings, step = ImageSettings(), spacing / 10  # cm
    gain = tgc(spacing * torch.arange(1, samples + 1, dtype=torch.float64), settings).numpy()
    attenuation = np.array([UNLABELLED, *(TISSUES[TissueClass(i)].attenuation for i in classes[1:])])
    return gain, 2 * settings.frequency * step * attenuation


@lru_cache(maxsize=16)
def _sound_on(spacing: float, classes: tuple[int, ...], samples: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """`_sound` on a device, copied there once: each copy would wait for it. Nobody writes into them."""
    gain, loss = _sound(spacing, classes, samples)
    return torch.tensor(gain, dtype=torch.float32).to(device), torch.tensor(loss, dtype=torch.float32).to(device)


def decode(output: Tensor) -> Tensor:
    """Map the network's (B, 3, H, W) in [−1, 1] to grey levels, (B, H, W) in [0, 255]: the channels' mean."""
    return (output.float().mean(dim=1) + 1) * 127.5


def class_index(card: Card, device: torch.device) -> Tensor:
    """Return (tissue classes,) int64: the place of every tissue class among the card's, 0 for the others."""
    return _class_index(card.classes, device)


@lru_cache(maxsize=16)
def _class_index(classes: tuple[int, ...], device: torch.device) -> Tensor:
    index = np.zeros(CLASS_COUNT, np.int64)
    index[list(classes)] = np.arange(len(classes))
    return torch.from_numpy(index).to(device)


# -- on the CPU: each number is written once ----------------------------------------------------------------------

BLOCK = 64  # fewest scan lines whose channels one thread writes side by side: fewer, and each write is to another page


def _compiled(card: Card, image: Tensor, tissue: Tensor, scatter: Tensor | None, fan: Tensor) -> Tensor:
    batch, height, width = image.shape
    assert tissue.shape == image.shape, f"labels of {tuple(tissue.shape)} for an image of {tuple(image.shape)}"
    assert fan.shape == image.shape[1:], f"fan of {tuple(fan.shape)} for an image of {tuple(image.shape)}"
    assert scatter is None or scatter.shape == image.shape, "scatterers of another shape than the image"
    windows, place = np.array(_windows(card), np.float32), class_index(card, CPU).numpy()
    given = image.numpy(), tissue.numpy(), fan.numpy(), windows, place
    if card.encoding == "paper" or scatter is None:
        encoded = torch.empty(batch, 4, height, width)
        _paper(*given, np.float32(len(card.classes) - 1), encoded.numpy())
        return encoded
    gain, loss = _sound(card.probe.sample_spacing, card.classes, height if card.grid == "polar" else 0)
    encoded = torch.empty(batch, len(windows) + 1 + bool(len(gain)) + len(card.classes) - 1, height, width)
    size = max(BLOCK, math.ceil(width / torch.get_num_threads()))  # as much for each thread, where a frame comes alone
    _rich(*given, scatter.numpy(), gain, loss, size, encoded.numpy())
    return encoded


@numba.njit(inline="always")
def _seen(value, windows, i):  # type: ignore[no-untyped-def]
    """A value in window i, as `window` gives it."""
    one, low, high = np.float32(1), windows[i, 0], windows[i, 1]
    return min(max(np.float32(2) * (value - low) / (high - low) - one, -one), one)


@kernel
def _paper(image, tissue, fan, windows, place, last, encoded):  # type: ignore[no-untyped-def]
    batch, height, width = image.shape
    for r in numba.prange(batch * height):
        b, h = r // height, r % height
        for w in range(width):
            grey = _seen(image[b, h, w], windows, 0) if fan[h, w] else np.float32(-1)
            for i in range(3):
                encoded[b, i, h, w] = grey
            encoded[b, 3, h, w] = np.float32(place[tissue[b, h, w]]) / last if fan[h, w] else np.float32(0)


@kernel
def _rich(image, tissue, fan, windows, place, scatter, gain, loss, size, encoded):  # type: ignore[no-untyped-def]
    batch, height, width = image.shape
    views, half, zero = len(windows), np.float32(0.5), np.float32(0)
    first = views + 1 + (len(gain) > 0)  # of the label layers
    blocks = (width + size - 1) // size
    for r in numba.prange(batch * blocks):
        b, start = r // blocks, np.uintp(r % blocks * size)  # unsigned, as in `grids`: the loops run on vectors
        count = min(np.uintp(size), np.uintp(width) - start)
        labels, lost = np.empty(size, np.int32), np.zeros(size)  # dB lost on the way
        for h in range(height):
            for w in range(count):
                labels[w] = place[tissue[b, h, start + w]] if fan[h, start + w] else 0
            for i in range(views):
                for w in range(count):
                    seen = _seen(image[b, h, start + w], windows, i)
                    encoded[b, i, h, start + w] = seen if fan[h, start + w] else np.float32(-1)
            for w in range(count):
                encoded[b, views, h, start + w] = half * scatter[b, h, start + w] if fan[h, start + w] else zero
            if len(gain):
                for w in range(count):
                    lost[w] += loss[labels[w]]
                    level = min(max(gain[h] - lost[w], LEAST_TRANSMISSION), MOST_TRANSMISSION)
                    encoded[b, views + 1, h, start + w] = level / 20
            for layer in range(1, len(loss)):
                for w in range(count):
                    encoded[b, first + layer - 1, h, start + w] = np.float32(labels[w] == layer)

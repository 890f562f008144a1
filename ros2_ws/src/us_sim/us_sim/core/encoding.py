"""How a generator is fed and read, as its card says: training and simulation share these lines."""

from __future__ import annotations

import torch
from torch import Tensor

from us_sim.core.card import Card
from us_sim.core.config import ImageSettings
from us_sim.core.formation import TGC_LIMIT
from us_sim.core.tissue import CLASS_COUNT, TISSUES, TissueClass

UNLABELLED = 0.65  # dB/(cm MHz), attenuation of body that is of no class of the card: fat, muscle
LEAST_LEFT, MOST_LEFT = -40.0, 20.0  # dB


def window(hu: Tensor, low: float, high: float) -> Tensor:
    """Map HU linearly so that `low` becomes −1 and `high` becomes 1; clipped."""
    return (2 * (hu - low) / (high - low) - 1).clamp(-1, 1)


def encode(card: Card, image: Tensor, tissue: Tensor, scatter: Tensor | None, fan: Tensor) -> Tensor:
    """Build the network's input.

    Args:
        card: of the generator.
        image: (B, H, W) float32: HU, or for `source: physics` the B-mode frame in grey levels 0 to 255.
        tissue: (B, H, W) uint8 class ids.
        scatter: (B, H, W) level of the scatterers, from `physics.texture`; only encoding `rich` reads it.
        fan: (H, W) bool; outside it the input is constant: −1 for images, 0 for labels and scatterers.

    Returns:
        (B, C, H, W) float32 with C = `card.channels`.
    """
    if card.source == "physics":
        views = [image / 127.5 - 1] * len(card.windows)
    else:
        views = [window(image, low, high) for low, high in card.windows]
    views = [torch.where(fan, view, -1.0) for view in views]
    index = class_index(card, tissue.device)[tissue.long()] * fan
    if card.encoding == "paper":
        return torch.stack([*views * 3, index / (len(card.classes) - 1)], dim=1)
    assert scatter is not None, "encoding rich needs scatterers"
    layers = (index[:, None] == torch.arange(1, len(card.classes), device=index.device)[:, None, None]).float()
    return torch.cat([torch.stack([*views, 0.5 * scatter * fan], dim=1), *sound_left(card, layers), layers], dim=1)


def sound_left(card: Card, layers: Tensor) -> list[Tensor]:
    """Level of the sound that comes back from each sample, TGC included, (B, 1, H, W) in units of 20 dB.

    A convolution sees some dozen samples up the scan line, a rib's shadow reaches to the end of it. On a cartesian
    grid, where scan lines are no columns, there is no such channel and the list is empty.

    Args:
        card: of the generator, encoding `rich`.
        layers: (B, classes − 1, H, W) one-hot labels without the background; rows are depth.
    """
    if card.grid != "polar":
        return []
    attenuation = layers.new_tensor([TISSUES[TissueClass(i)].attenuation - UNLABELLED for i in card.classes[1:]])
    per_cm = UNLABELLED + torch.einsum("c,bchw->bhw", attenuation, layers)
    settings, step = ImageSettings(), card.probe.sample_spacing / 10  # cm
    loss = 2 * settings.frequency * step * torch.cumsum(per_cm, dim=1)
    depth = 10 * step * (1 + torch.arange(per_cm.shape[1], device=layers.device))
    gain = (0.2 * settings.tgc * settings.frequency * depth).clamp(max=TGC_LIMIT)
    return [((gain[:, None] - loss).clamp(LEAST_LEFT, MOST_LEFT) / 20)[:, None]]


def decode(output: Tensor) -> Tensor:
    """Map the network's (B, 3, H, W) in [−1, 1] to grey levels, (B, H, W) in [0, 255]: the channels' mean."""
    return (output.float().mean(dim=1) + 1) * 127.5


def class_index(card: Card, device: torch.device) -> Tensor:
    """Return (tissue classes,) int64: the place of every tissue class among the card's, 0 for the others."""
    index = torch.zeros(CLASS_COUNT, dtype=torch.int64, device=device)
    for place, tissue_class in enumerate(card.classes):
        index[tissue_class] = place
    return index

"""How a generator is fed and read, as its card says: training and simulation share these lines."""

from __future__ import annotations

import torch
from torch import Tensor

from us_sim.core.card import Card
from us_sim.core.tissue import CLASS_COUNT, TissueClass

OPAQUE = (TissueClass.BONE, TissueClass.GAS, TissueClass.LUNG)
SHADOW = 2.0  # mm of bone or gas that take most of the sound


def window(hu: Tensor, low: float, high: float) -> Tensor:
    """Map HU linearly so that `low` becomes −1 and `high` becomes 1; clipped."""
    return (2 * (hu - low) / (high - low) - 1).clamp(-1, 1)


def encode(card: Card, image: Tensor, tissue: Tensor, scatter: Tensor | None, fan: Tensor) -> Tensor:
    """Build the network's input.

    Args:
        card: of the generator.
        image: (B, H, W) float32: HU, or for `source: physics` the B-mode frame in grey levels 0 to 255.
        tissue: (B, H, W) uint8 class ids.
        scatter: (B, H, W) scatterer amplitude of about unit variance; only encoding `rich` reads it.
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
    layers = torch.stack([index == i for i in range(1, len(card.classes))], dim=1).float()
    return torch.cat([torch.stack([*views, 0.5 * scatter * fan], dim=1), *shadow(card, layers), layers], dim=1)


def shadow(card: Card, layers: Tensor) -> list[Tensor]:
    """What lies above each sample and stops sound: 1 − exp(−opaque mm / SHADOW), (B, 1, H, W), on a polar grid.

    A convolution sees some dozen samples up the scan line, a rib's shadow reaches to the end of it. On a cartesian
    grid, where scan lines are no columns, there is no such channel and the list is empty.

    Args:
        card: of the generator, encoding `rich`.
        layers: (B, classes − 1, H, W) one-hot labels without the background; rows are depth.
    """
    if card.grid != "polar":
        return []
    opaque = sum(layers[:, i - 1] for i, tissue in enumerate(card.classes) if tissue in OPAQUE)
    if not isinstance(opaque, Tensor):
        return [torch.zeros_like(layers[:, :1])]
    above = torch.cumsum(opaque, dim=1) * card.probe.sample_spacing
    return [1 - torch.exp(-above / SHADOW)[:, None]]


def decode(output: Tensor) -> Tensor:
    """Map the network's (B, 3, H, W) in [−1, 1] to grey levels, (B, H, W) in [0, 255]: the channels' mean."""
    return (output.float().mean(dim=1) + 1) * 127.5


def class_index(card: Card, device: torch.device) -> Tensor:
    """Return (tissue classes,) int64: the place of every tissue class among the card's, 0 for the others."""
    index = torch.zeros(CLASS_COUNT, dtype=torch.int64, device=device)
    for place, tissue_class in enumerate(card.classes):
        index[tissue_class] = place
    return index

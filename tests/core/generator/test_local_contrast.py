"""Local contrast: what a box of SciPy gives, and what gain and dynamic range leave as it is."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import uniform_filter

from us_sim.core.generator.artifact import build
from us_sim.core.generator.card import RELATIVE, Card
from us_sim.core.generator.local_contrast import local_contrast
from us_sim.core.geometry.probe import preset

IMAGE = torch.rand((1, 1, 64, 48), generator=torch.Generator().manual_seed(0)) - 0.5


def test_it_is_what_a_box_of_scipy_gives() -> None:
    grey = IMAGE[0, 0].double().numpy()
    box = (2 * 12 + 1, 2 * 12 + 1)  # 3/16 of 64 rows and a quarter of 48 columns to either side
    deviation = grey - uniform_filter(grey, box, mode="mirror")
    spread = np.sqrt(uniform_filter(deviation**2, box, mode="mirror"))
    expected = np.clip(deviation / (3 * (spread + 0.05)), -1, 1)
    np.testing.assert_allclose(local_contrast(IMAGE)[0, 0].numpy(), expected, atol=1e-5)


def test_gain_shifts_nothing_and_dynamic_range_little() -> None:
    seen = local_contrast(IMAGE)
    torch.testing.assert_close(local_contrast(IMAGE + 0.3), seen, rtol=0, atol=1e-5)
    assert (local_contrast(0.5 * IMAGE) - seen).abs().max() < 0.15 * seen.abs().max()
    assert local_contrast(torch.full((2, 3, 16, 16), 0.7)).abs().max() < 1e-4


def test_a_card_says_that_its_network_sees_local_contrast() -> None:
    card = Card(preset("c5_2"), kind="segmenter", width=0.0625, norm="batch")
    torch.manual_seed(0)
    plain, relative = build(card).eval(), build(Card.from_json(relative_json(card))).eval()
    relative.load_state_dict(plain.state_dict())
    image = IMAGE.expand(-1, 3, -1, -1)
    assert torch.equal(relative(image), plain(local_contrast(image)))


def relative_json(card: Card) -> str:
    return card.to_json().replace('"unet"', f'"{RELATIVE}"')

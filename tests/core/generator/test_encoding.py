"""What a generator is fed and how its picture is read, value by value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from us_sim.core.generator.card import Card
from us_sim.core.generator.encoding import class_index, decode, encode, encode_by_tensors, window
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.tissue import TissueClass as T

PROBE = ProbeGeometry(ProbeKind.CONVEX, 120.0, 50.0, 1.0, width=32, height=32, scan_lines=16, samples=32)
PAPER = Card(PROBE)
RICH = Card(PROBE, encoding="rich", windows=((-150.0, 250.0), (-1000.0, 1000.0)), classes=(0, 1, 5, 7))
CPU = torch.device("cpu")
HU = torch.tensor([[[-1000.0, -150, 50, 250, 3000, 50]]])
TISSUE = torch.tensor([[[T.BACKGROUND, T.LIVER, T.PANCREAS, T.VESSEL, T.BONE, T.LIVER]]], dtype=torch.uint8)
FAN = torch.tensor([[True, True, True, True, True, False]])
SCATTER = torch.tensor([[[1.0, -2, 3, -4, 5, 6]]])


def rows(encoded: Tensor) -> np.ndarray:
    assert encoded.dtype == torch.float32
    return encoded[0, :, 0].numpy()


def test_paper() -> None:
    """Window −150 to 250 three times: middle 50; labels 0, 1, 4 of 4, what is not in the card as background."""
    grey = [-1.0, -1, 0, 1, 1, -1]
    found = rows(encode(PAPER, HU, TISSUE, None, FAN))
    np.testing.assert_allclose(found, [grey, grey, grey, [0.0, 0.25, 1, 0, 0, 0]], atol=1e-6)
    assert len(found) == PAPER.channels


def test_rich() -> None:
    found = rows(encode(RICH, HU, TISSUE, SCATTER, FAN))
    expected: list[list[float]] = [
        [-1, -1, 0, 1, 1, -1],
        [-1, -0.15, 0.05, 0.25, 1, -1],
        [0.5, -1, 1.5, -2, 2.5, 0],  # half the speckle
        [0, 1, 0, 0, 0, 0],  # liver
        [0, 0, 0, 1, 0, 0],  # vessel
        [0, 0, 0, 0, 1, 0],  # bone
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(found) == RICH.channels


def test_on_scan_lines_the_sound_that_is_left() -> None:
    """3.5 MHz, there and back, 6 mm a sample: 4.2 dB to a dB/(cm MHz). The TGC asks for x, 1.2 times as much.

    It gives back 54·(1 − exp(−x/54)).
    """
    probe = replace(PROBE, depth=192.0, samples=32, scan_lines=16)
    card = Card(probe, encoding="rich", grid="polar", classes=(0, 1, 6, 7))
    tissue = torch.ones(1, 32, 16, dtype=torch.uint8)
    tissue[:, :, 3] = T.FLUID
    tissue[0, 5, 4] = T.BONE
    tissue[0, :, 5] = T.LUNG  # not in the card: unlabelled
    zero = torch.zeros(1, 32, 16)
    found = encode(card, zero, tissue, zero, torch.ones(32, 16, dtype=torch.bool))
    assert found.shape[1] == card.channels == 1 + 1 + 1 + 3
    samples = np.arange(1, 33)
    gain = 54 * (1 - np.exp(-4.2 * 1.2 * samples / 54))
    expected = {
        0: gain - 4.2 * 0.55 * samples,  # liver
        3: gain - 4.2 * 0.05 * samples,
        4: gain - 4.2 * (0.55 * samples + (10 - 0.55) * (samples >= 6)),
        5: gain - 4.2 * 0.65 * samples,
    }
    for line, level in expected.items():
        np.testing.assert_allclose(found[0, 2, :, line].numpy(), np.clip(level, -40, 20) / 20, atol=1e-5)


def test_physics_source_feeds_grey_levels() -> None:
    grey = torch.tensor([[[0.0, 127.5, 255, 51, 204, 99]]])
    card = Card(PROBE, source="physics")
    levels = [-1, 0, 1, -0.6, 0.6, -1]
    np.testing.assert_allclose(rows(encode(card, grey, TISSUE, None, FAN))[:3], [levels] * 3, atol=1e-6)
    both = Card(PROBE, source="physics", encoding="rich", windows=RICH.windows)
    np.testing.assert_allclose(rows(encode(both, grey, TISSUE, SCATTER, FAN))[:2], [levels] * 2, atol=1e-6)


@pytest.mark.parametrize("card", [PAPER, RICH], ids=["paper", "rich"])
def test_outside_the_fan_the_input_is_constant(card: Card) -> None:
    generator = torch.Generator().manual_seed(0)
    image = 500 * torch.randn(3, 8, 8, generator=generator)
    tissue = torch.randint(0, 14, (3, 8, 8), generator=generator).to(torch.uint8)
    scatter, fan = torch.randn(3, 8, 8, generator=generator), torch.rand(8, 8, generator=generator) > 0.5
    encoded = encode(card, image, tissue, scatter, fan)
    assert encoded.shape == (3, card.channels, 8, 8)
    images = 3 if card is PAPER else len(card.windows)
    assert (encoded[:, :images, ~fan] == -1).all()
    assert (encoded[:, images:, ~fan] == 0).all()
    assert encoded[:, :, fan].std() > 0


@pytest.mark.parametrize("card", [
    PAPER, RICH, replace(PAPER, source="physics"), replace(RICH, source="physics"), replace(RICH, grid="polar"),
], ids=lambda card: f"{card.encoding}, {card.grid}, {card.source}")  # fmt: skip
def test_tensors_give_what_the_compiled_loop_gives(card: Card) -> None:
    """Rows and columns that fill no whole block, views that are no C arrays, values beyond the windows."""
    generator = torch.Generator().manual_seed(1)
    image = (2000 * torch.rand(2, 21, 32, generator=generator) - 1200).transpose(1, 2)
    if card.source == "physics":
        image = 255 * torch.rand(2, 21, 32, generator=generator).transpose(1, 2)
    tissue = torch.randint(0, 14, (2, 21, 32), generator=generator).to(torch.uint8).transpose(1, 2)
    scatter, fan = torch.randn(2, 32, 21, generator=generator), torch.rand(32, 21, generator=generator) > 0.3
    if card.grid == "polar":
        fan[:] = True
    given = card, image, tissue, scatter, fan
    torch.testing.assert_close(encode(*given), encode_by_tensors(*given), rtol=0, atol=2e-6)
    assert encode(*given).shape == (2, card.channels, 32, 21)


def test_window_clips() -> None:
    found = window(torch.tensor([-1e6, -100.0, -50, 0, 100, 1e6]), -100, 100)
    assert found.tolist() == [-1, -1, -0.5, 0, 1, 1]


def test_class_index_follows_the_cards_order() -> None:
    index = class_index(Card(PROBE, classes=(0, 7, 1)), CPU)
    assert index.dtype == torch.int64
    expected = [0] * 14
    expected[T.BONE], expected[T.LIVER] = 1, 2
    assert index.tolist() == expected


def test_decode_is_the_mean_of_the_channels() -> None:
    output = torch.tensor([[[[-1.0, 1, 0, 1]], [[-1, 1, 0, 1]], [[-1, 1, 0, -1]]]])
    np.testing.assert_allclose(decode(output), [[[0, 255, 127.5, 4 / 3 * 127.5]]], rtol=1e-6)
    assert decode(output.half()).dtype == torch.float32

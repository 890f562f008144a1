"""From a generator's output to the frame, against tensors and against what can be said beforehand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from us_sim.core.config import ImageSettings
from us_sim.core.generator.card import Card
from us_sim.core.generator.composition import Composition
from us_sim.core.generator.tone import gain_over_depth, noise_floor, recompressed
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.physics.b_mode import log_compress
from us_sim.core.physics.imaging import formation
from us_sim.core.physics.speckle import compound

PROBE = ProbeGeometry(ProbeKind.CONVEX, 120.0, 50.0, 1.0, width=64, height=64, scan_lines=32, samples=96)
CARDS = {"cartesian": Card(PROBE), "polar": Card(PROBE, encoding="rich", grid="polar")}
FRAMES = {"own": PROBE, "shallower and finer": replace(PROBE.with_depth(75.0), width=80, height=72, scan_lines=48)}
CPU = torch.device("cpu")
LOUDER = ImageSettings(gain=9.0, dynamic_range=45.0)


def drawn(card: Card, batch: int = 2) -> Tensor:
    return 2 * torch.rand(batch, 3, *card.size, generator=torch.Generator().manual_seed(0)) - 1


def uncoupled() -> Tensor:
    return 40 * torch.rand(PROBE.scan_lines, PROBE.samples, generator=torch.Generator().manual_seed(1))


def noise() -> Tensor:
    return noise_floor(formation(PROBE, ImageSettings(), 0, CPU))


@pytest.mark.parametrize("grid", CARDS)
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("settings", [ImageSettings(), LOUDER], ids=["default", "louder"])
def test_tensors_give_what_the_compiled_loop_gives(grid: str, frame: str, settings: ImageSettings) -> None:
    card, probe = CARDS[grid], FRAMES[frame]
    compose = Composition(card, probe, uncoupled(), noise())
    coupling = torch.rand(2, probe.scan_lines, generator=torch.Generator().manual_seed(2))
    shown = compose(drawn(card), coupling, settings)
    assert shown.shape == (2, probe.height, probe.width)
    assert (shown[:, ~torch.tensor(probe.fan_mask)] == 0).all()
    torch.testing.assert_close(shown, compose.by_tensors(drawn(card), coupling, settings), atol=1e-3, rtol=0)


def test_on_its_own_pixels_the_picture_stays_as_it_is() -> None:
    """Grey is the mean of the channels, from black at −1 to white at 1; all lines are coupled."""
    card = CARDS["cartesian"]
    shown = Composition(card, PROBE, uncoupled(), noise())(
        drawn(card), torch.ones(2, PROBE.scan_lines), ImageSettings()
    )
    fan = torch.tensor(PROBE.fan_mask)
    expected = 127.5 * (drawn(card).mean(dim=1) + 1)
    torch.testing.assert_close(shown[:, fan], expected[:, fan], atol=1e-2, rtol=0)


def test_half_the_coupling_shows_half_of_each() -> None:
    card = CARDS["polar"]
    compose = Composition(card, PROBE, torch.full((PROBE.scan_lines, PROBE.samples), 20.0), noise())
    white = torch.ones(1, 3, *card.size)
    fan = torch.tensor(PROBE.fan_mask)
    for share, grey in ((1.0, 255.0), (0.5, 137.5), (0.0, 20.0)):
        shown = compose(white, torch.full((1, PROBE.scan_lines), share), ImageSettings())
        torch.testing.assert_close(shown[0, fan], torch.full((int(fan.sum()),), grey), atol=1e-3, rtol=0)


def test_a_frame_is_the_same_in_a_batch_and_alone() -> None:
    card = CARDS["polar"]
    compose, coupling = Composition(card, PROBE, uncoupled(), noise()), torch.ones(2, PROBE.scan_lines)
    coupling[1, :9] = 0.3
    batch = compose(drawn(card), coupling, LOUDER)
    for i in range(2):
        alone = compose(drawn(card)[i : i + 1], coupling[i : i + 1], LOUDER)
        assert torch.equal(alone[0], batch[i])


def test_gain_and_dynamic_range_act_on_grey_as_on_echoes() -> None:
    """By hand: 255 is 0 dB, 7 + 248 · 0.5^1.5 = 94.68 is −27.5 dB of 55; 11 dB more make it 7 + 248 · 0.7^1.5."""
    grey = torch.tensor([255.0, 94.68, 7.0, 0.0])
    silent = torch.zeros(4)
    for settings, expected in (
        (ImageSettings(gain=11.0), [255, 152.24, 7, 7]),
        (ImageSettings(gain=-40.0), [7 + 248 * (15 / 55) ** 1.5, 7, 7, 7]),
        (ImageSettings(dynamic_range=110.0), [255, 7 + 248 * 0.75**1.5, 7, 7]),
        (ImageSettings(gain=-40.0, dynamic_range=40.0), [7, 7, 7, 7]),
    ):
        shown = recompressed(grey, silent, settings.gain, settings.dynamic_range)
        torch.testing.assert_close(shown, torch.tensor(expected).float(), atol=0.6, rtol=0)


@pytest.mark.parametrize("gain", [-40.0, 20.0, 40.0])
def test_a_lumen_without_echoes_shows_the_noise_that_physics_shows_at_the_same_gain(gain: float) -> None:
    """Drawn at the training's gain and turned up, it is what image formation gives there at that gain."""
    form, louder = formation(PROBE, ImageSettings(), 0, CPU), ImageSettings(gain=gain)
    lumen = compound(form.noise)
    drawn, formed = (log_compress(lumen, replace(form, settings=at)) for at in (ImageSettings(), louder))
    torch.testing.assert_close(recompressed(drawn, noise(), gain, 55.0), formed, atol=0.2, rtol=0)
    near = form.depths < 20
    assert drawn[:, near].max() == 7
    if gain == -40:
        assert formed.max() == 7
    else:  # a linear shift of grey would have lifted it to 7 + 248 · (gain / 55)
        assert formed[:, near].max() < 7 + 248 * (gain / 55) ** 1.5


def test_a_tgc_slider_raises_its_eighth_of_the_depth_as_it_does_in_physics() -> None:
    """Eighths are those of the depth that is shown, 90 mm of the generator's 120; the face lies below row 0."""
    form, card = formation(PROBE, ImageSettings(), 0, CPU), CARDS["polar"]
    settings = ImageSettings(tgc=0.9, tgc_5=12.0)
    raised = gain_over_depth(form.depths, PROBE.depth, settings)
    torch.testing.assert_close(raised, formation(PROBE, settings, 0, CPU).tgc - form.tgc)
    shallow, grey = PROBE.with_depth(90.0), torch.full((1, 3, *card.size), -0.5)
    compose, coupled = Composition(card, shallow, uncoupled(), noise()), torch.ones(1, PROBE.scan_lines)
    usual, shown = (compose(grey, coupled, one) for one in (ImageSettings(), ImageSettings(tgc_5=12.0)))
    middle = (shown - usual)[0, :, PROBE.width // 2]
    spacing, top = shallow.pixel_spacing[1], shallow.first_pixel[1]
    assert top + spacing * int(middle.argmax()) == pytest.approx(4.5 / 8 * 90, abs=spacing)
    assert middle[-PROBE.height // 4 :].abs().max() < 0.2


def test_at_the_settings_of_the_training_nothing_changes() -> None:
    """255 · (mean + 1) / 2 to the last bit, below the grey of no echo too."""
    card = CARDS["cartesian"]
    compose = Composition(card, PROBE, uncoupled(), noise())
    dark = drawn(card) * 0.05 - 0.95
    fan, settings = torch.tensor(PROBE.fan_mask), ImageSettings(gain=0.0, frequency=5.0)
    shown = compose(dark, torch.ones(2, PROBE.scan_lines), settings)
    assert shown[:, fan].min() < 4
    torch.testing.assert_close(shown[:, fan], 127.5 * (dark.mean(dim=1) + 1)[:, fan], atol=1e-3, rtol=0)

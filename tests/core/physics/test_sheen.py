"""How brightly interfaces shine, and what a generator is told of them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from us_sim.core.config import ImageSettings
from us_sim.core.geometry.probe import preset
from us_sim.core.physics.imaging import Formation, formation
from us_sim.core.physics.sheen import line_echo, line_echo_by_tensors, sheen
from us_sim.core.sampling.anatomy import Anatomy

LINES, SAMPLES, BORDER = 16, 64, 30


def form_of() -> Formation:
    probe = replace(preset("c5_2"), scan_lines=LINES, samples=SAMPLES, width=32, height=32)
    return formation(probe, ImageSettings(), 0, torch.device("cpu"))


def anatomy_of(layering: float = 0.0, noise: float = 0.0, skin: float = -20.0) -> Anatomy:
    """1.6 MRayl, from BORDER on 1.76; half a mirror."""
    flat = torch.zeros(1, LINES, SAMPLES)
    impedance = flat + 1.6
    impedance[..., BORDER:] = 1.76
    scatter, tissue = torch.zeros(*flat.shape, 12), flat.to(torch.uint8)
    parts = (
        impedance,
        flat.clone(),
        flat + 0.5,
        flat + layering,
        flat + skin,
        flat + noise,
        flat + noise,
        scatter,
        flat,
        tissue,
        flat + 1,
    )
    return Anatomy(*parts)


@pytest.mark.parametrize(("layering", "noise", "decibels"), [(0, 1, 0), (1, 0, 1), (1, 0.7, 5.95), (0.5, -1, -3.04)])
def test_layered_tissue_shines_here_and_fades_there(layering: float, noise: float, decibels: float) -> None:
    """1 dB, and 5 dB for each standard deviation of the two noises' sum; in proportion to the layering."""
    found = 20 * torch.log10(sheen(anatomy_of(layering, noise)))
    assert float(found[0, 3, 5]) == pytest.approx(decibels, abs=0.01)


def test_a_step_echoes_on_either_side_of_it() -> None:
    """A tenth of the impedance over two samples, 0.6 mm of the pulse, half a mirror, half matt; elsewhere nothing."""
    form = form_of()
    echo = line_echo(anatomy_of(), form)[0, 4]
    expected = 0.5 * 1.2 * (0.16 / 1.6) / (2 * form.step) * (0.5 + 0.5 * 0.3)
    assert echo[BORDER - 1 : BORDER + 1].tolist() == pytest.approx([expected] * 2, rel=1e-5)
    assert echo.count_nonzero() == 2


def test_the_skin_is_not_told() -> None:
    """Air or gel lies before it: how it echoes is the coupling's matter."""
    assert not line_echo(anatomy_of(skin=-0.5), form_of()).any()


@pytest.mark.parametrize("solid", [0.0004, 7.8])
def test_behind_gas_and_bone_nothing_is_told(solid: float) -> None:
    """What begins 10 samples before the border hides it, and its own face is told."""
    anatomy = anatomy_of()
    anatomy.impedance[..., BORDER - 10 : BORDER - 6] = solid
    echo = line_echo(anatomy, form_of())[0, 4]
    assert echo[BORDER - 11] > 0
    assert not echo[BORDER - 6 :].any()


def test_behind_lung_its_a_lines_are_told() -> None:
    """At two and three times its depth, (s + ½) steps: each 12 dB and the way to and fro below the one before, TGC on.

    0.5 dB/(cm MHz) at 3.5 MHz, over the way to 8 samples before the pleura.
    """
    form, anatomy = form_of(), anatomy_of()
    anatomy.impedance[..., 20:] = 0.26
    anatomy.attenuation[:] = 0.5
    echo = line_echo(anatomy, form)[0, 4]
    way = 2 * 0.5 * 3.5 * form.step / 10 * (20 - 8 + 1)
    pleura = echo[19:21]
    assert (pleura > 0).all()
    for line, start in ((1, 39), (2, 60)):  # 19 + 20, the half sample lost; 19 + 40 + 1
        decibels = -12 * line - (line + 1) * way + form.tgc[start : start + 2]
        torch.testing.assert_close(echo[start : start + 2], pleura * 10 ** (decibels / 20), rtol=1e-4, atol=0)
    assert echo[21:].count_nonzero() == 4


def test_tensors_give_the_same() -> None:
    form = form_of()
    walled = anatomy_of()
    walled.attenuation[:] = 0.6
    walled.impedance[:, 3:5, 20:24], walled.impedance[:, 5, :2], walled.impedance[:, 6:9, 21:] = 0.0004, 7.8, 0.26
    walled.impedance[:, 9:13, 22:], walled.impedance[:, 13, 18:] = 0.26, 0.26
    for anatomy in (anatomy_of(), anatomy_of(0.7, 1.1), anatomy_of(1.0, -0.4, -0.9), walled):
        torch.testing.assert_close(line_echo(anatomy, form), line_echo_by_tensors(anatomy, form), rtol=1e-5, atol=1e-7)
    assert math.isfinite(float(line_echo(anatomy_of(1, 30), form).max()))

"""Behind gas, lung and bone the clutter takes the scatterers' place, at the level of the physics renderer."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from us_sim.core.config import ImageSettings
from us_sim.core.geometry.probe import preset
from us_sim.core.physics.haze import with_haze, with_haze_by_tensors
from us_sim.core.physics.imaging import Formation, formation
from us_sim.core.sampling.anatomy import Anatomy
from us_sim.core.tissue import TissueClass as T

LINES, SAMPLES, FIRST = 16, 64, 20


def form_of() -> Formation:
    probe = replace(preset("c5_2"), scan_lines=LINES, samples=SAMPLES, width=32, height=32)
    return formation(probe, ImageSettings(), 0, torch.device("cpu"))


def anatomy_of(form: Formation, tissue: Tensor, strand: float = 0.0, attenuation: float = 0.0) -> Anatomy:
    shape = tissue.shape
    flat = torch.zeros(shape)
    scatter = torch.randn(*shape, form.clutter.shape[-1], generator=torch.Generator().manual_seed(1))
    return Anatomy(flat, flat + attenuation, flat, flat, flat, flat, flat + strand, scatter, flat, tissue, flat + 1)


def lines_of(*classes: T) -> Tensor:
    """A line for each class, which begins at FIRST and is 2 samples thick but for gas and lung, which go on."""
    tissue = torch.full((1, LINES, SAMPLES), int(T.LIVER), dtype=torch.uint8)
    for line, one in enumerate(classes):
        tissue[0, line, FIRST : SAMPLES if one in (T.GAS, T.LUNG) else FIRST + 2] = one
    return tissue


def test_before_gas_and_on_free_lines_the_scatterers_stay() -> None:
    form = form_of()
    anatomy = anatomy_of(form, lines_of(T.GAS))
    seen = with_haze(anatomy, form)
    assert torch.equal(seen[:, 1:], anatomy.scatter[:, 1:])
    assert torch.equal(seen[:, 0, : FIRST + 1], anatomy.scatter[:, 0, : FIRST + 1])


@pytest.mark.parametrize(("tissue", "share", "faster"), [(T.LUNG, 6, 1.25), (T.BONE, -13.98, 1), (T.GAS, 6, 1)])
def test_behind_are_clutter_that_decays_under_the_tgc_and_a_fading_mirror_image(
    tissue: T, share: float, faster: float
) -> None:
    """Gas and lung are louder by 4 dB for each SD of the strands before them: 6 dB at 1.5. Bone is no mirror.

    0.6 dB/(cm MHz) twice over the way to 8 samples before the wall; the mirror image goes it twice, less what lies
    before the place that it shows.
    """
    form = form_of()
    anatomy = anatomy_of(form, lines_of(tissue), strand=1.5, attenuation=0.6)
    seen = with_haze(anatomy, form)
    scanner, place = form.scanner, FIRST + 12
    lost = [2 * 0.6 * 3.5 * form.step / 10 * (1 + sample) for sample in (FIRST - 8, FIRST - 12)]  # dB
    level = 10 ** ((scanner.shadow_level - scanner.speckle_level + float(form.tgc[place]) - lost[0]) / 20)
    decay = math.exp(-faster * float(form.depths[place] - form.depths[FIRST]) / scanner.shadow_length)
    clutter = form.clutter[0, place] * (level * decay * 10 ** (share / 20))
    decibels = scanner.mirror_level + float(form.tgc[place]) - 2 * lost[0] + lost[1]
    fading = (1 - 12 / FIRST) * 10 ** (decibels / 20)
    mirrored = 0 if tissue is T.BONE else fading * anatomy.scatter[0, 0, FIRST - 12]
    torch.testing.assert_close(seen[0, 0, place], clutter + mirrored, rtol=1e-4, atol=1e-6)


def test_a_b_line_stands_behind_lung() -> None:
    """Strands of 3 SD: 8 dB over the haze, which is 8 dB louder there too; alike in its grain."""
    form = form_of()
    anatomies = [anatomy_of(form, lines_of(T.LUNG), strand=strand) for strand in (0.0, 3.0)]
    usual, wet = (with_haze(replace(one, scatter=torch.zeros_like(one.scatter)), form) for one in anatomies)
    beyond = float(form.depths[FIRST + 12] - form.depths[FIRST])
    haze, comet = math.exp(-1.25 * beyond / form.scanner.shadow_length), math.exp(-beyond / 60)
    louder = 10 ** (8 / 20) + 10 ** (8 / 20) * comet / haze
    torch.testing.assert_close(wet[0, 0, FIRST + 12], louder * usual[0, 0, FIRST + 12], rtol=1e-4, atol=0)


def test_gas_at_the_face_is_no_wall() -> None:
    form, tissue = form_of(), torch.full((1, LINES, SAMPLES), int(T.GAS), dtype=torch.uint8)
    anatomy = anatomy_of(form, tissue)
    assert torch.equal(with_haze(anatomy, form), anatomy.scatter)


@pytest.mark.parametrize("strand", [-0.7, 1.8])
def test_tensors_give_the_same(strand: float) -> None:
    form = form_of()
    anatomy = anatomy_of(form, lines_of(T.GAS, T.LUNG, T.BONE, T.FLUID), strand=strand, attenuation=0.5)
    torch.testing.assert_close(with_haze(anatomy, form), with_haze_by_tensors(anatomy, form), rtol=1e-5, atol=3e-6)

"""Image formation against what the physics says, on phantoms simple enough to compute by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from us_sim.core.config import ImageSettings
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset
from us_sim.core.geometry.transforms import rigid
from us_sim.core.patient.surface import Skin
from us_sim.core.patient.volume import CtVolume
from us_sim.core.physics import speckle
from us_sim.core.physics.b_mode import (
    GREY_FLOOR,
    INTERFACE,
    NEPER,
    log_compress,
    polar_frame,
    specular_echo,
    transmission,
    uncoupled,
)
from us_sim.core.physics.imaging import Formation, beam_width, formation, line_spacing
from us_sim.core.sampling.anatomy import Anatomy, property_table, sample_anatomy
from us_sim.core.sampling.reslice import reslice
from us_sim.core.sampling.scatterers import LOOKS, scatterer_tile
from us_sim.core.tissue import TissueClass

Grid = NDArray[np.float64]
CPU = torch.device("cpu")
POSE = rigid(np.eye(3), np.zeros(3))[None]
SKIN = Skin(np.full((2, 2, 2), -100.0, np.float32), np.diag([500.0, 500.0, 500.0, 1.0]))  # deep inside everywhere


def block(paint: object = None) -> CtVolume:
    """Liver from 4 mm behind the face to 200 mm depth, 2 mm voxels in `ct` = `probe`; `paint` (x, y, z) -> class."""
    x, y, z = np.meshgrid(np.arange(-130, 132, 2.0), np.arange(-10, 12, 2.0), np.arange(-10, 200, 2.0), indexing="ij")
    tissue = np.full(x.shape, TissueClass.LIVER, np.uint8)
    if callable(paint):
        paint(tissue, x, y, z)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -130, -10, -10
    return CtVolume(np.full(x.shape, 45, np.int16), tissue, affine, "block", "")


def sampled(volume: CtVolume, probe: ProbeGeometry, even: bool = True) -> Anatomy:
    """Anatomy of the block; `even` takes heterogeneity and clusters away, which are no part of the closed forms."""
    table = property_table(volume)
    if even:
        table[:, [3, 6]] = 0
    arrays = sample_anatomy(volume, SKIN, table, scatterer_tile(0), probe.polar_points, POSE)
    return Anatomy(*(torch.from_numpy(array) for array in arrays))


def formed(probe: ProbeGeometry, **settings: float) -> Formation:
    return formation(probe, ImageSettings(**settings), 0, CPU)


def test_single_look_speckle_is_fully_developed() -> None:
    """Rayleigh: mean/SD = 1.91 and Nakagami m = E[I]²/Var[I] = 1 (Wagner 1983, Shankar 2000)."""
    probe, form = preset("c5_2"), formed(preset("c5_2"))
    signal = speckle.blur_laterally(sampled(block(), probe).scatter, form.lateral_psf)[0]
    envelope = torch.hypot(signal[..., 0], signal[..., LOOKS]).numpy()[8:-8, 20:]
    envelope = envelope / envelope.mean(axis=0)  # depth trend
    # A resolution cell is at most 8 lines × 4 samples (2.6 mm at 110 mm, 1.2 mm along the line).
    cells = envelope[::8, ::4].ravel()
    assert len(cells) >= 2000
    intensity = envelope**2
    assert envelope.mean() / envelope.std() == pytest.approx(math.sqrt(math.pi / (4 - math.pi)), rel=0.05)
    assert cells.mean() / cells.std() == pytest.approx(1.91, rel=0.05)
    assert intensity.mean() ** 2 / intensity.var() == pytest.approx(1.0, rel=0.10)


@pytest.mark.parametrize("frequency", [2.0, 3.5])
def test_echoes_fall_with_twice_the_attenuation(frequency: float) -> None:
    probe = preset("c5_2")
    form = formed(probe, frequency=frequency)
    anatomy = sampled(block(), probe)
    energy = transmission(anatomy.impedance, anatomy.attenuation, form)
    signal = speckle.blur_laterally(anatomy.scatter * energy[..., None], form.lateral_psf)
    level = 20 * np.log10(speckle.compound(signal)[0].numpy().mean(axis=0))
    slope = np.polyfit(probe.sample_depths[60:400] / 10, level[60:400], 1)[0]  # dB/cm
    assert slope == pytest.approx(-2 * 0.55 * frequency, rel=0.03)


def test_the_shadow_lies_behind_the_bone() -> None:
    """Lines that meet a ball of bone are dark behind it; lines that pass it by more than the aperture are not."""
    probe, form = preset("c5_2"), formed(preset("c5_2"))
    centre, radius = np.array([15.0, 60.0]), 12.0

    def ball(tissue: NDArray[np.uint8], x: Grid, y: Grid, z: Grid) -> None:
        tissue[np.hypot(x - centre[0], z - centre[1]) < radius] = TissueClass.BONE

    anatomy = sampled(block(ball), probe)
    left = 20 * torch.log10(transmission(anatomy.impedance, anatomy.attenuation, form)[0, :, 300]).numpy()
    left = left - 20 * np.log10(np.exp(-2 * NEPER * 0.55 * 3.5 * probe.sample_depths[300] / 10))
    apex = np.array([0.0, -50.4])
    angle, distance = np.arctan2(*(centre - apex)), np.hypot(*(centre - apex))
    miss = np.abs(np.sin(probe.line_angles - angle)) * distance
    spacing = 1.5 * float(line_spacing(probe, torch.tensor([60.0])))
    assert left[miss < radius - 3 - 3 * spacing].max() < -40
    assert np.abs(left[miss > radius + 3 + 3 * spacing]).max() < 0.5


def test_texture_is_the_level_of_the_scatterers_alone() -> None:
    """Tissue of 0 dB: mean envelope 1, that is 0; 10 times the amplitude 20 dB higher; nothing at all −24 dB."""
    probe = preset("c5_2")
    form, shape = formed(probe), (1, probe.scan_lines, probe.samples, 2 * LOOKS)
    form = replace(form, lateral_psf=torch.eye(probe.scan_lines).expand(16, -1, -1))
    zero = torch.zeros(shape[:3])
    scatter = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = speckle.texture(Anatomy(zero, zero, zero, zero, zero, zero, scatter, zero, zero), form)
    assert (2**found).mean() == pytest.approx(1, rel=0.05)
    louder = speckle.texture(Anatomy(zero, zero, zero, zero, zero, zero, 10 * scatter, zero, zero), form)
    torch.testing.assert_close(louder, found + np.log2(10), atol=1e-4, rtol=0)
    assert (speckle.texture(Anatomy(zero, zero, zero, zero, zero, zero, 0 * scatter, zero, zero), form) == -4).all()


def test_tensors_give_what_the_compiled_loops_give() -> None:
    """Lines, samples and skin as they come in a patient; the loops leave out lines that weigh less than 1e-5."""
    probe = ProbeGeometry(ProbeKind.CONVEX, 120.0, 50.0, 1.2, width=48, height=48, scan_lines=32, samples=64)
    form, shape = formed(probe), (2, 32, 64)
    generator = torch.Generator().manual_seed(3)
    scatter = torch.randn(*shape, 2 * LOOKS, generator=generator)
    layering = torch.rand(shape, generator=generator) * (torch.rand(shape, generator=generator) > 0.4)
    distance, warp = -40 * torch.rand(shape, generator=generator) + 3, torch.randn(shape, generator=generator)
    zero = torch.zeros(shape)
    anatomy = Anatomy(zero, zero, zero, layering, distance, warp, scatter, zero, zero)
    fascia = speckle.fascia(anatomy)
    assert (fascia > 0).float().mean() > 0.3
    torch.testing.assert_close(fascia, speckle.fascia_by_tensors(anatomy), rtol=1e-4, atol=1e-7)
    blurred = speckle.blur_laterally(scatter, form.lateral_psf)
    torch.testing.assert_close(blurred, speckle.blur_by_tensors(scatter, form.lateral_psf), rtol=0, atol=2e-4)
    torch.testing.assert_close(
        speckle.texture(anatomy, form), speckle.texture_by_tensors(anatomy, form), rtol=0, atol=2e-3
    )


def test_texture_shows_fascia_where_tissue_is_layered() -> None:
    """A sheet 14 mm under a flat skin, two periods of 7 mm: −24 dB, 17 dB over the scatterers' −41 dB."""
    probe = preset("c5_2")
    form = formed(probe)
    form = replace(form, lateral_psf=torch.eye(probe.scan_lines).expand(16, -1, -1))
    zero = torch.zeros(1, probe.scan_lines, probe.samples)
    scatter = torch.zeros(*zero.shape, 2 * LOOKS)
    distance = -form.depths.expand_as(zero)
    found = speckle.texture(Anatomy(zero, zero, zero, torch.ones_like(zero), distance, zero, scatter, zero, zero), form)
    sheet = int(torch.argmin((form.depths - 14).abs()))
    strength = 0.6 + 0.4 * math.cos(2.4 * 2)
    expected = 10 ** (17 / 20) * strength / math.sqrt(math.pi / 2)
    assert float(2 ** found[0, 60, sheet]) == pytest.approx(expected, rel=0.05)
    assert (found[0, 60, (form.depths > 16) & (form.depths < 19)] == -4).all()
    assert (speckle.texture(Anatomy(zero, zero, zero, zero, distance, zero, scatter, zero, zero), form) == -4).all()


def test_behind_fluid_echoes_are_brighter_by_the_missing_attenuation() -> None:
    probe = preset("c5_2")

    def cyst(tissue: NDArray[np.uint8], x: Grid, y: Grid, z: Grid) -> None:
        tissue[np.hypot(x, z - 60) < 15] = TissueClass.FLUID

    form = formed(probe)
    anatomy = sampled(block(cyst), probe)
    energy = transmission(anatomy.impedance, anatomy.attenuation, form)[0, :, 260]
    beside, behind = energy[20:40].mean(), energy[92:100].mean()
    expected = 2 * (0.55 - 0.05) * 3.5 * 3.0 + 2 * 20 * math.log10(1 - ((1.65 - 1.53) / (1.65 + 1.53)) ** 2)
    assert 20 * math.log10(behind / beside) == pytest.approx(expected, abs=0.6)
    image = polar_frame(anatomy, torch.ones(1, 192), form)[0].numpy()
    inside = image[92:100, 160:180].mean()
    assert inside < 15 < image[20:40, 160:180].mean() < image[92:100, 230:260].mean()


def test_an_interface_reflects_less_the_more_it_leans() -> None:
    """½|∂ ln Z|·ℓ, mirror part falling as cos⁶ of the incidence: a ramp of impedance, tilted by hand."""
    probe = ProbeGeometry(ProbeKind.LINEAR, depth=60.0, aperture=40.0, scan_lines=192, samples=512)
    form = formed(probe)
    x, z = (torch.tensor(probe.polar_points[None, ..., i]) for i in (0, 2))
    slope = 0.02  # 1/mm
    for tilt in (0.0, 0.3, 0.7):
        across = z * math.cos(tilt) + x * math.sin(tilt)
        echo = specular_echo(torch.exp(slope * across), torch.ones_like(x), form)[0, 96, 256]
        assert float(echo) == pytest.approx(0.5 * slope * INTERFACE * math.cos(tilt) ** 6, rel=0.02)


def test_the_beam_is_narrowest_for_its_depth_at_the_focus() -> None:
    depths = torch.linspace(40, 180, 141)
    width = beam_width(depths, ImageSettings(focus=90.0)) / depths
    assert float(depths[width.argmin()]) == pytest.approx(90.0, abs=1.0)
    assert float(width.min()) == pytest.approx(0.024, rel=0.01)
    assert float(beam_width(torch.tensor(90.0), ImageSettings(focus=90.0, frequency=7.0))) == pytest.approx(
        0.5 * 0.024 * 90, rel=0.01
    )


def test_grey_follows_gain_and_dynamic_range() -> None:
    """−30 dB of 60 dB is half the range: 9 + 246·0.5^1.5; 6 dB of gain move it by a tenth of the range."""
    probe = preset("c5_2")
    amplitude = torch.full((1, 192, 512), 10 ** (-30 / 20))
    for gain, share in ((0.0, 0.5), (6.0, 0.6), (-40.0, 0.0), (40.0, 1.0)):
        grey = log_compress(amplitude, formed(probe, tgc=0.0, gain=gain))
        assert float(grey[0, 0, 0]) == pytest.approx(9 + 246 * share**1.5, abs=0.01)
    wide = log_compress(amplitude, formed(probe, tgc=0.0, dynamic_range=120.0))
    assert float(wide[0, 0, 0]) == pytest.approx(9 + 246 * 0.75**1.5, abs=0.01)


def test_tgc_makes_up_for_attenuation_until_the_amplifier_ends() -> None:
    form = formed(preset("c5_2"), tgc=0.5, frequency=3.5)
    at = {depth: float(form.tgc[int(depth / 180 * 512)]) for depth in (50, 100, 170)}
    assert at[50] == pytest.approx(2 * 0.5 * 3.5 * 5, abs=0.2)
    assert at[100] == pytest.approx(2 * 0.5 * 3.5 * 10, abs=0.2)
    assert at[170] == pytest.approx(42.0)


def test_without_coupling_only_the_probe_rings() -> None:
    probe, form = preset("c5_2"), formed(preset("c5_2"))
    image = polar_frame(sampled(block(), probe), torch.zeros(1, 192), form)[0]
    assert float(image[:, :3].mean()) > 60
    assert float(image[:, 40:].max()) < 40
    assert float(image[:, 40:].mean()) < GREY_FLOOR + 2
    torch.testing.assert_close(image, uncoupled(form), atol=0.5, rtol=0)


def test_vessels_are_black_and_layers_are_bright() -> None:
    probe, form = preset("c5_2"), formed(preset("c5_2"))

    def vessel(tissue: NDArray[np.uint8], x: Grid, y: Grid, z: Grid) -> None:
        tissue[np.hypot(x, z - 70) < 6] = TissueClass.VESSEL

    image = polar_frame(sampled(block(vessel), probe, even=False), torch.ones(1, 192), form)[0].numpy()
    lumen = image[94:98, int(69 / 180 * 512) : int(73 / 180 * 512)]
    assert lumen.mean() < 14 < 30 < image[60:80, 180:220].mean()


def test_moving_away_and_back_gives_the_same_scatterers() -> None:
    """The same point of the patient scatters alike, whichever probe position looks at it."""
    volume, table, tile = block(), property_table(block()), scatterer_tile(0)
    points = np.array([[[0.0, 0.0, 50.0]], [[3.0, 0.0, 60.0]]], np.float32)
    moved = POSE.copy()
    moved[0, :3, 3] = 4.0, 1.0, -2.0
    here = sample_anatomy(volume, SKIN, table, tile, points, POSE)[6]
    there = sample_anatomy(volume, SKIN, table, tile, points - moved[0, :3, 3].astype(np.float32), moved)[6]
    np.testing.assert_allclose(here, there, atol=2e-4)


def test_scatterers_have_unit_variance_at_every_fraction_of_a_voxel() -> None:
    probe = replace(preset("c5_2"), scan_lines=192, samples=1024)
    scatter = sampled(block(), probe).scatter
    assert float(scatter.std()) == pytest.approx(1.0, abs=0.02)
    assert reslice(block(), probe.polar_points, POSE)[1].min() == TissueClass.LIVER  # the block fills the fan

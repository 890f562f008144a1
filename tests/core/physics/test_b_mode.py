"""Image formation against what the physics says, on phantoms simple enough to compute by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import norm

from us_sim.core.config import ImageSettings
from us_sim.core.errors import ConfigError
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset
from us_sim.core.geometry.transforms import rigid
from us_sim.core.patient.surface import Skin, skin_of
from us_sim.core.patient.volume import CtVolume
from us_sim.core.physics import speckle
from us_sim.core.physics.b_mode import log_compress, of_pleura, polar_frame, received, transmission, uncoupled
from us_sim.core.physics.gel import with_gel
from us_sim.core.physics.imaging import NEPER, PENUMBRA, Formation, beam_width, formation, pulsed
from us_sim.core.physics.interfaces import interface_echo
from us_sim.core.physics.loops import received_by_loops
from us_sim.core.physics.reverberation import FILLED, repeated, wall
from us_sim.core.physics.scanner import GENERIC, Scanner
from us_sim.core.physics.sheen import INTERFACE
from us_sim.core.sampling.anatomy import Anatomy, property_table
from us_sim.core.sampling.loops import sample_anatomy
from us_sim.core.sampling.reslice import reslice
from us_sim.core.sampling.scatterers import LOOKS, scatterers
from us_sim.core.tissue import TISSUES, TissueClass

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
    arrays = sample_anatomy(volume, SKIN, table, scatterers(0), probe.polar_points, POSE)
    return Anatomy(*(torch.from_numpy(array) for array in arrays))


def made(**maps: torch.Tensor) -> Anatomy:
    """An anatomy of liver, all of it known, in which only the given maps are not 0."""
    first = next(iter(maps.values()))
    shape = first.shape[:3]
    zero = torch.zeros(shape)
    names = ("impedance", "attenuation", "specularity", "layering", "skin_distance", "warp", "strand", "hu")
    tissue = torch.full(shape, int(TissueClass.LIVER), dtype=torch.uint8)
    empty = {"scatter": torch.zeros(*shape, 2 * LOOKS), "tissue": tissue, "known": torch.ones(shape)}
    return Anatomy(**{**dict.fromkeys(names, zero), **empty, **maps})


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
    """Lines that meet a ball of bone are dark behind it, and farther on as much of the aperture looks round it."""
    probe, form = preset("c5_2"), formed(preset("c5_2"))
    centre, radius = np.array([15.0, 60.0]), 12.0

    def ball(tissue: NDArray[np.uint8], x: Grid, y: Grid, z: Grid) -> None:
        tissue[np.hypot(x - centre[0], z - centre[1]) < radius] = TissueClass.BONE

    anatomy = sampled(block(ball), probe)
    left = transmission(anatomy.impedance, anatomy.attenuation, form)[0].numpy()
    left /= np.exp(-2 * NEPER * 0.55 * 3.5 * probe.sample_depths / 10)
    apex = np.array([0.0, -50.4])
    angle, distance = np.arctan2(*(centre - apex)), np.hypot(*(centre - apex))
    off, half = np.abs(probe.line_angles - angle), np.arcsin(radius / distance)
    # 75 mm, 27 mm behind where the sound met bone: so much of the shadow's blur, 6.8 mm from its edge
    assert left[off < half / 2, 213].max() < 27 / FILLED * norm.sf(6.8 / (PENUMBRA[0] + PENUMBRA[1] * 75))
    range_ = 50.4 + probe.sample_depths[300]
    sigma = PENUMBRA[0] + PENUMBRA[1] * probe.sample_depths[300]
    expected = norm.sf((half - off) * range_ / sigma) + norm.sf((half + off) * range_ / sigma)
    np.testing.assert_allclose(left[:, 300], expected, atol=0.1)


def test_texture_is_the_level_of_the_scatterers_alone() -> None:
    """Tissue of 0 dB: mean envelope 1, that is 0; 10 times the amplitude 20 dB higher; nothing at all −24 dB."""
    probe = preset("c5_2")
    form, shape = formed(probe), (1, probe.scan_lines, probe.samples, 2 * LOOKS)
    form = replace(form, lateral_psf=torch.eye(probe.scan_lines).expand(16, -1, -1), pulse=torch.ones(1))
    scatter = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = speckle.texture(made(scatter=scatter), form)
    assert (2**found).mean() == pytest.approx(1, rel=0.05)
    louder = speckle.texture(made(scatter=10 * scatter), form)
    torch.testing.assert_close(louder, found + np.log2(10), atol=1e-4, rtol=0)
    assert (speckle.texture(made(scatter=0 * scatter), form) == -4).all()


def test_texture_has_the_grain_of_the_frame() -> None:
    """Where nothing attenuates, echoes, rings or is noise, the frame's envelope is that of the scatterers.

    Within the pulse of where the beam changes its width, every 32 samples, their order makes a difference.
    """
    form, shape = formed(preset("c5_2")), (1, preset("c5_2").scan_lines, preset("c5_2").samples)
    form = replace(form, noise=0 * form.noise, ring=0 * form.ring, aperture=torch.ones(shape[1:]))
    form = replace(form, side_lobes=0 * form.side_lobes)
    scatter = torch.randn(*shape, 2 * LOOKS, generator=torch.Generator().manual_seed(0))
    anatomy = made(scatter=scatter, impedance=torch.full(shape, 1.6), skin_distance=torch.full(shape, -50.0))
    speckle_level = 10 ** (form.scanner.speckle_level / 20) * math.sqrt(math.pi / 2)
    expected = torch.log2(received(anatomy, torch.ones(shape[:2]), form) / speckle_level)
    found, inner = speckle.texture(anatomy, form), (torch.arange(shape[2]) + 2) % 32 >= 4
    torch.testing.assert_close(found[..., inner], expected.clamp(min=-4)[..., inner], rtol=0, atol=2e-3)
    torch.testing.assert_close(found, expected.clamp(min=-4), rtol=0, atol=0.5)


def test_tensors_give_what_the_compiled_loops_give() -> None:
    """Lines, samples and skin as they come in a patient; the loops leave out lines that weigh less than 1e-5."""
    probe = ProbeGeometry(ProbeKind.CONVEX, 120.0, 50.0, 1.2, width=48, height=48, scan_lines=32, samples=64)
    form, shape = formed(probe), (2, 32, 64)
    generator = torch.Generator().manual_seed(3)
    scatter = torch.randn(*shape, 2 * LOOKS, generator=generator)
    layering = torch.rand(shape, generator=generator) * (torch.rand(shape, generator=generator) > 0.4)
    distance, warp = -40 * torch.rand(shape, generator=generator) + 3, torch.randn(shape, generator=generator)
    tissue = torch.randint(14, shape, generator=generator, dtype=torch.uint8)
    tissue[:, :, 20:40] = int(TissueClass.MUSCLE)
    maps = {"layering": layering, "skin_distance": distance, "warp": warp, "strand": warp.flip(1), "tissue": tissue}
    anatomy = made(scatter=scatter, **maps)
    fascia = speckle.fascia(anatomy)
    assert (fascia > 1e-4).float().mean() > 0.15
    torch.testing.assert_close(fascia, speckle.fascia_by_tensors(anatomy), rtol=1e-4, atol=1e-7)
    blurred = speckle.blur_laterally(scatter, form.lateral_psf)
    torch.testing.assert_close(blurred, speckle.blur_by_tensors(scatter, form.lateral_psf), rtol=0, atol=2e-4)
    torch.testing.assert_close(
        speckle.texture(anatomy, form), speckle.texture_by_tensors(anatomy, form), rtol=0, atol=2e-3
    )


def test_texture_shows_fascia_where_tissue_is_layered() -> None:
    """A sheet 16.6 mm under a flat skin, two periods of 8.3 mm: −25 dB, 16 dB over the scatterers' −41 dB."""
    probe = preset("c5_2")
    form = formed(probe)
    form = replace(form, lateral_psf=torch.eye(probe.scan_lines).expand(16, -1, -1))
    zero = torch.zeros(1, probe.scan_lines, probe.samples)
    distance = -form.depths.expand_as(zero)
    found = speckle.texture(made(layering=torch.ones_like(zero), skin_distance=distance), form)
    sheet = int(torch.argmin((form.depths - 16.6).abs()))
    strength = 0.45 + 0.55 * math.cos(2.4 * 2)
    expected = 10 ** (16 / 20) * strength / math.sqrt(math.pi / 2)
    assert float(2 ** found[0, 60, sheet]) == pytest.approx(expected, rel=0.1)
    assert (found[0, 60, (form.depths > 19) & (form.depths < 22)] == -4).all()
    assert (speckle.texture(made(skin_distance=distance), form) == -4).all()


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
    """½|∇Z|/1.6·ℓ, mirror part falling as cos⁶ of the incidence: a ramp of impedance, tilted by hand."""
    probe = ProbeGeometry(ProbeKind.LINEAR, depth=60.0, aperture=40.0, scan_lines=192, samples=512)
    form = formed(probe)
    x, z = (torch.tensor(probe.polar_points[None, ..., i]) for i in (0, 2))
    slope = 0.01  # 1/mm
    for tilt in (0.0, 0.3, 0.7):
        across = z * math.cos(tilt) + x * math.sin(tilt)
        anatomy = made(impedance=1.6 * (1 + slope * across), specularity=torch.ones_like(x))
        mirror, rough = (part[0, 96, 256] for part in interface_echo(anatomy, anatomy.impedance, form))
        assert float(mirror) == pytest.approx(0.5 * slope * INTERFACE * math.cos(tilt) ** 6, rel=0.02)
        assert rough == 0


def test_the_beam_is_narrowest_for_its_depth_at_the_focus() -> None:
    depths, scanner = torch.linspace(40, 180, 141), Scanner(beam_ratio=0.024)
    width = beam_width(depths, ImageSettings(focus=90.0), scanner) / depths
    assert float(depths[width.argmin()]) == pytest.approx(90.0, abs=1.0)
    assert float(width.min()) == pytest.approx(0.024, rel=0.01)
    assert float(beam_width(torch.tensor(90.0), ImageSettings(focus=90.0, frequency=7.0), scanner)) == pytest.approx(
        0.5 * 0.024 * 90, rel=0.01
    )


def test_grey_follows_gain_and_dynamic_range() -> None:
    """−30 dB of 60 dB is half the range: 4 + 251·0.5^1.5; 6 dB of gain move it by a tenth of the range."""
    probe, scanner = preset("c5_2"), Scanner(black=4.0, gamma=1.5, sensitivity=0.0)
    amplitude = torch.full((1, 192, 512), 10 ** (-30 / 20))

    def grey(**settings: float) -> float:
        form = formation(probe, ImageSettings(**{"tgc": 0.0, "dynamic_range": 60.0, **settings}), 0, CPU, scanner)
        return float(log_compress(amplitude, form)[0, 0, 0])

    for gain, share in ((0.0, 0.5), (6.0, 0.6), (-40.0, 0.0), (40.0, 1.0)):
        assert grey(gain=gain) == pytest.approx(4 + 251 * share**1.5, abs=0.01)
    assert grey(dynamic_range=120.0) == pytest.approx(4 + 251 * 0.75**1.5, abs=0.01)


def test_gain_brings_up_noise_and_black_stays_black() -> None:
    probe = preset("c5_2")
    quiet = Scanner(noise_level=-140.0)
    for scanner, comes_up in ((GENERIC, True), (quiet, False)):
        usual, louder = (
            uncoupled(formation(probe, ImageSettings(gain=gain), 0, CPU, scanner))[:, 400:].mean() for gain in (0, 20)
        )
        assert float(louder - usual) == pytest.approx(0, abs=0.1) if not comes_up else louder > usual + 30
        assert comes_up or float(louder) == pytest.approx(scanner.black, abs=0.1)


def test_tgc_makes_up_for_attenuation_until_the_amplifier_ends() -> None:
    """What 0.5 dB/(cm MHz) ask for at 3.5 MHz, x, becomes 40·(1 − exp(−x/40))."""
    form = formation(preset("c5_2"), ImageSettings(tgc=0.5, frequency=3.5), 0, CPU, Scanner(tgc_limit=40.0))
    for depth in (5, 50, 170):
        asked = 2 * 0.5 * 3.5 * depth / 10
        expected = 40 * (1 - math.exp(-asked / 40))
        assert float(form.tgc[int(depth / 180 * 512)]) == pytest.approx(expected, abs=0.2)


def test_a_tgc_slider_raises_its_eighth_of_the_depth() -> None:
    """Sliders at 0, 6 and −6 dB: 6 in the middle of the second eighth, straight to −6 and back to 0, 0 further off."""
    probe = preset("c5_2")
    form, usual = formed(probe, tgc_2=6.0, tgc_3=-6.0), formed(probe)
    raised = form.tgc - usual.tgc
    for place, gain in (
        (0.2, 0.0),
        (0.5, 0.0),
        (1.0, 3.0),
        (1.5, 6.0),
        (2.0, 0.0),
        (2.5, -6.0),
        (3.5, 0.0),
        (7.9, 0.0),
    ):
        assert float(raised[round(place / 8 * probe.samples - 0.5)]) == pytest.approx(gain, abs=0.1)
    assert form.lateral_psf is usual.lateral_psf  # nothing is made again


def test_the_outermost_lines_have_half_an_aperture() -> None:
    form = formation(preset("c5_2"), ImageSettings(), 0, CPU, Scanner(edge_loss=8.0))
    at = 20 * torch.log10(form.aperture)
    assert float(at[0, 300]) == pytest.approx(-8, abs=0.1)
    assert float(at[-1, 300]) == pytest.approx(-8, abs=0.1)
    assert (at[80:112, 30:] == 0).all()  # 10 mm from the face on


def test_without_coupling_only_the_probe_rings() -> None:
    probe, form = preset("c5_2"), formed(preset("c5_2"))
    image = polar_frame(sampled(block(), probe), torch.zeros(1, 192), form)[0]
    assert float(image[:, :3].mean()) > 40
    assert float(image[:, 40:200].mean()) < GENERIC.black + 4
    torch.testing.assert_close(image, uncoupled(form), atol=0.01, rtol=0)


def test_vessels_are_dark_and_layers_are_bright() -> None:
    probe, form = preset("c5_2"), formed(preset("c5_2"))

    def vessel(tissue: NDArray[np.uint8], x: Grid, y: Grid, z: Grid) -> None:
        tissue[np.hypot(x, z - 70) < 6] = TissueClass.VESSEL

    image = polar_frame(sampled(block(vessel), probe, even=False), torch.ones(1, 192), form)[0].numpy()
    lumen = image[94:98, int(69 / 180 * 512) : int(73 / 180 * 512)]
    assert lumen.mean() < 14 < 30 < image[60:80, 180:220].mean()


def lying(organ: TissueClass, behind: float) -> NDArray[np.float32]:
    """Grey, (192, 512), of a block of liver that ends in another class at a depth in mm."""
    probe = preset("c5_2")

    def layer(tissue: NDArray[np.uint8], x: Grid, y: Grid, z: Grid) -> None:
        tissue[z > behind] = organ

    anatomy = sampled(block(layer), probe)
    return polar_frame(anatomy, torch.ones(1, 192), formed(probe))[0].numpy()


def test_shadows_behind_gas_are_grey_and_behind_bone_cleaner() -> None:
    """At 70 mm behind gas at 40 mm real frames hold 30 to 47 where liver holds 47; bone leaves less."""
    at = slice(int(65 / 180 * 512), int(75 / 180 * 512))
    liver, gas, bone = (
        lying(organ, 40.0)[86:106, at].mean() for organ in (TissueClass.LIVER, TissueClass.GAS, TissueClass.BONE)
    )
    assert liver - 30 < gas < liver + 5
    assert GENERIC.black < bone < gas - 12


def test_kidney_is_about_as_bright_as_liver_at_equal_depth() -> None:
    """Real frames: −0.4 grey; here cortex alone, its medulla is for `CtVolume.echo`."""
    probe = preset("c5_2")

    def half(tissue: NDArray[np.uint8], x: Grid, y: Grid, z: Grid) -> None:
        tissue[x > 0] = TissueClass.KIDNEY

    image = polar_frame(sampled(block(half), probe), torch.ones(1, 192), formed(probe))[0].numpy()
    at = slice(int(50 / 180 * 512), int(90 / 180 * 512))
    assert image[110:140, at].mean() - image[52:82, at].mean() == pytest.approx(-2, abs=4)


def test_organs_stand_in_the_textbook_s_order_of_echoes() -> None:
    """Sinus (fat) > pancreas ≥ spleen ≥ liver ≥ cortex."""
    order = (TissueClass.FAT, TissueClass.PANCREAS, TissueClass.SPLEEN, TissueClass.LIVER, TissueClass.KIDNEY)
    levels = [TISSUES[organ].backscatter for organ in order]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] > levels[1]


def test_lung_mirrors_what_lies_before_it() -> None:
    """At s behind a mirror m lies what lies at 2m − s, twice passed through m and fading towards 2m."""
    form = formed(preset("c5_2"))
    impedance, left = torch.full((1, 192, 512), 1.65), torch.exp(-0.01 * torch.arange(512.0)).expand(1, 192, -1)
    impedance[..., 200:] = 0.26
    found = wall(impedance, left, torch.zeros_like(left), form)
    assert int(found.source[0, 5, 250]) == 150
    expected = math.exp(-2 * 0.01 * 192 + 0.01 * 150) * 10 ** (form.scanner.mirror_level / 20) * (1 - 50 / 200)
    assert float(found.mirror[0, 5, 250]) == pytest.approx(expected, rel=1e-4)
    assert (found.mirror[..., :201] == 0).all()
    assert (found.haze[..., :201] == 0).all()
    bone = torch.where(impedance < 1, 7.8, 1.65)
    assert not wall(bone, left, torch.zeros_like(left), form).mirror.any()


def gassy(strand: torch.Tensor) -> Anatomy:
    """A slab of soft tissue that ends in gas at 40 mm, with strands of a (192,) strength in it."""
    probe = preset("c5_2")
    impedance = torch.full((1, 192, 512), 1.6)
    impedance[..., probe.sample_depths > 40.0] = 0.0004
    return made(impedance=impedance, skin_distance=torch.full((1, 192, 512), -30.0),
                specularity=torch.ones(1, 192, 512), strand=strand[None, :, None].expand(1, 192, 512))  # fmt: skip


def test_gas_repeats_its_bright_echo_behind_in_ever_fainter_lines() -> None:
    """6.7 mm apart: the first 24 dB below the echo, each further one another 6 dB; no haze in the comparison."""
    probe = preset("c5_2")
    form = formation(probe, ImageSettings(), 0, CPU, replace(GENERIC, shadow_level=-80.0, noise_level=-140.0))
    envelope = received(gassy(torch.zeros(192)), torch.ones(1, 192), form)[0, 96] - form.ring
    peaks = [int(envelope[at : at + 14].argmax()) + at for at in range(110, 200, 19)]
    apart = np.diff([probe.sample_depths[peak] for peak in peaks])
    np.testing.assert_allclose(apart, 6.7, atol=0.36)
    drops = np.diff(20 * np.log10(envelope[peaks].numpy()))
    np.testing.assert_allclose(drops, [-24, -6, -6, -6], atol=1.0)


def test_gas_is_ragged_where_the_gut_s_wall_is_and_haze_behind_lung_but_bone_is_not() -> None:
    """4 dB for each SD of the strands in the wall before it: the echo, its lines and the haze alike."""
    form, lines = formed(preset("c5_2")), torch.linspace(-1, 1, 192)
    anatomy = gassy(lines)
    left = torch.ones(1, 192, 512)
    found = wall(anatomy.impedance, left, anatomy.strand, form)
    expected = 10 ** (4 * lines / 20)
    torch.testing.assert_close(found.strength[0, :, 0], expected)
    torch.testing.assert_close(found.haze[0, :, 200] / found.haze[0, 96, 200], expected / expected[96])
    echo = repeated(torch.where(torch.arange(512) == 114, 1.0, 0.0).expand(1, 192, 512), found, form)
    torch.testing.assert_close(echo[0, :, 114], expected)
    for other, ragged in ((7.8, torch.ones(192)), (0.26, expected)):
        haze = wall(torch.where(anatomy.impedance < 1, other, 1.6), left, anatomy.strand, form).haze[0, :, 200]
        torch.testing.assert_close(haze / haze[96], ragged / ragged[96])


def test_behind_lung_its_pleura_repeats_at_multiples_of_its_depth() -> None:
    """A-lines: each 12 dB, and what the way to and fro takes, below the one before."""
    form, left = formed(preset("c5_2")), torch.full((1, 192, 512), 0.8)
    impedance = torch.where(torch.arange(512) < 120, 1.6, 0.26).expand(1, 192, 512)
    pleura = torch.where(torch.arange(512) == 121, 1.0, 0.0).expand(1, 192, 512)
    echo = of_pleura(pleura, wall(impedance, left, torch.ones(1, 192, 512), form), form)[0, 7]
    expected = torch.zeros(512)
    kept = 10 ** (-12 / 20) * 0.8
    # Depths are (s + ½) steps: from 120 to 120.5 · 2 − ½ = 240.5 and on to 361 and 481.5.
    expected[121], expected[241], expected[362], expected[482] = 1, kept, kept**2, kept**3
    torch.testing.assert_close(echo, expected)


def in_steps() -> Anatomy:
    """Lung below soft tissue, at 40 mm in the middle; the pleura falls by 2 mm at once every 12 lines, as voxels do."""
    depth = 40.0 + 2.0 * torch.round((torch.arange(192) - 95.5) / 12)
    deep = torch.tensor(preset("c5_2").sample_depths) > depth[:, None]
    return replace(gassy(torch.linspace(-2.5, 2.5, 192)), impedance=torch.where(deep, 0.26, 1.6)[None])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_pleura_and_its_repeats_run_straight_where_voxels_stand_in_steps(turns: int) -> None:
    """Off the plane that the steps follow by 0.35 mm at most, for each turn; a step is 2 mm."""
    form, left = formed(preset("c5_2")), torch.ones(1, 192, 512)
    found = wall(in_steps().impedance, left, torch.zeros(1, 192, 512), form)
    echo = of_pleura(found.pleura.float(), found, form)[0, 64:128]
    plane = torch.linspace(40.0 - 31.5 / 6, 40.0 + 31.5 / 6, 64)[:, None]
    near = echo * ((form.depths / plane - turns).abs() < 0.3)
    middle = (near * form.depths).sum(dim=-1) / near.sum(dim=-1)
    torch.testing.assert_close(middle, turns * (plane[:, 0] + form.step / 2), rtol=0, atol=turns * 0.35)


def test_loops_and_tensors_draw_a_lines_alike() -> None:
    form, anatomy = formed(preset("c5_2")), in_steps()
    envelopes = [draw(anatomy, torch.ones(1, 192), form) for draw in (received, received_by_loops)]
    torch.testing.assert_close(*envelopes, rtol=1e-3, atol=1e-6)


def test_a_wet_septum_under_the_pleura_rings_down_to_the_bottom_and_a_deep_one_does_not() -> None:
    """A B-line: 8 dB over the haze, full from 3 SD of the strands on, half at 2.6, less by e in 60 mm."""
    form, left = formed(preset("c5_2")), torch.ones(1, 192, 512)
    for depth, shares in ((40.0, [0, 0, 0.5, 1]), (70.0, [0, 0, 0, 0])):
        impedance = torch.where(form.depths > depth, 0.26, 1.6).expand(1, 192, 512)
        strand = torch.tensor([0.0, 2.1, 2.6, 3.5]).repeat(48)[None, :, None].expand(1, 192, 512)
        found = wall(impedance, left, strand, form)
        first = int(found.first[0, 0])
        beyond = (form.depths - form.depths[first])[first + 1 :]
        ragged = 10 ** (4 * strand.clamp(max=2) / 20)[0, :4, :1]
        level = 10 ** (form.scanner.shadow_level / 20)
        comet = 10 ** (8 / 20) * torch.tensor(shares)[:, None] * torch.exp(-beyond / 60)
        expected = level * (ragged * torch.exp(-1.25 * beyond / form.scanner.shadow_length) + comet)
        torch.testing.assert_close(found.haze[0, :4, first + 1 :], expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("impedance", [1.6, 7.8])
def test_tissue_and_bone_have_no_lines(impedance: float) -> None:
    form, coherent = formed(preset("c5_2")), torch.rand(1, 192, 512)
    deeper = torch.full((1, 192, 512), 1.6)
    deeper[..., 120:] = impedance
    found = wall(deeper, torch.ones(1, 192, 512), torch.ones(1, 192, 512), form)
    assert torch.equal(repeated(coherent, found, form), coherent)


def test_loops_and_tensors_draw_ragged_gas_alike() -> None:
    form, anatomy = formed(preset("c5_2")), gassy(torch.linspace(-2.5, 2.5, 192))
    envelopes = [draw(anatomy, torch.ones(1, 192), form) for draw in (received, received_by_loops)]
    torch.testing.assert_close(*envelopes, rtol=1e-3, atol=1e-6)


def slab() -> tuple[CtVolume, Skin]:
    """Soft tissue below a skin that leans by 10 degrees, in voxels of 3 mm."""
    x, _, z = np.meshgrid(np.arange(-90, 91, 3.0), np.arange(-45, 46, 3.0), np.arange(-60, 91, 3.0), indexing="ij")
    lean = math.radians(10)
    inside = z * math.cos(lean) + x * math.sin(lean) > 0
    tissue = np.where(inside, TissueClass.SOFT, TissueClass.BACKGROUND).astype(np.uint8)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -90, -45, -60
    volume = CtVolume(np.where(inside, 45, -1000).astype(np.int16), tissue, affine, "slab", "")
    return volume, skin_of(volume)


def test_no_air_leaks_into_the_skin_of_a_coarse_ct() -> None:
    """15 mm of soft tissue take 2·0.7·3.5·1.5 dB, on every line alike."""
    probe = ProbeGeometry(ProbeKind.CONVEX, depth=60.0, radius_of_curvature=50.4, field_of_view=math.pi / 3)
    volume, skin = slab()
    lean = math.radians(10)
    pose = rigid(np.array([[math.cos(lean), 0, math.sin(lean)], [0, 1, 0], [-math.sin(lean), 0, math.cos(lean)]]),
                 4 * np.array([math.sin(lean), 0, math.cos(lean)]))[None]  # fmt: skip
    arrays = sample_anatomy(volume, skin, property_table(volume), scatterers(0), probe.polar_points, pose)
    anatomy = Anatomy(*(torch.from_numpy(array) for array in arrays))
    left = 20 * torch.log10(transmission(*with_gel(anatomy, formed(probe)), formed(probe))[0]).numpy()
    under_skin = probe.polar_points[..., 2] + 4
    deep = np.abs(under_skin - 15).argmin(axis=1)
    path = (under_skin[np.arange(192), deep] - np.maximum(under_skin[:, 0], 0)) / np.cos(probe.line_angles)
    loss = left[np.arange(192), deep] + 2 * 0.7 * 3.5 * path / 10
    assert np.abs(np.diff(left[np.arange(192), deep])).max() < 1.0
    assert np.abs(loss).max() < 1.0


def test_loops_and_tensors_form_the_same_frame_and_no_frame_depends_on_its_batch() -> None:
    probe = replace(preset("c5_2"), scan_lines=48, samples=128, depth=120.0)

    def organs(tissue: NDArray[np.uint8], x: Grid, y: Grid, z: Grid) -> None:
        tissue[z < 20] = TissueClass.MUSCLE
        tissue[np.hypot(x - 20, z - 40) < 9] = TissueClass.BONE
        tissue[np.hypot(x + 22, z - 50) < 9] = TissueClass.GAS
        tissue[np.hypot(x, z - 60) < 9] = TissueClass.FLUID

    moved = POSE.copy()
    moved[0, :3, 3] = 4.0, 1.0, 3.0
    volume, points, form = block(organs), probe.polar_points, formed(probe)
    table, tile, poses = property_table(volume), scatterers(0), np.concatenate([POSE, moved])
    both, one = (
        Anatomy(*map(torch.from_numpy, sample_anatomy(volume, SKIN, table, tile, points, at))) for at in (poses, moved)
    )
    coupling = torch.linspace(0.2, 1, 48).expand(2, -1)
    compiled, tensors = received_by_loops(both, coupling, form), received(both, coupling, form)
    torch.testing.assert_close(log_compress(compiled, form), log_compress(tensors, form), rtol=0, atol=0.05)
    assert torch.equal(received_by_loops(one, coupling[1:], form), compiled[1:])


def test_the_pulse_keeps_the_power_of_speckle() -> None:
    probe = preset("c5_2")
    scatter = sampled(block(), probe).scatter
    for length in (0.0, 0.6, 1.5):
        form = formation(probe, ImageSettings(), 0, CPU, Scanner(pulse_length=length))
        assert float(pulsed(scatter, form.pulse)[:, :, 40:].std()) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("looks", [0, 7])
def test_a_scanner_outside_its_ranges_is_refused(looks: int) -> None:
    with pytest.raises(ConfigError, match=f"looks is {looks}; expected 1 to 6"):
        Scanner(looks=looks)


def test_moving_away_and_back_gives_the_same_scatterers() -> None:
    """The same point of the patient scatters alike, whichever probe position looks at it."""
    volume, table, tile = block(), property_table(block()), scatterers(0)
    points = np.array([[[0.0, 0.0, 50.0]], [[3.0, 0.0, 60.0]]], np.float32)
    moved = POSE.copy()
    moved[0, :3, 3] = 4.0, 1.0, -2.0
    here = sample_anatomy(volume, SKIN, table, tile, points, POSE)[7]
    there = sample_anatomy(volume, SKIN, table, tile, points - moved[0, :3, 3].astype(np.float32), moved)[7]
    np.testing.assert_allclose(here, there, atol=2e-4)


def test_scatterers_have_unit_variance_at_every_fraction_of_a_voxel() -> None:
    probe = replace(preset("c5_2"), scan_lines=192, samples=1024)
    scatter = sampled(block(), probe).scatter
    assert float(scatter.std()) == pytest.approx(1.0, abs=0.02)
    assert reslice(block(), probe.polar_points, POSE)[1].min() == TissueClass.LIVER  # the block fills the fan


def test_the_compiled_loops_refuse_arrays_of_different_grids() -> None:
    """They look at the shape of one and would read beyond the end of the others."""
    probe = ProbeGeometry(ProbeKind.LINEAR, 40.0, aperture=32.0, width=64, height=64, scan_lines=64, samples=128)
    anatomy, coupling = made(impedance=torch.full((1, 64, 128), 1.6)), torch.ones(1, 64)
    fewer = formed(replace(probe, scan_lines=32))
    with pytest.raises(AssertionError, match=r"formation of \(32, "):
        polar_frame(anatomy, coupling, fewer)
    with pytest.raises(AssertionError, match="coupling of shape"):
        polar_frame(anatomy, coupling[:, 1:], formed(probe))
    with pytest.raises(AssertionError, match="formation of another grid"):
        speckle.texture(anatomy, fewer)


def test_beyond_the_ct_tissue_fades_without_a_border_or_a_shadow() -> None:
    """Cut 60 mm down, liver goes on beyond: impedance and attenuation stay, scatterers fall by e every 6 mm."""
    probe = ProbeGeometry(ProbeKind.LINEAR, 96.0, aperture=32.0, width=64, height=64, scan_lines=16, samples=96)
    whole, cut = block(), block()
    cut = replace(cut, hu=cut.hu[:, :, :36].copy(), tissue=cut.tissue[:, :, :36].copy())  # centres from −10 to 60 mm
    entire, ended = sampled(whole, probe), sampled(cut, probe)
    assert torch.equal(entire.impedance, ended.impedance)
    assert torch.equal(entire.attenuation, ended.attenuation)
    beyond = (torch.arange(96) + 0.5 - 60).clamp(min=0)  # mm, of the samples
    left = torch.exp(-beyond / 6)[:, None]
    assert left[[59, 66, 72], 0].tolist() == pytest.approx([1, math.exp(-6.5 / 6), math.exp(-12.5 / 6)])
    torch.testing.assert_close(ended.scatter[0], entire.scatter[0] * left, rtol=1e-4, atol=1e-6)
    form, coupled = formed(probe), torch.ones(1, 16)
    shown, known = (log_compress(received(part, coupled, form), form)[0] for part in (ended, entire))
    assert (shown[:, 55:] <= known[:, 55:] + 6).all()  # no bright bar at the cut
    assert shown[:, 61:67].mean() > 0.5 * known[:, 61:67].mean()  # nor a shadow that begins there
    assert (ended.hu[0, :, 61:] == ended.hu[0, :, 59:60]).all()
    assert (ended.tissue == TissueClass.LIVER).all()


def test_beyond_the_ct_neither_interfaces_nor_walls_echo() -> None:
    """Muscle, bone and lung that the cut's last voxels show stand beside each other in liver, and on behind it."""
    probe = ProbeGeometry(ProbeKind.LINEAR, 160.0, aperture=40.0, width=64, height=64, scan_lines=32, samples=128)
    coupled, form = torch.ones(2, 32), formed(probe)

    def leaning(tissue: NDArray[np.uint8], x: Grid, y: Grid, z: Grid) -> None:
        tissue[x > 0] = TissueClass.MUSCLE
        tissue[x > 8] = TissueClass.LUNG

    turned = np.concatenate([POSE, POSE])
    turned[1, :3, :3] = [[math.cos(0.4), 0, math.sin(0.4)], [0, 1, 0], [-math.sin(0.4), 0, math.cos(0.4)]]
    volume = block(leaning)
    cut = replace(volume, hu=volume.hu[:, :, :31].copy(), tissue=volume.tissue[:, :, :31].copy())  # centres to 50 mm
    given = property_table(volume), scatterers(0), probe.polar_points, turned
    ended = Anatomy(*map(torch.from_numpy, sample_anatomy(cut, SKIN, *given)))
    depth = torch.from_numpy(np.einsum("bj,lsj->bls", turned[:, 2, :3], probe.polar_points).astype(np.float32))
    torch.testing.assert_close(ended.known, torch.exp(-(depth - 50).clamp(min=0) / 1.5), rtol=1e-3, atol=1e-4)
    silent = replace(form, noise=torch.zeros_like(form.noise), ring=torch.zeros_like(form.ring))
    shown = received_by_loops(ended, coupled, silent)
    torch.testing.assert_close(shown, received(ended, coupled, silent), rtol=1e-3, atol=1e-6)
    first = wall(ended.impedance, torch.ones_like(depth), ended.strand, form).first[..., 0]
    clear = first == 0
    assert clear.any(dim=-1).all()
    assert (shown * (depth > 80))[clear].max() < 1e-2 * shown[clear].mean()

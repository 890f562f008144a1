"""An invented scanner is found again in frames of the same views with other scatterers and noise: the fast version.

The full one, three scanners from their frames' files: `python -m us_sim.offline.fit.recovery`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.core.patients import box_patient, on_the_box

from us_sim.core.config import ImageSettings
from us_sim.core.geometry.fans import FanGeometry, Resampler
from us_sim.core.geometry.probe import preset
from us_sim.core.physics.b_mode import polar_frame
from us_sim.core.physics.imaging import formation
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert_by_tensors
from us_sim.core.physics.scanner import GENERIC
from us_sim.core.sampling.reslice import THIN
from us_sim.core.sampling.sampler import CpuSampler
from us_sim.offline.fit.command import preset_of
from us_sim.offline.fit.fitting import Fit, fit, residuals_against
from us_sim.offline.fit.frames import Scanned
from us_sim.offline.fit.knobs import NAMES, SPANS, Guess, from_unit, to_unit
from us_sim.offline.fit.measures import SCALE, Ruler
from us_sim.offline.fit.quantities import QUANTITIES
from us_sim.offline.fit.report import picture, verdict, written
from us_sim.offline.fit.scenes import Scenes, formed

PIXEL = 0.35  # mm
PROBE = replace(formed(replace(preset("c5_2"), depth=100.0), PIXEL), scan_lines=48, samples=192)
INVENTED = Guess(
    ImageSettings(dynamic_range=65.0, tgc=0.8),
    replace(GENERIC, sensitivity=-10.0, gamma=1.0, black=12.0, pulse_length=1.1, beam_ratio=0.04, edge_loss=14.0),
)


def scenes(seed: int) -> Scenes:
    """The box from six places, with scatterers and noise of a seed."""
    poses = np.stack([on_the_box(x=6.0 * i - 9, z=4.0 * i - 6) for i in range(6)])
    anatomy = CpuSampler(box_patient(), seed).anatomy(torch.from_numpy(PROBE.polar_points), poses, THIN)
    return Scenes(anatomy, PROBE, PROBE, seed)


@pytest.fixture(scope="module")
def scanned() -> Scanned:
    grey = torch.cat([scenes(seed).frames(INVENTED) for seed in (7, 8, 9)])
    names = tuple(f"{i}.png" for i in range(len(grey)))
    return Scanned(grey, torch.ones(grey.shape, dtype=torch.bool), PROBE, names, (100.0,) * len(grey))


@pytest.fixture(scope="module")
def found(scanned: Scanned) -> Fit:
    return fit(scanned, scenes(1), scenes(3))


def test_every_point_of_the_cube_is_a_scanner() -> None:
    for corner in (0.0, 0.5, 1.0):
        point = np.full(len(NAMES), corner)
        back = to_unit(from_unit(point))
        steps = np.array([name == "looks" for name in NAMES])
        np.testing.assert_allclose(back[~steps], point[~steps])
    assert all(low <= Guess().value(name) <= high for name, (low, high) in SPANS.items())


# Not "black": in eighteen frames of a box it trades against noise, which docs/fit.md says.
@pytest.mark.parametrize("name", ["tone of liver by depth", "pulse length", "beam width", "lateral fall-off"])
def test_the_constants_are_recovered(found: Fit, scanned: Scanned, name: str) -> None:
    rule, true = QUANTITIES[name], preset_of(INVENTED, scanned, "true", "")
    assert rule.gap(true, preset_of(Guess(), scanned, "generic", "")) > rule.bound
    assert rule.gap(true, preset_of(found.guess, scanned, "found", "")) <= rule.bound


def test_frames_of_the_fitted_scanner_are_nearer(found: Fit) -> None:
    by_name = {one.name: one for one in found.verdicts}
    for name in ("grey", "grain", "near field", "lateral", "floor"):
        assert by_name[name].after < 0.7 * by_name[name].before, name


def test_simulated_frames_are_interpolated_as_often_as_real_ones() -> None:
    """From scan lines to pixels, and from pixels as frames are read: each time speckle loses grain."""
    own = scenes(1)
    polar = polar_frame(own.anatomy, torch.ones(6, 48), formation(PROBE, ImageSettings(), 1, torch.device("cpu")))
    image = scan_convert_by_tensors(polar, *conversion_grid(PROBE, torch.device("cpu")))
    (x, z), (dx, dz), apex = PROBE.first_pixel, PROBE.pixel_spacing, PROBE.apex
    assert (dx, dz) == pytest.approx((PIXEL, PIXEL), rel=0.01)
    fan = FanGeometry((-x / dx, (-apex - z) / dz), (apex / dz, (apex + 100) / dz), PROBE.field_of_view / 2, dz)
    read = Resampler(PROBE, fan, polar=True).image(image.numpy()).transpose(1, 2)
    frames = own.frames(Guess())
    assert (frames - read)[:, 2:-2, 2:-2].abs().mean() < 0.2
    assert frames.diff(dim=-1).std() < 0.9 * polar.diff(dim=-1).std()


def test_what_is_not_measured_does_not_pull() -> None:
    """A residual is 0 where either side is NaN, and each measure weighs one."""
    ruler, own = Ruler(PROBE), scenes(1)
    target = ruler.measure(own.frames(Guess()), torch.ones(6, 48, 192) > 0)
    residuals, weights = residuals_against(target, ruler, own, Guess())
    assert np.abs(residuals(to_unit(Guess()))).max() < 1e-4
    assert np.square(weights).sum() >= len(SCALE)


def test_the_report_shows_before_after_and_real(found: Fit, scanned: Scanned) -> None:
    text = written(found, scanned, "mine.png")
    assert verdict(found) in text
    assert "![before, after, real](mine.png)" in text
    assert "only 18 frames; 30 or more" in text
    sheet = picture(found, scanned, scenes(3))
    assert sheet.width > sheet.height / 2
    assert len(np.unique(np.asarray(sheet))) > 50


def test_a_miss_is_said(found: Fit) -> None:
    missed = replace(found, verdicts=tuple(replace(one, after=9.0, real=1.0) for one in found.verdicts))
    assert verdict(missed).startswith("Failed: grey, block SD")
    assert verdict(replace(found, verdicts=())).startswith("Passed")

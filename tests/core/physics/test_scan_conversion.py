"""Scan conversion: what is known in depth and angle comes out at the pixels that trigonometry gives."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from us_sim.core.geometry.probe import PRESETS, ProbeGeometry, ProbeKind
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert, scan_convert_by_tensors

CPU = torch.device("cpu")
CONVEX = ProbeGeometry(ProbeKind.CONVEX, 100.0, 50.0, 1.0, width=96, height=80, scan_lines=64, samples=128)
LINEAR = ProbeGeometry(ProbeKind.LINEAR, 40.0, aperture=32.0, width=96, height=80, scan_lines=64, samples=128)
PHASED = ProbeGeometry(ProbeKind.PHASED, 90.0, 0.0, 1.5, 20.0, width=96, height=80, scan_lines=64, samples=128)
PROBES = [CONVEX, LINEAR, PHASED, PRESETS["c5_2"], PRESETS["paper"]]


def lateral_and_depth(probe: ProbeGeometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of every pixel: angle (or x of a linear probe), and distance from the face along the scan line, mm."""
    x, z = probe.pixel_points[..., 0].astype(np.float64), probe.pixel_points[..., 2].astype(np.float64)
    if probe.kind is ProbeKind.LINEAR:
        return x, z
    behind = probe.radius_of_curvature or 0.5 * probe.aperture / math.tan(0.5 * probe.field_of_view)
    angle = np.arctan2(x, z + behind)
    start = behind if probe.kind is ProbeKind.CONVEX else behind / np.cos(angle)
    return angle, np.hypot(x, z + behind) - start


def line_places(probe: ProbeGeometry) -> NDArray[np.float64]:
    extent = probe.aperture if probe.kind is ProbeKind.LINEAR else probe.field_of_view
    return ((np.arange(probe.scan_lines) + 0.5) / probe.scan_lines - 0.5) * extent


def convert(probe: ProbeGeometry, polar: NDArray[np.float64]) -> NDArray[np.float32]:
    image = scan_convert(torch.from_numpy(polar.astype(np.float32))[None], *conversion_grid(probe, CPU))
    return np.asarray(image[0])


@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.kind.name)
def test_a_ramp_in_depth_and_angle_is_exact(probe: ProbeGeometry) -> None:
    """Bilinear interpolation keeps what is linear on the polar grid; only half a cell at its border is clamped."""
    lateral, depth = line_places(probe)[:, None], probe.sample_depths[None, :]
    pixel_lateral, pixel_depth = lateral_and_depth(probe)
    image = convert(probe, 3.0 * depth / probe.depth + 2.0 * lateral / lateral.max())
    clamped_depth = np.clip(pixel_depth, depth.min(), depth.max())
    clamped_lateral = np.clip(pixel_lateral, lateral.min(), lateral.max())
    expected = 3.0 * clamped_depth / probe.depth + 2.0 * clamped_lateral / lateral.max()
    np.testing.assert_allclose(image, np.where(probe.fan_mask, expected, 0), atol=2e-4)
    assert (image[~probe.fan_mask] == 0).all()


def test_a_wave_is_right_within_the_interpolation_error() -> None:
    """|error| ≤ h²/8 |f″| along each axis."""
    lateral, depth = line_places(CONVEX)[:, None], CONVEX.sample_depths[None, :]
    image = convert(CONVEX, np.sin(0.5 * depth) + np.cos(12 * lateral))
    pixel_lateral, pixel_depth = lateral_and_depth(CONVEX)
    step, turn = 100 / 128, 1 / 64
    bound = (0.5 * step) ** 2 / 8 + (12 * turn) ** 2 / 8
    inner = CONVEX.fan_mask & (pixel_depth > step) & (pixel_depth < 100 - step) & (abs(pixel_lateral) < 0.5 - turn)
    error = np.abs(image - np.sin(0.5 * pixel_depth) - np.cos(12 * pixel_lateral))[inner]
    assert error.max() < 1.05 * bound
    assert error.max() > 0.3 * bound  # the bound is met: it is interpolation that errs, not the place


@pytest.mark.parametrize(("probe", "row", "column"), [
    # 256 columns of 0.9 mm, rows of 0.72950 mm from −6.752 mm. Line 160 of 192 at 60° (160.5/192 − 0.5) = 20.156°,
    # sample 255.5 of 512 at 90 mm: x = 140.4 sin 20.156° = 48.378, z = 140.4 cos 20.156° − 50.4 = 81.402 mm.
    (PRESETS["c5_2"], (81.402 + 6.7523) / 0.72950 - 0.5, 48.378 / 0.9 + 127.5),
    # Frame 38 × 50 mm. Line 160 at 38 (160.5/192 − 0.5) = 12.766 mm, depth 25 mm.
    (PRESETS["l12_5"], 25 / (50 / 256) - 0.5, 12.766 / (38 / 256) + 127.5),
    # The apex lies 10 mm behind the face. Line 160 at 90° (...) = 30.234°: it leaves the face at 10 tan = 5.828 mm;
    # depth 80 mm: x = 5.828 + 80 sin = 46.111, z = 80 cos = 69.118 mm. Frame 2 · 170 sin 45° = 240.416 × 160 mm.
    (PRESETS["p4_2"], 69.118 / 0.625 - 0.5, 46.111 / (240.416 / 256) + 127.5),
], ids=["convex", "linear", "phased"])  # fmt: skip
def test_an_echo_lands_on_the_pixel_computed_by_hand(probe: ProbeGeometry, row: float, column: float) -> None:
    polar = np.zeros((probe.scan_lines, probe.samples))
    polar[158:163, 250:262] = 1  # around line 160, sample 255.5
    image = convert(probe, polar)
    found = [np.average(index, weights=image) for index in np.indices(image.shape)]
    assert found == pytest.approx([row, column], abs=0.3)


def test_lines_of_a_real_scanner_become_its_picture(shared_data: Path) -> None:
    """An endocavity probe: radii 10 to 82 mm, ±75°, pixels of 0.15 mm, the middle of the face at pixel (409.5, 87).

    The picture is another program's. On a whole pixel the two would agree to 0.95.
    """
    folder = shared_data / "scan_conversion"
    lines, theirs = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"UltrasonixCurvilinear{what}Data.igs.mha")))
        for what in ("Brightness", "ScanConverted")
    )
    assert lines.shape[1:] == (96, 3640)
    probe = ProbeGeometry(
        ProbeKind.CONVEX, 72.0 * 3632 / 3640, 10.0, math.radians(150), width=820, height=616, scan_lines=96,
        samples=3632, given_spacing=(0.15, 0.15), given_first_pixel=(-409.5 * 0.15, -87 * 0.15),
    )  # fmt: skip
    ours, fan = convert(probe, lines[0, :, :3632]), probe.fan_mask
    assert (theirs[0][fan] > 0).mean() > 0.995
    assert (theirs[0][~fan] > 0).mean() < 0.001
    assert np.corrcoef(ours[fan], theirs[0][fan])[0, 1] > 0.98


def test_outside_the_fan_is_exactly_0_whatever_the_lines_hold() -> None:
    for probe in PROBES:
        image = convert(probe, np.full((probe.scan_lines, probe.samples), 255.0))
        np.testing.assert_array_equal(image[~probe.fan_mask], 0)
        np.testing.assert_allclose(image[probe.fan_mask], 255, atol=1e-3)


def test_a_batch_equals_its_single_images() -> None:
    polar = torch.rand(3, 64, 128, generator=torch.Generator().manual_seed(0))
    grid, mask = conversion_grid(CONVEX, CPU)
    assert grid.shape == (1, 80, 96, 2)
    assert mask.dtype == torch.bool
    batch = scan_convert(polar, grid, mask)
    assert batch.shape == (3, 80, 96)
    for one, image in zip(polar, batch, strict=True):
        assert torch.equal(scan_convert(one[None], grid, mask)[0], image)


def test_tensors_give_what_the_compiled_loop_gives() -> None:
    """The second is a transposed view; a single sample and a single line are constant along that axis."""
    wave = torch.rand(2, 128, 64, generator=torch.Generator().manual_seed(0)).transpose(1, 2)
    grid, mask = conversion_grid(CONVEX, CPU)
    for polar in (wave.contiguous(), wave, wave[:, :1], wave[..., :1]):
        expected = scan_convert_by_tensors(polar, grid, mask)
        torch.testing.assert_close(scan_convert(polar, grid, mask), expected, atol=2e-6, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu() -> None:
    polar = torch.rand(2, 64, 128, generator=torch.Generator().manual_seed(0))
    cuda = torch.device("cuda:0")
    on_cuda = scan_convert(polar.to(cuda), *conversion_grid(CONVEX, cuda)).cpu()
    torch.testing.assert_close(on_cuda, scan_convert(polar, *conversion_grid(CONVEX, CPU)), atol=1e-4, rtol=0)

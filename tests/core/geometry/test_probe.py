"""Fans and grids against numbers computed by hand and against straight trigonometry."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from us_sim.core.errors import ProbeError
from us_sim.core.geometry.probe import PRESETS, ProbeGeometry, ProbeKind, preset

CONVEX = ProbeGeometry(ProbeKind.CONVEX, 100.0, radius_of_curvature=50.0, field_of_view=1.0, width=64, height=48)
LINEAR = ProbeGeometry(ProbeKind.LINEAR, 40.0, aperture=32.0, width=64, height=48, scan_lines=16, samples=80)
PHASED = ProbeGeometry(ProbeKind.PHASED, 90.0, aperture=20.0, field_of_view=math.pi / 2, width=64, height=48)

pixels = st.integers(16, 48)
lines = st.integers(16, 64)
samples = st.integers(2, 12).map(lambda n: 16 * n)
depths = st.floats(10, 400)
views, radii, faces = st.floats(0.1, 2.6), st.floats(5, 200), st.floats(5, 150)
grids = {"depth": depths, "width": pixels, "height": pixels, "scan_lines": lines, "samples": samples}


def probes() -> st.SearchStrategy[ProbeGeometry]:
    return st.one_of(
        st.builds(ProbeGeometry, st.just(ProbeKind.CONVEX), radius_of_curvature=radii, field_of_view=views, **grids),
        st.builds(ProbeGeometry, st.just(ProbeKind.LINEAR), aperture=faces, **grids),
        st.builds(ProbeGeometry, st.just(ProbeKind.PHASED), aperture=faces, field_of_view=views, **grids),
    )


def place(probe: ProbeGeometry, line: NDArray[Any], sample: NDArray[Any]) -> NDArray[np.float64]:
    """(..., 3) mm of fractional scan lines and samples, from what a fan is."""
    share, along = (line + 0.5) / probe.scan_lines - 0.5, (sample + 0.5) * probe.depth / probe.samples
    if probe.kind is ProbeKind.LINEAR:
        x, z = share * probe.aperture, along
    elif probe.kind is ProbeKind.CONVEX:
        radius, angle = probe.radius_of_curvature + along, share * probe.field_of_view
        x, z = radius * np.sin(angle), radius * np.cos(angle) - probe.radius_of_curvature
    else:
        angle = share * probe.field_of_view
        behind = 0.5 * probe.aperture / math.tan(0.5 * probe.field_of_view)
        x, z = behind * np.tan(angle) + along * np.sin(angle), along * np.cos(angle)
    return np.stack([x, np.zeros_like(x), z], axis=-1)


# -- by hand ---------------------------------------------------------------------------------------------


def test_the_default_probe_is_the_fan_of_the_real_frames() -> None:
    probe = preset("c5_2")
    assert (probe.kind, probe.radius_of_curvature, probe.depth) == (ProbeKind.CONVEX, 50.4, 180.0)
    assert math.degrees(probe.field_of_view) == pytest.approx(60)
    # Radii 160 and 732 pixels of 0.314818 mm; half chord 230.4 sin 30°; the sides start 50.4 (1 − cos 30°) higher.
    assert probe.apex == pytest.approx(160 * 0.314818, abs=0.05)
    assert probe.apex + probe.depth == pytest.approx(732 * 0.314818, abs=0.05)
    assert probe.fan_size == pytest.approx((-115.2, 115.2, -6.7523, 180.0), abs=1e-4)
    assert probe.pixel_spacing == pytest.approx((0.9, 186.7523 / 256), abs=1e-6)
    assert probe.first_pixel == pytest.approx((-114.75, -6.7523 + 186.7523 / 512), abs=1e-4)
    np.testing.assert_array_equal(probe.fan_mask, probe.fan_mask[:, ::-1])
    np.testing.assert_allclose(probe.pixel_points[..., 0], -probe.pixel_points[:, ::-1, 0], atol=1e-5)
    # A sector of 60° between the radii 50.4 and 230.4 mm, in pixels.
    area = math.pi / 6 * (230.4**2 - 50.4**2)
    assert probe.fan_mask.sum() * np.prod(probe.pixel_spacing) == pytest.approx(area, rel=2e-3)


def test_the_papers_fan_is_its_formula_exactly() -> None:
    """Circle centred at column 256, row −20, radius 500 pixels, between 60° and 120°, on 512 × 512; in integers."""
    row, column = np.mgrid[:512, :512]
    x, y = column - 256, row + 20
    in_circle = x**2 + y**2 <= 500**2
    between = 3 * x**2 <= y**2  # |x| ≤ y tan 30°
    probe = preset("paper")
    np.testing.assert_array_equal(probe.fan_mask, in_circle & between)
    assert probe.fan_mask[480, 256]
    assert not probe.fan_mask[481, 256]
    assert probe.fan_mask[480 - 20, 256 + 140]  # 140² + 480² = 500²: the arc belongs to the fan


def test_lines_run_from_left_to_right_and_down() -> None:
    for probe in PRESETS.values():
        x = probe.line_origins[:, 0]
        assert (np.diff(x) > 0).all()
        assert x[0] < 0 < x[-1]
        assert (probe.line_directions[:, 2] > 0).all()
        assert not probe.line_origins[:, 1].any()
        assert not probe.line_directions[:, 1].any()
        np.testing.assert_allclose(np.linalg.norm(probe.line_directions, axis=1), 1)
        assert (np.diff(probe.sample_depths) > 0).all()


def test_first_line_of_each_kind() -> None:
    # 192 lines over 1 rad: the first one lies half a line, 1/384 rad, inside.
    angle = -0.5 + 0.5 / 192
    np.testing.assert_allclose(CONVEX.line_origins[0], [50 * math.sin(angle), 0, 50 * (math.cos(angle) - 1)])
    np.testing.assert_allclose(CONVEX.line_directions[0], [math.sin(angle), 0, math.cos(angle)])
    # 16 lines over 32 mm stand 2 mm apart; 80 samples over 40 mm 0.5 mm.
    np.testing.assert_allclose(LINEAR.line_origins[:, 0], np.arange(-15, 16, 2))
    np.testing.assert_allclose(LINEAR.sample_depths[:3], [0.25, 0.75, 1.25])
    np.testing.assert_array_equal(LINEAR.line_directions, np.tile([0.0, 0, 1], (16, 1)))
    # 90° over a face of 20 mm: the centre of the fan lies 10 mm behind it.
    assert PHASED.apex == pytest.approx(10)
    angle = -math.pi / 4 + math.pi / 4 / 192
    np.testing.assert_allclose(PHASED.line_origins[0], [10 * math.tan(angle), 0, 0])
    assert math.isinf(LINEAR.apex)


def test_boxes_around_the_fans() -> None:
    assert CONVEX.fan_size == pytest.approx((-150 * math.sin(0.5), 150 * math.sin(0.5), 50 * (math.cos(0.5) - 1), 100))
    assert LINEAR.fan_size == (-16, 16, 0, 40)
    assert PHASED.fan_size == pytest.approx((-100 * math.sqrt(0.5), 100 * math.sqrt(0.5), 0, 90))
    assert LINEAR.pixel_spacing == (0.5, 40 / 48)
    assert LINEAR.first_pixel == pytest.approx((-15.75, 20 / 48))
    assert LINEAR.fan_mask.all()


@pytest.mark.parametrize(("degrees", "box"), [
    (150, (-70 * 0.965926, 70 * 0.965926, 10 * 0.258819 - 10, 60)),
    (180, (-70, 70, -10, 60)),
    (240, (-70, 70, -70 * 0.5 - 10, 60)),
    (360, (-70, 70, -80, 60)),
])  # fmt: skip
def test_fans_of_endocavity_and_radial_probes(degrees: int, box: tuple[float, ...]) -> None:
    """10 mm radius, 60 mm deep; all lines lie in the frame, and their pixels give line and sample back."""
    probe = ProbeGeometry(ProbeKind.CONVEX, 60.0, 10.0, math.radians(degrees), width=128, height=128, scan_lines=96,
                          samples=128)  # fmt: skip
    assert probe.fan_size == pytest.approx(box)
    assert probe.warnings == ()
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    for line, sample in ((0, 127), (95, 64), (48, 0), (20, 100)):
        x, _, z = probe.polar_points[line, sample]
        row, column = round((z - z0) / dz), round((x - x0) / dx)
        assert probe.polar_of_pixel[row, column] == pytest.approx([line, sample], abs=6)


def test_a_frame_that_cuts_the_fan_says_so() -> None:
    """32 mm of a face of 64 columns of 0.5 mm: pixels of 0.25 mm show half of it, and 12 of 40 mm of depth."""
    assert LINEAR.warnings == ()
    narrow = replace(LINEAR, given_spacing=(0.25, 0.25))
    assert narrow.warnings == (
        "the frame, 16 mm wide and 12 mm high, shows 15 % of the fan; give given_spacing more mm or the frame more "
        "pixels to see all of it",
    )


def test_given_spacing_and_first_pixel() -> None:
    spaced = replace(LINEAR, given_spacing=(1.0, 0.5))
    assert spaced.first_pixel == (-31.5, 0.25)  # centred under the face
    np.testing.assert_array_equal(spaced.pixel_points[2, 3], [-28.5, 0, 1.25])
    # Columns at −31.5, −30.5 ...: those within ±16 mm are in the fan.
    np.testing.assert_array_equal(spaced.fan_mask[0], np.abs(np.arange(64) - 31.5) <= 16)
    moved = replace(spaced, given_first_pixel=(-10.0, -3.0))
    np.testing.assert_array_equal(moved.pixel_points[0, 0], [-10, 0, -3])
    # Rows at −3, −2.5, ... mm: the first at the face is row 6, whose border belongs to the fan.
    np.testing.assert_array_equal(moved.fan_mask[:, 10], np.arange(48) >= 6)


def test_with_depth_fits_the_frame_anew() -> None:
    deeper = preset("paper").with_depth(200.0)
    assert deeper.depth == 200
    assert (deeper.given_spacing, deeper.given_first_pixel) == (None, None)
    assert deeper.fan_size[3] == 200
    assert deeper.first_pixel[1] + 511.5 * deeper.pixel_spacing[1] == pytest.approx(200)
    with pytest.raises(ProbeError, match="depth is 500"):
        deeper.with_depth(500)


# -- over generated probes -------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(probes())
def test_pixels_go_to_scan_lines_and_back(probe: ProbeGeometry) -> None:
    line, sample = np.moveaxis(probe.polar_of_pixel.astype(np.float64), -1, 0)
    inside = probe.fan_mask
    back = place(probe, line[inside], sample[inside])
    np.testing.assert_allclose(back, probe.pixel_points[inside], atol=2e-3)
    assert (line[inside] >= -0.5 - 1e-3).all()
    assert (line[inside] <= probe.scan_lines - 0.5 + 1e-3).all()
    assert (sample[inside] >= -0.5 - 1e-3).all()


@settings(max_examples=60, deadline=None)
@given(probes())
def test_polar_points_lie_on_the_fractional_lines(probe: ProbeGeometry) -> None:
    line, sample = np.meshgrid(np.arange(probe.scan_lines), np.arange(probe.samples), indexing="ij")
    assert probe.polar_points.shape == (probe.scan_lines, probe.samples, 3)
    assert probe.polar_points.dtype == probe.pixel_points.dtype == np.float32
    np.testing.assert_allclose(probe.polar_points, place(probe, line, sample), atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(probes())
def test_the_frame_holds_the_whole_fan(probe: ProbeGeometry) -> None:
    left, right, top, bottom = probe.fan_size
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    edges = x0 - dx / 2, x0 + (probe.width - 0.5) * dx, z0 - dz / 2, z0 + (probe.height - 0.5) * dz
    np.testing.assert_allclose(edges, (left, right, top, bottom), atol=1e-9)
    x, z = probe.polar_points[..., 0], probe.polar_points[..., 2]
    if probe.kind is ProbeKind.PHASED:  # the outer lines are cut by the arc
        kept = np.hypot(x, z + probe.apex) <= probe.apex + probe.depth
        x, z = x[kept], z[kept]
    assert x.min() >= left - 1e-3
    assert x.max() <= right + 1e-3
    assert z.min() >= top - 1e-3
    assert z.max() <= bottom + 1e-3


# -- refusals --------------------------------------------------------------------------------------------


def refused(probe: ProbeGeometry, message: str, **changes: Any) -> None:
    with pytest.raises(ProbeError, match=message):
        replace(probe, **changes)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("width", 16, 2048), ("height", 16, 2048), ("scan_lines", 16, 1024), ("samples", 32, 4096)],
)
def test_counts(name: str, low: int, high: int) -> None:
    for value in (low, high):
        changes: dict[str, Any] = {name: value}
        assert getattr(replace(CONVEX, **changes), name) == value
    for wrong in (low - 1, high + 1, 0, -5, 64.0, math.nan):
        refused(CONVEX, f"{name} is {wrong}; expected a whole number from {low} to {high}", **{name: wrong})


@pytest.mark.parametrize(
    ("probe", "name", "wrong", "expected"),
    [
        *((p, "depth", d, "10 to 400 mm") for p in (CONVEX, LINEAR, PHASED) for d in (9.9, 401.0, math.nan, -50.0)),
        *((CONVEX, "radius_of_curvature", r, "5 to 200 mm for a convex probe") for r in (0.0, 4.9, 201.0, math.nan)),
        (LINEAR, "radius_of_curvature", 50.0, "5 to 200 mm for a convex probe, 0 for the others"),
        (PHASED, "radius_of_curvature", math.nan, "0 for the others"),
        *((p, "field_of_view", v, "0.1 to 2.6 rad") for p in (CONVEX, PHASED) for v in (0.0, 0.09, 6.3, math.nan)),
        (PHASED, "field_of_view", 2.7, "0.1 to 2.6 rad for a phased probe"),
        (LINEAR, "field_of_view", 1.0, "0 for a linear one"),
        *((p, "aperture", a, "5 to 150 mm") for p in (LINEAR, PHASED) for a in (0.0, 4.0, 151.0, math.nan)),
        (CONVEX, "aperture", 40.0, "0 for a convex one"),
        *((CONVEX, "slice_thickness", t, "0 to 20 mm") for t in (-1.0, 21.0, math.nan)),
        *((CONVEX, "elevation_planes", n, "an odd number from 1 to 21") for n in (0, 2, 23, -1)),
        (CONVEX, "samples", 100, "a multiple of 16"),
        (CONVEX, "kind", 0, "a ProbeKind"),
        *((CONVEX, "given_spacing", s, "0.01 to 10 mm") for s in ((0.0, 1.0), (1.0, -1.0), (math.nan, 1.0))),
        *((CONVEX, "given_first_pixel", f, "within 1000 mm") for f in ((math.inf, 0.0), (0.0, math.nan), (-2e3, 0.0))),
    ],
)  # fmt: skip
def test_values_outside_their_range(probe: ProbeGeometry, name: str, wrong: Any, expected: str) -> None:
    refused(probe, f"{name} is .*; expected .*{expected}", **{name: wrong})


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ProbeError, match="unknown probe 'c9'; expected one of c5_2, l12_5, p4_2, paper"):
        preset("c9")


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    assert preset(name) is PRESETS[name]
    assert preset(name).fan_mask.any()


def test_a_polar_grid_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(ProbeError, match="1024 scan lines of 4096 samples are too many; expected at most 1048576"):
        replace(preset("c5_2"), scan_lines=1024, samples=4096)


GRIDS = ("line_angles", "line_origins", "line_directions", "pixel_points", "sample_depths", "polar_points",
         "polar_of_pixel", "fan_mask")  # fmt: skip


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("probe", PRESETS.values(), ids=PRESETS)
def test_the_grids_cannot_be_written_into(probe: ProbeGeometry, name: str) -> None:
    grid = getattr(probe, name)
    with pytest.raises(ValueError, match="read-only"):
        grid[...] = 0
    assert getattr(probe, name) is grid


@pytest.mark.parametrize("name", ["c5_2", "paper"])
def test_more_rows_cover_the_same_place(name: str) -> None:
    """Both corners of the frame stay: the first pixel's less half a pixel, and that plus all pixels."""
    probe = preset(name)
    fine = probe.with_rows(2 * probe.height)
    assert (fine.width, fine.height) == (2 * probe.width, 2 * probe.height)
    for one in (0, 1):
        edges = [shape.first_pixel[one] - 0.5 * shape.pixel_spacing[one] for shape in (probe, fine)]
        sizes = [shape.pixel_spacing[one] * (shape.width, shape.height)[one] for shape in (probe, fine)]
        assert edges[1] == pytest.approx(edges[0])
        assert sizes[1] == pytest.approx(sizes[0])


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ProbeError, match="expected a whole number from 16 to 2048"):
        preset("c5_2").with_rows(3)


def test_a_narrow_sector_shows_whole_lines_around_the_middle() -> None:
    """Half of 192 lines over 60° are lines 48 to 143: pixels within 15° of the middle, of the same fan."""
    probe = preset("c5_2")
    narrow = replace(probe, sector=0.5)
    assert narrow.drawn_lines == slice(48, 144)
    x, z = narrow.pixel_points[..., 0].astype(np.float64), narrow.pixel_points[..., 2].astype(np.float64)
    np.testing.assert_array_equal(
        narrow.fan_mask, probe.fan_mask & (np.abs(np.arctan2(x, z + 50.4)) < np.radians(15.0))
    )
    np.testing.assert_array_equal(narrow.polar_points, probe.polar_points)
    assert probe.drawn_lines == slice(0, 192)
    with pytest.raises(ProbeError, match=r"sector is 0\.1; expected 0\.2 to 1 of the scan lines"):
        replace(probe, sector=0.1)

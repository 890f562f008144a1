"""The pictures and words of the page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset
from us_sim.core.patient.labels import TissueClass
from us_sim.viewer import finding, pictures, readout
from us_sim.viewer.readout import Organ

LINEAR = ProbeGeometry(ProbeKind.LINEAR, depth=50.0, aperture=40.0, width=64, height=160, scan_lines=32, samples=64)
ALL = np.ones(LINEAR.scan_lines)  # coupled
COLORS = np.zeros((256, 3), np.uint8)
COLORS[1] = (100, 0, 100)


def test_pictures_have_square_pixels() -> None:
    assert pictures.scaled(LINEAR, 560) == (560, 700)  # 40 mm by 50 mm
    assert pictures.scaled(preset("c5_2"), pictures.WIDTH)[1] >= 512
    probe = preset("c5_2")
    image = np.full((probe.height, probe.width), 90, np.uint8)
    picture = pictures.b_mode(image, probe)
    left, right, top, bottom = probe.fan_size
    assert picture.shape == (round(720 * (bottom - top) / (right - left)), 720, 3)


def test_depth_marks_lie_at_their_depth() -> None:
    picture = pictures.b_mode(np.zeros((160, 64), np.uint8), LINEAR)
    rows = np.flatnonzero(picture[:, -1].any(axis=-1))
    np.testing.assert_allclose(rows, np.arange(0, 6)[: len(rows)] * 180.0, atol=1)  # 18 pixels to the mm
    assert picture[180, -8:].any()
    assert tuple(picture[13, 13]) == pictures.MARKER
    expected = [(0.0, "cm"), (0.2, ""), (0.4, ""), (0.6, ""), (0.8, ""), (1.0, "5")]  # 5 cm deep
    for (share, word), (wanted, words) in zip(pictures.ticks(LINEAR), expected, strict=True):
        assert (share, word) == (pytest.approx(wanted, abs=1e-6), words)


def test_outlines_run_along_borders_alone() -> None:
    labels = np.zeros((160, 64), np.uint8)
    labels[40:120, 16:48] = 1
    drawn = pictures.outlined(np.full((160, 64), 50, np.uint8), LINEAR, labels, COLORS)
    changed = (drawn != 50).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert abs(rows.min() - 225) <= 1  # row 40 of 160 on 900
    assert abs(columns.max() - 539) <= 1
    assert not changed[450, 360]
    assert tuple(drawn[rows[0], columns[0]]) == (177, 127, 177)


def test_slice_and_classes_side_by_side() -> None:
    view = np.full((160, 64), 200, np.uint8)
    pair = pictures.side_by_side(view, np.ones((160, 64), np.uint8), LINEAR, COLORS)
    assert tuple(pair[200, 100]) == (200, 200, 200)
    assert tuple(pair[200, -100]) == (100, 0, 100)
    probe = preset("c5_2")
    pair = pictures.side_by_side(np.full((256, 256), 200, np.uint8), np.ones((256, 256), np.uint8), probe, COLORS)
    assert (tuple(pair[2, 150]), tuple(pair[-2, 4]), tuple(pair[100, 140])) == (
        (66, 66, 66),
        (66, 66, 66),
        (200, 200, 200),
    )  # beside the fan above and below, and in it


def test_the_frame_in_space_is_clear_outside_the_fan() -> None:
    rgba = pictures.see_through(np.array([[0, 9]], np.uint8))
    assert rgba.tolist() == [[[0, 0, 0, 0], [9, 9, 9, 255]]]


def test_areas_are_in_square_centimetres() -> None:
    labels = np.zeros((160, 64), np.uint8)
    labels[:80] = 2
    areas = pictures.areas(labels, LINEAR)
    assert (areas[2], areas[0]) == (10.0, 10.0)  # halves of 4 cm × 5 cm
    half = pictures.areas(labels, replace(LINEAR, sector=0.5))
    assert (half[2], half[0]) == (5.0, 5.0)  # of the lines that are shown
    probe = preset("c5_2")
    fan = pictures.areas(np.ones((probe.height, probe.width), np.uint8), probe)[1]
    assert fan == pytest.approx(np.pi / 6 * (23.04**2 - 5.04**2), rel=0.005)  # a sixth of a ring


def test_what_is_not_seen_is_not_counted() -> None:
    labels = np.full((160, 64), TissueClass.LIVER, np.uint8)
    assert pictures.areas(labels, LINEAR, ALL)[TissueClass.LIVER] == 20.0  # 4 cm × 5 cm
    assert pictures.areas(labels, LINEAR, 0 * ALL)[TissueClass.LIVER] == 0.0  # a probe in air
    half = np.where(np.arange(32) < 16, 1.0, 0.2)
    assert pictures.areas(labels, LINEAR, half)[TissueClass.LIVER] == 10.0
    labels[80:90] = TissueClass.BONE
    seen = pictures.areas(labels, LINEAR, ALL)
    assert seen[TissueClass.LIVER] == pytest.approx(10.0, abs=0.7)  # half of it, but for the step of the samples
    assert seen[TissueClass.BONE] < 0.7
    assert pictures.areas(labels, LINEAR, [1.0, 1.0])[TissueClass.LIVER] == seen[TissueClass.LIVER]


def test_bars_and_words() -> None:
    html = readout.bars([Organ("liver", (100, 0, 100), 60.0), Organ("<b>", (0, 0, 0), 0.0)])
    assert "60.0 cm²" in html
    assert "width:50.0%" in html
    assert "&lt;b&gt;" in html
    assert "force" not in readout.contact([1.0, 0.0], 3.0, None)
    shown = readout.contact([1.0, 0.0], 3.04, 5.25)
    assert all(word in shown for word in ("coupling 50 %", "indentation 3.0 mm", "force 5.2 N"))
    assert "coupling 0 %" in readout.contact([], 0.0, None)
    assert "force 0.0 N" in readout.contact([], 0.0, -0.04)


def test_what_lies_behind_bone_is_not_seen() -> None:
    labels = np.full((160, 64), TissueClass.LIVER, np.uint8)
    assert finding.share_seen(labels, ALL, LINEAR, TissueClass.LIVER) == 1.0
    labels[80, :32] = TissueClass.BONE
    labels[80:96, :32] = TissueClass.BONE
    assert finding.share_seen(labels, ALL, LINEAR, TissueClass.LIVER) == 0.75
    assert finding.share_seen(labels, ALL, LINEAR, TissueClass.KIDNEY) == 0.0


def test_only_the_wanted_one_of_two_organs_counts() -> None:
    labels = np.full((160, 64), TissueClass.KIDNEY, np.uint8)
    left = finding.Box(np.array([-20.0, -1.0, -1.0]), np.array([0.0, 1.0, 51.0]), np.eye(4))
    assert finding.share_seen(labels, ALL, LINEAR, TissueClass.KIDNEY, left) == 0.5
    away = np.eye(4)
    away[1, 3] = 5.0  # the image plane passes beside the box
    assert finding.share_seen(labels, ALL, LINEAR, TissueClass.KIDNEY, replace(left, ct_from_probe=away)) == 0.0


def test_a_window_maps_hu_to_grey() -> None:
    """-100 to 300 HU: 0 HU is a quarter of white, 63.75."""
    hu = np.array([[-500, -100, 0, 200, 300, 3000]], np.int16)
    assert pictures.windowed(hu, (-100.0, 300.0)).tolist() == [[0, 0, 64, 191, 255, 255]]

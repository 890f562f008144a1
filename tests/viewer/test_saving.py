"""Clips and measurements as files, read again by other programs' readers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.viewer.about import About
from us_sim.viewer.measuring import M_MODE, Mark
from us_sim.viewer.orientation import BodyMark
from us_sim.viewer.pictures import MARKER
from us_sim.viewer.saving import KINDS, Clip, save

PROBE = ProbeGeometry(ProbeKind.LINEAR, depth=50.0, aperture=40.0, width=63, height=161, scan_lines=32, samples=64)
ABOUT = About("phantom-0", "ab" * 32, "physics", datetime(2026, 1, 2, 3, 4, 5, 678))
FRAMES = np.random.default_rng(0).integers(0, 256, (5, 161, 63), dtype=np.uint8)
LENGTH = Mark("distance", ((-15.0, 10.0), (15.0, 50.0)))  # 50 mm


def clip(*marks: Mark) -> Clip:
    return Clip(list(FRAMES), [0.0, 0.1, 0.2, 0.3, 0.4], 3, marks, PROBE, ABOUT)


def test_a_clip_is_an_ultrasound_multi_frame_image_with_its_scale(tmp_path: Path) -> None:
    (path,) = save("dicom", tmp_path, clip())
    file = pydicom.dcmread(path)
    assert file.SOPClassUID.name == "Ultrasound Multi-frame Image Storage"
    np.testing.assert_array_equal(file.pixel_array, FRAMES)
    assert (file.NumberOfFrames, float(file.FrameTime), file.CineRate) == (5, 100.0, 10)
    assert file[file.FrameIncrementPointer].keyword == "FrameTime"
    (region,) = file.SequenceOfUltrasoundRegions
    assert (region.PhysicalUnitsXDirection, region.PhysicalDeltaX * 63, region.PhysicalDeltaY * 161) == (
        3, pytest.approx(4.0), pytest.approx(5.0),
    )  # fmt: skip
    assert region.ReferencePixelPhysicalValueX == pytest.approx(0.0)  # column 31 is the middle of the face
    assert region.ReferencePixelX0 == 31
    assert region.ReferencePixelPhysicalValueY == pytest.approx((region.ReferencePixelY0 + 0.5) * 5.0 / 161)
    assert str(file.PatientName) == "phantom-0^simulated"


def test_a_measurement_is_a_report_on_its_frame(tmp_path: Path) -> None:
    ellipse = Mark("ellipse", ((-10.0, 20.0), (10.0, 20.0), (0.0, 25.0)))
    paths = save("dicom", tmp_path, clip(LENGTH, ellipse, Mark("arrow", ((0.0, 0.0), (1.0, 1.0)), "cyst")))
    images, report = map(pydicom.dcmread, paths)
    assert report.SOPClassUID.name == "Comprehensive SR Storage"
    assert report.StudyInstanceUID == images.StudyInstanceUID
    assert report.SeriesInstanceUID != images.SeriesInstanceUID
    items = report.ContentSequence
    measured = [
        (
            item.ConceptNameCodeSequence[0].CodeMeaning,
            float(item.MeasuredValueSequence[0].NumericValue),
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for item in items
    ]
    assert measured[0] == ("Length", 50.0, "mm")
    assert measured[1] == ("Area", pytest.approx(0.5 * np.pi, abs=1e-3), "cm2")
    assert [name for name, *_ in measured] == ["Length", "Area", "Circumference"]
    place = items[0].ContentSequence[0]
    np.testing.assert_allclose(place.GraphicData, [5 / 40 * 63, 10 / 50 * 161, 35 / 40 * 63, 161], rtol=1e-6)
    image = place.ContentSequence[0].ReferencedSOPSequence[0]
    assert (image.ReferencedSOPInstanceUID, image.ReferencedFrameNumber) == (images.SOPInstanceUID, 4)


def test_a_velocity_of_the_m_mode_strip_is_reported_on_its_scan_line(tmp_path: Path) -> None:
    """10 mm in 2 s on line 8 of 32, at a quarter of the aperture and half a line."""
    paths = save("dicom", tmp_path, clip(Mark(M_MODE, ((-3.0, 20.0), (-1.0, 30.0)), scan_line=8)))
    items = pydicom.dcmread(paths[1]).ContentSequence
    measured = {
        item.ConceptNameCodeSequence[0].CodeMeaning: (
            float(item.MeasuredValueSequence[0].NumericValue),
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for item in items
    }
    assert measured == {"Time": (2.0, "s"), "Depth": (10.0, "mm"), "Tissue Velocity": (5.0, "mm/s")}
    x = 8.5 / 32 * 63
    np.testing.assert_allclose(items[2].ContentSequence[0].GraphicData, [x, 20 / 50 * 161, x, 30 / 50 * 161], rtol=1e-5)


def test_a_still_shows_the_m_mode_strip_below_with_its_callipers(tmp_path: Path) -> None:
    strip = np.full((220, 720), 60, np.uint8)
    mark = Mark(M_MODE, ((-3.0, 20.0), (-1.0, 20.0)))  # from the middle to five sixths, at two fifths
    plain, marked = (np.asarray(Image.open(save("png", tmp_path / f"{n}", replace(clip(*marks), strip=strip))[0]))
                     for n, marks in enumerate(((), (mark,))))  # fmt: skip
    below = (plain != marked).any(axis=-1)[-220:]
    line = np.flatnonzero(below[87:90].any(axis=0))
    assert (line.min(), line.max()) == (pytest.approx(360, abs=6), pytest.approx(600, abs=6))
    assert tuple(plain[-200, 100]) == (60, 60, 60)


def test_the_same_clip_saved_twice_has_the_same_identifiers(tmp_path: Path) -> None:
    first, second = (pydicom.dcmread(save("dicom", tmp_path / name, clip(LENGTH))[0]) for name in ("a", "b"))
    assert first == second


def test_a_still_shows_its_callipers(tmp_path: Path) -> None:
    plain, marked = (np.asarray(Image.open(save("png", tmp_path / f"{n}", clip(*marks))[0]))
                     for n, marks in enumerate(((), (LENGTH,))))  # fmt: skip
    changed = np.argwhere((plain != marked).any(axis=-1))
    height, width = plain.shape[:2]
    assert changed[:, 0].min() == pytest.approx(height * 10 / 50, abs=7)
    line = changed[np.abs(changed[:, 0] - height * 30 / 50) < 1]
    np.testing.assert_allclose(line[:, 1] / width, 0.5, atol=0.01)  # half way it is in the middle


def test_still_and_film_show_where_the_probe_stands(tmp_path: Path) -> None:
    """Two bodies with the probe at the right shoulder and at the left hip: they differ at the lower left alone."""
    bodies = [BodyMark(0.0, 0.0, 0.0), BodyMark(1.0, 1.0, 0.0)]
    with_marks = [replace(clip(LENGTH), bodies=[body] * 5) for body in bodies]
    first, second = (np.asarray(Image.open(save("png", tmp_path / f"{n}", c)[0])) for n, c in enumerate(with_marks))
    row, column = np.nonzero((first != second).any(axis=-1))
    height = len(first)
    assert row.min() > 0.75 * height
    assert column.max() < 0.25 * height
    above = row < (row.min() + row.max()) / 2
    assert column[above].mean() < column[~above].mean()
    assert (first[row[above], column[above]] == MARKER).all(axis=-1).any()  # the probe is orange there
    plain, marked = (np.asarray(Image.open(save("gif", tmp_path / f"g{n}", c)[0]).convert("RGB"), dtype=int)
                     for n, c in enumerate((clip(), with_marks[0])))  # fmt: skip
    changed = np.argwhere(np.abs(plain - marked).max(axis=-1) > 100)  # less is that of another palette
    assert changed[:, 0].min() > 0.75 * height
    assert changed[:, 1].max() < 0.25 * height


def test_clips_play_in_real_time(tmp_path: Path) -> None:
    (gif,) = save("gif", tmp_path, clip())
    with Image.open(gif) as film:
        assert (film.n_frames, film.info["duration"]) == (5, 100)
    (mp4,) = save("mp4", tmp_path, clip())
    assert mp4.read_bytes()[4:8] == b"ftyp"


def test_a_single_frame_can_be_saved_as_anything(tmp_path: Path) -> None:
    for kind in KINDS:
        for path in save(kind, tmp_path, Clip([FRAMES[0]], [0.0], 0, (), PROBE, ABOUT)):
            assert path.stat().st_size > 1000

"""The table of renderers beside real frames: pictures in, scan lines out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.core.patients import box_patient, on_the_box

from us_sim.bench.realism import lines_in_frame, real_frames, sheet, table
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset
from us_sim.core.simulator import Simulator

PROBE = ProbeGeometry(ProbeKind.CONVEX, 120.0, 50.0, 1.2, width=64, height=64, scan_lines=64, samples=128)


def test_frames_are_read_along_the_scan_lines_of_their_fan(tmp_path: Path) -> None:
    """A picture whose grey is its distance from the centre of curvature, (150, -40) pixels."""
    row, column = np.mgrid[0:280, 0:300]
    Image.fromarray(np.hypot(row + 40, column - 150).clip(0, 255).astype(np.uint8)).save(tmp_path / "a.png")
    found = real_frames(tmp_path, PROBE, (150.0, -40.0, 60.0, 220.0, 30.0))
    expected = 60 + PROBE.sample_depths / 120 * 160
    np.testing.assert_allclose(found[0], np.broadcast_to(expected, found[0].shape), atol=1.0)


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"holds no .* frames; give a folder"):
        real_frames(tmp_path, PROBE, (150.0, -40.0, 60.0, 220.0, 30.0))


def test_scan_lines_find_their_pixels() -> None:
    rows, columns = lines_in_frame(PROBE)
    shown = PROBE.polar_of_pixel[32, 40]
    line, sample = (round(float(v)) for v in shown)
    assert rows[line, sample] == pytest.approx(32, abs=0.8)
    assert columns[line, sample] == pytest.approx(40, abs=0.8)


def test_the_table_measures_all_against_the_first() -> None:
    frame = Simulator(box_patient(), PROBE, device="cpu").render(on_the_box()).image
    assert frame is not None
    frames = np.random.default_rng(0).uniform(20, 90, (2, 192, 512))
    made = table({"real": frames, "brighter": frames + 7}, preset("c5_2"))
    assert [cell for cell in made.columns[-1].cells] == ["0.0", "7.0"]


def test_the_sheet_shows_a_row_for_each_set_in_the_fan() -> None:
    """Grey 50 and 90 inside the fan, black outside, the first and the last frame of each."""
    shown = {name: np.full((3, 64, 128), grey) for name, grey in (("real", 50.0), ("physics", 90.0))}
    shown["real"][1] = 255
    picture = np.asarray(sheet(shown, PROBE, 2))
    expected = np.hstack([PROBE.fan_mask, PROBE.fan_mask])
    np.testing.assert_array_equal(picture, np.vstack([50 * expected, 90 * expected]))

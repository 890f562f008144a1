"""Frames as a scanner's user has them: fans drawn by hand, two depths, text, twins."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from us_sim.core.errors import DataError
from us_sim.core.geometry.fans import FanGeometry, fan_in_frame
from us_sim.offline.fit.command import main
from us_sim.offline.fit.frames import Scanned, read_frames, scaled

DEEP = FanGeometry((150.0, -40.0), (60.0, 260.0), math.radians(32))
NEAR = FanGeometry((150.0, -60.0), (90.0, 280.0), math.radians(32))  # the same probe at 1.5 times the size


def write(folder: Path, fan: FanGeometry, count: int, first: int = 0, text: bool = True) -> None:
    """Frames of noise in a fan, with a word and a coloured caliper at fixed places."""
    folder.mkdir(exist_ok=True)
    rng, inside = np.random.default_rng(first), fan_in_frame(fan, (240, 301))
    for i in range(count):
        grey = np.where(inside, np.clip(rng.normal(70, 15, inside.shape), 20, 200), 0)
        if text:
            grey[150:154, 120:150:3] = 250
        rgb = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)
        if text:
            rgb[100:104, 180:200] = (255, 255, 0)
        Image.fromarray(rgb).save(folder / f"{first + i:03d}.png")


def row_of(scanned: Scanned, fan: FanGeometry, x: int, y: int) -> tuple[int, int]:
    """Line and sample of a pixel."""
    dx, dy = x - fan.centre[0], y - fan.centre[1]
    line = (math.atan2(dx, dy) / fan.half_angle + 1) / 2 * scanned.probe.scan_lines
    depth = (math.hypot(dx, dy) - fan.radii[0]) * scanned.probe.radius_of_curvature / fan.radii[0]
    return int(line), int(depth / scanned.probe.sample_spacing)


def test_fan_and_depth_are_found(tmp_path: Path) -> None:
    write(tmp_path / "a", DEEP, 10)
    scanned = read_frames(tmp_path / "a", radius=60.0)
    assert scanned.probe.radius_of_curvature == pytest.approx(60.0, abs=0.1)
    assert scanned.probe.depth == pytest.approx(200.0, rel=0.03)
    assert scanned.probe.field_of_view == pytest.approx(math.radians(64), rel=0.03)
    assert scanned.names[0] == "000.png"
    assert len(scanned.grey) == 10
    assert float(scanned.grey[scanned.valid].mean()) == pytest.approx(70, abs=3)


def test_text_and_calipers_do_not_count(tmp_path: Path) -> None:
    write(tmp_path / "a", DEEP, 10)
    scanned = read_frames(tmp_path / "a", FanGeometry(DEEP.centre, DEEP.radii, DEEP.half_angle), radius=60.0)
    for x, y in ((135, 151), (190, 102)):
        line, sample = row_of(scanned, DEEP, x, y)
        assert not scanned.valid[:, line, sample].any(), (x, y)
    assert scanned.valid[:, :, 30:350].float().mean() > 0.9


def test_several_depths_share_one_grid(tmp_path: Path) -> None:
    write(tmp_path / "a", DEEP, 6, text=False)
    write(tmp_path / "a", NEAR, 6, first=6, text=False)
    scanned = read_frames(tmp_path / "a", radius=60.0)
    assert [round(depth / 10) for depth in scanned.depths] == [20] * 6 + [13] * 6
    beyond = scanned.probe.sample_depths > 135
    assert not scanned.valid[6:][..., beyond].any()
    assert scanned.valid[:6][..., beyond].any()


def test_the_scale_is_assumed_where_nobody_states_it_and_that_is_said(tmp_path: Path) -> None:
    write(tmp_path / "a", DEEP, 8)
    scanned = read_frames(tmp_path / "a")
    assert "a radius of curvature of 60 mm" in scanned.notes[0]
    assert read_frames(tmp_path / "a", depth=100.0).probe.depth == pytest.approx(100.0, abs=0.1)


def test_twins_and_unreadable_files_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a", DEEP, 8)
    (tmp_path / "a" / "900.png").write_bytes((tmp_path / "a" / "000.png").read_bytes())
    (tmp_path / "a" / "901.png").write_text("no image")
    notes = read_frames(tmp_path / "a", radius=60.0).notes
    assert notes[0] == "900.png is the same as another frame: left out"
    assert notes[1].startswith("901.png cannot be read as an image")


def test_what_cannot_be_fitted_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "few", DEEP, 5)
    with pytest.raises(DataError, match="few: holds 5 usable frames; expected at least 8, better 30"):
        read_frames(tmp_path / "few")
    with pytest.raises(DataError, match="no such folder of frames"):
        read_frames(tmp_path / "none")
    with pytest.raises(DataError, match="state the one that is sure"):
        scaled(DEEP, 60.0, 150.0)


def test_a_frozen_picture_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", DEEP, 1)
    still = np.asarray(Image.open(tmp_path / "a" / "000.png"))
    for i in range(9):
        moved = still.copy()
        moved[0, i] = 7
        Image.fromarray(moved).save(tmp_path / "a" / f"{i:03d}.png")
    with pytest.raises(DataError, match="the frames hardly differ"):
        read_frames(tmp_path / "a", radius=60.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none", "--out", "a.yaml"], "none: no such folder of frames"),
        (["few", "--out", "a.json"], "--out is a.json; expected a file that ends in .yaml"),
        (["few", "--out", "a.yaml"], "holds 5 usable frames; expected at least 8"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    write(tmp_path / "few", DEEP, 5)
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert message in capsys.readouterr().err

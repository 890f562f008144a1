"""Films: which frame is shown when, that panels and trace move together, and what a name may be."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from us_sim.core.contact.force import Wrench
from us_sim.core.errors import RecordingError
from us_sim.core.frame import Frame
from us_sim.core.geometry.probe import PRESETS
from us_sim.core.tissue import CLASS_COLORS, TissueClass
from us_sim.offline import film
from us_sim.offline.film import FORCE, at_rate, nice_above, write_film
from us_sim.offline.replay import Shot

PROBE = PRESETS["c5_2"]


def shot(number: int, grey: int = 0, tissue: TissueClass = TissueClass.LIVER) -> Shot:
    contact: Any = SimpleNamespace(penetration=float(number), coupling=1.0)
    shape = PROBE.height, PROBE.width
    frame = Frame(np.full(shape, grey, np.uint8), np.zeros(shape, np.int16), np.full(shape, tissue, np.uint8), contact,
                  Wrench(np.zeros(3), np.zeros(3)), np.eye(4), "physics")  # fmt: skip
    return Shot(number, number, frame, "cpu")


def test_every_picture_shows_the_newest_frame() -> None:
    times = np.array([0.0, 0.25, 0.3, 0.9])
    shown = [(one.number, second) for one, second in at_rate(map(shot, range(4)), times, 10.0)]
    assert [number for number, _ in shown] == [0, 0, 0, 2, 2, 2, 2, 2, 2, 3]
    np.testing.assert_allclose([second for _, second in shown], np.arange(10) / 10)


def test_the_last_frame_is_shown_and_a_lost_one_is_not() -> None:
    times = np.array([0.0, 0.1, 0.2, 0.25])
    shown = [(one.number, second) for one, second in at_rate([shot(0), shot(2), shot(3)], times, 10.0)]
    assert shown == [(0, 0.0), (0, 0.1), (2, 0.2), (3, 0.25)]
    assert [one.number for one, _ in at_rate([shot(2)], np.array([0.0, 0.1, 0.2]), 10.0)] == [2, 2, 2]
    assert list(at_rate([], times, 10.0)) == []


def read_gif(file: Path) -> list[np.ndarray]:
    pictures = []
    with Image.open(file) as gif:
        for number in range(gif.n_frames):
            gif.seek(number)
            pictures.append(np.asarray(gif.convert("RGB")).astype(int))
    return pictures


def test_image_labels_and_force_move_together(tmp_path: Path) -> None:
    file = tmp_path / "new" / "film.gif"
    shots = [shot(0, 40), shot(1, 120, TissueClass.KIDNEY), shot(2, 200, TissueClass.SPLEEN)]
    stamps = [10**18, 10**18 + 80_000_000, 10**18 + 160_000_000]
    assert write_film(file, shots, stamps, [0.0, 5.0, 10.0], PROBE, "title") == 3
    assert [path.name for path in file.parent.iterdir()] == ["film.gif"]
    dots = []
    for one, picture in zip(shots, read_gif(file), strict=True):
        half, middle = picture.shape[1] // 4, 150
        assert one.frame.image is not None
        assert one.frame.labels is not None
        np.testing.assert_allclose(picture[middle, half], one.frame.image[0, 0], atol=3)  # 96 greys: steps of 2.7
        np.testing.assert_array_equal(picture[middle, 3 * half], CLASS_COLORS[one.frame.labels[0, 0]])
        column = np.flatnonzero((picture[330:] == FORCE).all(axis=2).sum(axis=0) >= 5)  # the dot, 7 pixels wide
        dots.append(column.mean())
    assert dots[0] < dots[1] - 100 < dots[2] - 200  # goes to the right with time


def test_a_film_is_as_long_as_its_stamps(tmp_path: Path) -> None:
    file = tmp_path / "film.gif"
    shots = [shot(number, 10 * number) for number in range(20)]
    write_film(file, shots, [100_000_000 * n for n in range(20)], [0.0] * 20, PROBE, "title")
    with Image.open(file) as gif:
        total = 0
        for number in range(gif.n_frames):
            gif.seek(number)
            total += gif.info["duration"]
        assert gif.info["loop"] == 0
    assert total == pytest.approx(1900, abs=100)


def test_an_mp4_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imageio_ffmpeg")
    file = tmp_path / "film.mp4"
    assert write_film(file, map(shot, range(3)), [0, 40_000_000, 80_000_000], [1.0, 2.0, 3.0], PROBE, "title") == 3
    assert file.read_bytes()[4:8] == b"ftyp"
    assert write_film(file, [shot(0)], [0], [1.0], PROBE, "title") == 1  # its own may be replaced
    monkeypatch.setattr(film, "_ffmpeg", lambda: shutil.which("false"))
    with pytest.raises(RecordingError, match=r"\.other\.\d+\.partial\.mp4: .*false failed: 1"):
        write_film(tmp_path / "other.mp4", map(shot, range(3)), [0, 1, 2], [0.0] * 3, PROBE, "title")
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_without_ffmpeg_a_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    monkeypatch.setattr(film.shutil, "which", lambda name: None)
    with pytest.raises(RecordingError, match=r"no ffmpeg for MP4: `pip install imageio-ffmpeg` brings it; or name"):
        film._ffmpeg()


@pytest.mark.parametrize(
    ("name", "shots", "stamps", "message"),
    [
        ("film.avi", [shot(0)], [0], r"film\.avi: unknown kind of film; expected a name that ends in \.gif or \.mp4"),
        ("film.gif", [shot(0)], [0, 20, 10], r"stamps fall at pose 3; expected those of one run"),
        ("film.gif", [], [0, 10], r"no frame for the film: faults have dropped all of them"),
    ],
)
def test_a_film_that_cannot_be(tmp_path: Path, name: str, shots: list[Shot], stamps: list[int], message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        write_film(tmp_path / name, shots, stamps, [0.0] * len(stamps), PROBE, "title")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["film.gif", "film.mp4"])
def test_a_film_of_somebody_else_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"holiday")
    with pytest.raises(RecordingError, match="is there already and was not written by us_sim_render; give"):
        write_film(tmp_path / name, [shot(0)], [0], [0.0], PROBE, "title")
    assert (tmp_path / name).read_bytes() == b"holiday"


@pytest.mark.parametrize(("value", "above"), [(0, 1), (0.7, 1), (1, 1), (1.1, 2), (3, 5), (31, 50), (0.2, 0.2)])
def test_axes_end_at_round_numbers(value: float, above: float) -> None:
    assert nice_above(value) == pytest.approx(above)

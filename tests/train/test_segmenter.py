"""A segmenter trained alone: its artifact, and scores worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scyclegan_train import segmenter as command
from scyclegan_train.evaluation import reference_segmenter, segmenter_scores
from scyclegan_train.method.networks import segmenter
from us_sim.core.analysis.segmenter import Segmenter, load_segmenter, segment
from us_sim.core.generator.unet import UNet
from us_sim.core.geometry.probe import preset
from us_sim.core.tissue import TissueClass

KIDNEY = TissueClass.KIDNEY


def square(row: int, column: int, size: int) -> NDArray[np.uint8]:
    labels = np.zeros((60, 60), np.uint8)
    labels[row : row + size, column : column + size] = KIDNEY
    return labels


def view(found: NDArray[np.uint8], true: NDArray[np.uint8]) -> segmenter_scores._View:
    return segmenter_scores._View(found, true, np.array([1.0, 2.0]))


def test_scores_by_hand() -> None:
    """Rows of 1 mm, columns of 2 mm; a square of 20 shows, one of 10 is too small to count as showing it."""
    views = [
        view(square(10, 10, 20), square(10, 10, 20)),  # as it is
        view(square(13, 12, 20), square(10, 10, 20)),  # 3 mm down, 4 mm right
        view(square(0, 0, 0), square(10, 10, 20)),  # missed
        view(square(0, 0, 0), square(30, 30, 10)),  # 200 mm²
    ]
    found = segmenter_scores._found(KIDNEY, views)
    assert (found.frames, found.found) == (3, 2)
    np.testing.assert_allclose(found.off, [0.0, 5.0])
    assert found.dice == pytest.approx(2 * (400 + 17 * 18) / (800 + 800 + 400 + 100))
    nowhere = segmenter_scores._found(TissueClass.LIVER, views)
    assert (nowhere.dice, nowhere.frames, nowhere.found, nowhere.off.size) == (0, 0, 0, 0)


def test_the_table_says_what_was_found() -> None:
    text = segmenter_scores.table({KIDNEY: segmenter_scores.Found(0.825, 29, 28, np.array([4.0, 4.5, 9.0])),
                          TissueClass.SPLEEN: segmenter_scores.Found(0.0, 7, 0, np.array([]))})  # fmt: skip
    assert "| kidney | 0.82 | 28 of 29 | 4.5 |" in text
    assert "| spleen | 0.00 | 0 of 7 | - |" in text


def untrained(steps: int, frames: int, scans: object) -> UNet:
    torch.manual_seed(steps)
    return segmenter(reference_segmenter.LINES, reference_segmenter.WIDTH).eval()


def test_the_command_writes_what_the_node_loads_and_scores_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "train", untrained)
    target = tmp_path / "s_us.safetensors"
    assert command.main([str(target), "--steps", "3", "--seeds", "0", "--count", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{target} is not there: a segmenter is trained for it, 3 steps\n")
    assert "| liver | " in said
    written = target.read_bytes()
    loaded = load_segmenter(target)
    assert (loaded.card.kind, loaded.card.size, loaded.card.classes) == (
        "segmenter",
        (128, 96),
        reference_segmenter.CLASSES,
    )
    assert loaded.card.training_data[0]["licence"] == "Apache-2.0"
    assert 0 <= loaded.card.metrics["Dice of liver"] <= 1
    monkeypatch.setattr(command, "train", None)  # what is there is scored, not written again
    monkeypatch.setattr(segmenter_scores, "_views", lambda *given: [])
    assert command.main([str(target), "--seeds", "0", "--count", "1"]) == 0
    assert "is not there" not in capsys.readouterr().out
    assert target.read_bytes() == written


def test_its_cells_are_the_training_blocks() -> None:
    """The node samples the middle of each block of samples and lines that the training averages."""
    fine, coarse = reference_segmenter.PROBE.polar_points, command.CARD.probe.polar_points
    middle = fine.reshape(96, reference_segmenter.SHRUNK[1], 128, reference_segmenter.SHRUNK[0], 3).mean(axis=(1, 3))
    np.testing.assert_allclose(coarse, middle, atol=0.05)


def test_the_node_finds_what_the_reference_segmenter_finds() -> None:
    """A frame of wide bands of grey: the same network by both ways, but for borders."""
    network, probe = untrained(0, 0, []), preset("c5_2")
    line, sample = np.moveaxis(probe.polar_of_pixel, -1, 0)
    image = np.where(probe.fan_mask, 40 + 40 * (sample // 128), 0).astype(np.uint8)
    ready = Segmenter(network, command.CARD, "untrained", "")
    found = segment(ready, image, np.ones(probe.scan_lines, np.float32), probe)
    polar = np.tile((40 + 40 * (np.arange(512) // 128))[:, None], (1, 192)).astype(np.float64)
    expected = reference_segmenter.ReferenceSegmenter(network).classes(polar[None])[0]
    row, column = (np.rint((v + 0.5) / n - 0.5).astype(int) for v, n in ((sample, 4), (line, 2)))
    inner = probe.fan_mask & (np.abs(sample % 128 - 64) < 48) & (column > 3) & (column < 92) & (sample < 480)
    assert (found[inner] == expected[row[inner], column[inner]]).mean() > 0.9


@pytest.mark.parametrize("words", [["--steps", "0"], ["--frames", "3"], ["--count", "0"]])
def test_too_little_is_refused(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path / "x.safetensors"), *words]) == 2
    assert "expected --steps and --count of 1 or more, --frames of 16 or more" in capsys.readouterr().err


def test_another_kind_of_file_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path / "notes.txt")]) == 2
    assert "notes.txt: expected a name that ends in .safetensors" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_artifact_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    assert command.main([str(tmp_path / "x.safetensors")]) == 2
    assert "not a whole safetensors file" in capsys.readouterr().err

"""The tutorials run as they are, on a small CT."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image
from tests.docs.torso import write_torso

import us_sim

TUTORIALS = Path(__file__).resolve().parents[2] / "docs" / "tutorials"


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a tutorial in a folder with a CT; return its variables."""
    write_torso(folder / "ct.nii.gz", folder / "segmentation.nii.gz")
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", [name, "ct.nii.gz", "segmentation.nii.gz"])
    matplotlib.use("Agg")
    return runpy.run_path(str(TUTORIALS / name))


def test_the_loop_of_the_first_presses_with_its_force_and_centres_the_organ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = np.array(run("own_ct_to_closed_loop.py", tmp_path, monkeypatch)["history"])
    assert history[-1, 0] == pytest.approx(5.0, abs=0.5)
    assert abs(history[-1, 1]) < 5.0 < np.abs(history[:, 1]).max()
    assert (tmp_path / "sweep.png").is_file()
    assert (tmp_path / "loop.png").is_file()


def test_the_generator_of_the_second_draws_a_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("data_to_generator.py", tmp_path, monkeypatch)
    frame = np.asarray(Image.open(tmp_path / "generated.png"))
    assert frame.shape == (256, 256)
    assert frame.std() > 0


def test_the_descent_of_the_third_comes_nearer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_torso(tmp_path / "ct.nii.gz", tmp_path / "segmentation.nii.gz")
    torso = us_sim.load_patient(tmp_path / "ct.nii.gz", tmp_path / "segmentation.nii.gz", detail=False)
    monkeypatch.setattr(us_sim, "builtin_patient", lambda seed: torso)
    monkeypatch.setattr("sys.argv", ["register_to_ct.py", "1", "2", "6"])
    made = runpy.run_path(str(TUTORIALS / "register_to_ct.py"))
    assert made["errors"][0] < 0.8 * made["error"](made["start"], made["truth"])

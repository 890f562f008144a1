"""What is fast stays fast: ratios in one process, wide enough for a busy machine; figures: docs/performance.md."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from us_sim.bench import loading, suite
from us_sim.core.patient.patient import load_patient
from us_sim.core.sampling.reslice import reslice


def test_a_slice_takes_less_than_half_of_scipys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "SHAPE", (160, 160, 120))
    volume, poses = suite.big_volume(), suite.oblique_poses(9)
    taken: tuple[list[float], list[float]] = [], []
    works: tuple[Callable[..., Any], ...] = partial(reslice, volume, suite.POINTS), suite.scipy_slice(volume)
    for pose in poses:
        pose[:3, 3] = -132, -132, -90  # the middle of the small volume
        for work, times in zip(works, taken, strict=True):
            start = time.process_time()
            work(pose)
            times.append(time.process_time() - start)
    ours, theirs = map(min, taken)  # CPU time of all threads, undisturbed at least once
    assert theirs > 2 * ours  # four times on an idle machine


def test_a_second_load_takes_less_than_a_third_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = loading.write_ct(tmp_path, (128, 128, 160))
    monkeypatch.setenv("US_SIM_CACHE", str(tmp_path / "cache"))
    taken = []
    for _ in range(3):
        start = time.process_time()
        patient = load_patient(*files)
        taken.append(time.process_time() - start)
    assert patient.origin.startswith("read from")
    assert min(taken[1:]) < taken[0] / 3  # a thirtieth on an idle machine
    assert np.unique(patient.volume.tissue).size > 3


def test_the_benchmark_of_loading_loads_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loading, "loaded", lambda ct, labels, cache: loading.Load(ct.name, 2.5, 3.0, 700.2))
    assert loading.main(["--shape", "8", "8", "8"]) == 0
    assert capsys.readouterr().out == "ct.nii.gz    2.5 s CPU    3.0 s    700 MB\n" * 2

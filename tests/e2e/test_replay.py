"""A recording rendered by two processes, one that compiles the kernels and one that loads them: the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

RECORDING = Path(__file__).resolve().parents[2] / "examples" / "press" / "press.mcap"
SETTINGS = ["--generator", "abdomen_lite", "--breathing-amplitude", "10", "--fault-dead", "0.1", "--fault-drop", "0.2",
            "--device", "cpu"]  # fmt: skip


def rendered(folder: Path, cache: Path) -> dict[str, bytes]:
    program = [sys.executable, "-m", "us_sim.offline.render"]
    command = [*program, "--poses", str(RECORDING), "--count", "5", "--out", str(folder)]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    subprocess.run([*command, *SETTINGS], env=environment, check=True, capture_output=True, timeout=280)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_two_processes_give_the_same_frames(tmp_path: Path) -> None:
    first = rendered(tmp_path / "first", tmp_path / "cache")
    assert list((tmp_path / "cache").rglob("*.nbc"))
    assert rendered(tmp_path / "second", tmp_path / "cache") == first
    assert 6 <= len(first) <= 15  # three pictures of each frame that is not lost

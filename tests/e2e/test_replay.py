"""A recording rendered where the loops are compiled and where they are loaded: the same frames, the same samples."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

RECORDING = Path(__file__).resolve().parents[2] / "examples" / "press" / "press.mcap"
ARGUMENTS = ["--poses", str(RECORDING), "--count", "5", "--generator", "abdomen_lite", "--breathing-amplitude", "10",
             "--fault-dead", "0.1", "--fault-drop", "0.2", "--device", "cpu"]  # fmt: skip
# Frames are rounded to 256 levels; the samples below them are compared to the last bit.
PROGRAM = """
import sys
from us_sim.offline.render import main
status = main(sys.argv[1:])
import hashlib
import numpy as np
from us_sim.core.sampling.anatomy import property_table
from us_sim.core.sampling.loops import sample_anatomy
from us_sim.core.sampling.scatterers import scatterers
from us_sim.core.patient.surface import skin_of
from us_sim.core.geometry.transforms import rigid
from us_sim.core.patient.volume import CtVolume

draws = np.random.default_rng(1)
tissue = draws.integers(0, 8, (24, 24, 24)).astype(np.uint8)
tissue[:2] = tissue[-2:] = tissue[:, :2] = tissue[:, -2:] = tissue[..., :2] = tissue[..., -2:] = 0
volume = CtVolume(draws.integers(-200, 300, tissue.shape).astype(np.int16), tissue, np.eye(4), "noise", "0" * 64)
points = draws.uniform(2, 21, (64, 64, 3)).astype(np.float32)
pose = rigid(np.eye(3), [0.1, 0.2, 0.3])[None]
arrays = sample_anatomy(volume, skin_of(volume), property_table(volume), scatterers(0), points, pose)
print(*(hashlib.sha256(array.tobytes()).hexdigest() for array in arrays))
sys.exit(status)
"""


def rendered(folder: Path, cache: Path) -> tuple[str, dict[str, bytes]]:
    command = [sys.executable, "-c", PROGRAM, *ARGUMENTS, "--out", str(folder)]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=280)
    return done.stdout.splitlines()[-1], {file.name: file.read_bytes() for file in folder.iterdir()}


def test_two_processes_give_the_same_frames(tmp_path: Path) -> None:
    samples, frames = rendered(tmp_path / "first", tmp_path / "cache")
    assert list((tmp_path / "cache").rglob("*.nbc"))
    assert rendered(tmp_path / "second", tmp_path / "cache") == (samples, frames)
    assert 6 <= len(frames) <= 15  # three pictures of each frame that is not lost
    assert len(samples.split()) == 11  # the fields of an Anatomy

"""Compiled loops: the same numbers, to the last bit, in the process that compiles them and in one that loads them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SAMPLES = """
import hashlib
import numpy as np
from us_sim.core.sampling.anatomy import property_table, sample_anatomy
from us_sim.core.sampling.scatterers import scatterer_tile
from us_sim.core.patient.surface import skin_of
from us_sim.core.geometry.transforms import rigid
from us_sim.core.patient.volume import CtVolume

draws = np.random.default_rng(1)
tissue = draws.integers(0, 8, (24, 24, 24)).astype(np.uint8)
tissue[:2] = tissue[-2:] = tissue[:, :2] = tissue[:, -2:] = tissue[..., :2] = tissue[..., -2:] = 0
volume = CtVolume(draws.integers(-200, 300, tissue.shape).astype(np.int16), tissue, np.eye(4), "noise", "0" * 64)
points = draws.uniform(2, 21, (64, 64, 3)).astype(np.float32)
pose = rigid(np.eye(3), [0.1, 0.2, 0.3])[None]
arrays = sample_anatomy(volume, skin_of(volume), property_table(volume), scatterer_tile(0), points, pose)
print(*(hashlib.sha256(array.tobytes()).hexdigest() for array in arrays))
"""


def test_kernels_round_alike_where_they_are_compiled_and_where_they_are_loaded(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def samples() -> str:
        command = [sys.executable, "-c", SAMPLES]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=280).stdout

    compiled = samples()
    assert list(tmp_path.rglob("*.nbc"))
    assert samples() == compiled
    assert len(compiled.split()) == 10


def test_torch_keeps_its_number_of_threads() -> None:
    """Numba's first loop would set it to that of all processors, whatever the user had asked for."""
    wished = (os.cpu_count() or 1) + 1
    program = f"""
import torch
torch.set_num_threads({wished})
torch.get_num_threads()  # takes it over now: it would hide what numba does
from us_sim.core.sampling.reslice import nearest_classes
from us_sim.core.patient.volume import CtVolume
import numpy as np
volume = CtVolume(np.zeros((4, 4, 4), np.int16), np.zeros((4, 4, 4), np.uint8), np.eye(4), "air", "0" * 64)
nearest_classes(volume, np.zeros((9, 3), np.float32), np.eye(4))
print(torch.get_num_threads())
"""
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, check=True, capture_output=True, text=True, timeout=280).stdout == f"{wished}\n"

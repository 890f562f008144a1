"""Compiled loops beside torch; tests/e2e/test_replay.py holds that they round alike in every process."""

from __future__ import annotations

import os
import subprocess
import sys


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

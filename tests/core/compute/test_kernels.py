"""Compiled loops beside torch; tests/e2e/test_replay.py holds that they round alike in every process."""

from __future__ import annotations

import os
import subprocess
import sys


def printed(program: str, environment: dict[str, str]) -> str:
    """Return what a program prints that a new process runs."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=280, env=environment).stdout


LOOP = """
import numpy as np
from us_sim.core.patient.grid import coarsen
coarsen(np.zeros((4, 4, 4), np.int16), (2, 2, 2))
"""


def test_torch_keeps_its_number_of_threads() -> None:
    """Numba's first loop would set it to that of all processors, whatever the user had asked for."""
    wished = (os.cpu_count() or 1) + 1
    program = f"""
import torch
torch.set_num_threads({wished})
torch.get_num_threads()  # takes it over now: it would hide what numba does
{LOOP}
print(torch.get_num_threads())
"""
    assert printed(program, {**os.environ}) == f"{wished}\n"


def test_torch_is_given_the_users_number_of_threads() -> None:
    """Also where it is loaded after the first loop, which does not load it by itself."""
    code = f"import sys{LOOP}print('torch' in sys.modules)\nimport torch; print(torch.get_num_threads())"
    assert printed(code, {**os.environ, "OMP_NUM_THREADS": "1"}) == "True\n1\n"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    assert printed(f"import sys{LOOP}print('torch' in sys.modules)", environment) == "False\n"

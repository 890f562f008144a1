from __future__ import annotations

import os
import subprocess
import sys


def test_waiting_threads_are_told_to_sleep_before_torch_is_loaded() -> None:
    # Samples are made beside the training step: threads that spin make them ten times slower on two cores.
    code = "import os, sys, scyclegan_train; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    clean = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    found = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["PASSIVE", "False"]

"""What `import us_sim` tells the process, and that it can be switched off."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import os, sys, us_sim
print(os.environ.get("OMP_WAIT_POLICY"), os.environ.get("OPENBLAS_NUM_THREADS"), "openvino_telemetry" in sys.modules)
print("torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["PASSIVE", "1", "True"]),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", "1", "True"]),
        ({"US_SIM_KEEP_ENVIRONMENT": "0"}, ["PASSIVE", "1", "True"]),
        ({"US_SIM_KEEP_ENVIRONMENT": "1"}, ["None", "None", "False"]),
    ],
)
def test_the_process_is_settled_before_torch_unless_the_user_keeps_it(
    given: dict[str, str], expected: list[str]
) -> None:
    ours = ("OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS", "US_SIM_KEEP_ENVIRONMENT")
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    found = subprocess.run([sys.executable, "-c", CODE], env=clean | given, capture_output=True, text=True, check=True)
    assert found.stdout.split() == [*expected, "False"]


UNRAISABLE = """
import sys
from us_sim.core.compute.process import _unraised

class Called:  # a finaliser raises in vain, as does what C code calls
    def __init__(self, error):
        self.error = error
    def __del__(self):
        raise self.error

sys.unraisablehook = _unraised
for error in (ValueError("told"), KeyboardInterrupt()):
    called = Called(error)
    del called
"""


def test_ctrl_c_in_a_callback_prints_no_traceback() -> None:
    found = subprocess.run([sys.executable, "-c", UNRAISABLE], capture_output=True, text=True, check=True)
    assert "ValueError: told" in found.stderr
    assert "KeyboardInterrupt" not in found.stderr

"""Compiled loops on disk: none survives a change of what it was compiled from, none comes under another's signature."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numba
import numpy as np

from us_sim.core.compute.cache import NamedByContent, taken_in
from us_sim.core.compute.kernels import serial
from us_sim.core.physics import loops


def test_two_processes_that_save_at_once_do_not_swap_their_loops(tmp_path: Path) -> None:
    """Numba's index, read by both before either writes, gives both the number 1."""
    one, other = (NamedByContent(str(tmp_path), "loop-1.py3", "stamp") for _ in range(2))
    keys = [(numba.types.float32[:, ::1],), (numba.types.float32[:, :],)]
    one.save(keys[0], "rows")
    other.save(keys[1], "strides")
    for files in (one, other):
        assert [files.load(key) for key in keys] == ["rows", "strides"]
    assert NamedByContent(str(tmp_path), "loop-1.py3", "edited").load(keys[0]) is None


def test_a_loop_is_compiled_anew_when_a_constant_or_loop_that_it_imports_changes() -> None:
    names = {"LOOKS": 6, "SCALE": np.float32(32), "title": "no number", "LEVELS": (1, 2)}
    assert taken_in(names) == taken_in(dict(reversed(names.items())))
    for name, value in (("LOOKS", 7), ("SCALE", np.float64(32)), ("LEVELS", (1, 3))):
        assert taken_in({**names, name: value}) != taken_in(names)
    assert taken_in({**names, "mix": serial(lambda: 0)}) == taken_in(names)  # of no file of ours
    given = vars(loops)
    assert taken_in({k: v for k, v in given.items() if k != "mix"}) != taken_in(given)
    assert isinstance(given["gel"], ModuleType)
    assert taken_in({k: v for k, v in given.items() if k != "gel"}) != taken_in(given)


def test_what_a_loop_takes_in_is_the_same_in_every_process() -> None:
    program = """
import us_sim.core.simulator, sys
from us_sim.core.compute.cache import taken_in
for name in sorted(n for n in sys.modules if n.startswith("us_sim.core.") and n.count(".") > 2):
    print(name, taken_in(vars(sys.modules[name])))
"""
    told = [subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout for _ in range(2)]
    assert told[0] == told[1]
    assert b"us_sim.core.physics.loops" in told[0]

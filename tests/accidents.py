"""Accidents of the field that happen to files, and what may come of reading one."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from us_sim.core.errors import UsSimError

VARIANTS = 200  # of each kind of file
STRANGE = (b"\xff\xff\xff\x7f", b"\0\0\xc0\x7f", b"\0\0\x80\x7f")  # the largest integer, NaN, Inf
MEMORY = 2 * 2**20  # kB that no file may take


def spoiled(whole: bytes, rng: np.random.Generator, head: int) -> bytes:
    """One of the accidents of the field: bits, bytes of the header, a cut, a repetition, an insertion."""
    data = bytearray(whole)
    kind = rng.integers(5)
    if kind == 0:
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    elif kind == 1:
        at = int(rng.integers(head))
        data[at : at + 4] = rng.bytes(4) if rng.random() < 0.5 else STRANGE[rng.integers(3)]
    elif kind == 2:
        del data[rng.integers(len(data)) :]
    elif kind == 3:
        at = int(rng.integers(len(data)))
        data[at:at] = data[at : at + int(rng.integers(1, 40))]
    else:
        at = int(rng.integers(head))
        data[at:at] = rng.bytes(int(rng.integers(1, 9)))
    return bytes(data)


def outcome(read: Callable[[], Any], limit: float = 5.0) -> str:
    """Run a reading that must end soon and in bounds, in a result or in one sentence."""
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read()
        return "read"
    except UsSimError as error:
        text = str(error)
        assert "Traceback" not in text
        assert len(text.splitlines()[0]) < 1000
        return "refused"
    finally:
        assert time.process_time() - start < limit
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY

"""How the CPU kernels are compiled: parallel, without the GIL, cached on disk, NaN kept as NaN."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

if "NUMBA_THREADING_LAYER" not in os.environ:
    # Kernels run from several threads at once (rendering beside contact); numba's fallback layer would abort.
    numba.config.THREADING_LAYER = "omp"


def kernel(function: Function) -> Function:
    """Compile a loop over `numba.prange`; without the GIL, so that callbacks go on while it runs."""
    # Full fast-math would let the compiler drop the tests that keep NaN and infinite indices out.
    safe = {"contract", "reassoc", "nsz", "arcp"}
    return numba.njit(parallel=True, nogil=True, cache=True, fastmath=safe)(function)

"""How the CPU kernels are compiled: parallel, without the GIL, cached on disk, in plain IEEE arithmetic."""

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
    # Fast-math rounds as the optimiser happens to inline, and it inlines a loop otherwise in the process that compiles
    # it than in those that load it from the cache. It costs 1 ms of a frame to have the same frames in both.
    return numba.njit(parallel=True, nogil=True, cache=True)(function)

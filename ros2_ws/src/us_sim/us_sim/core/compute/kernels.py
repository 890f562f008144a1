# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""How the CPU kernels are compiled: parallel, without the GIL, cached on disk, in plain IEEE arithmetic."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numba
from numba.core import event

from us_sim.core.compute.cache import name_by_content
from us_sim.core.compute.compiling import Compiling

if TYPE_CHECKING:
    import torch  # two seconds, which a process that moves the probe does without

Function = TypeVar("Function", bound=Callable[..., Any])

if "NUMBA_THREADING_LAYER" not in os.environ:
    # Kernels run from several threads at once (rendering beside contact); numba's fallback layer would abort.
    numba.config.THREADING_LAYER = "omp"

event.register("numba:compile", Compiling())


def kernel(function: Function) -> Function:
    """Compile a loop over `numba.prange`; without the GIL, so that callbacks go on while it runs."""
    # Fast-math rounds as the optimiser happens to inline, and it inlines a loop otherwise in the process that compiles
    # it than in those that load it from the cache. It costs 1 ms of a frame to have the same frames in both.
    compiled = numba.njit(parallel=True, nogil=True, cache=True)(function)
    name_by_content(compiled, function)

    @functools.wraps(function)
    def run(*arguments: Any) -> Any:
        _start()
        return compiled(*arguments)

    return run  # type: ignore[return-value]


def kernel_of_poses(function: Function) -> Function:
    """`kernel` for a loop along its last argument: where that is of one pose, no thread is waked or waited for."""
    loop = kernel(function)

    @functools.wraps(function)
    def run(*arguments: Any) -> Any:
        if len(arguments[-1]) > 1:
            return loop(*arguments)
        _start()
        most = numba.get_num_threads()
        numba.set_num_threads(1)  # of this thread alone
        try:
            return loop(*arguments)
        finally:
            numba.set_num_threads(most)

    return run  # type: ignore[return-value]


def serial(function: Function) -> Function:
    """Compile a function that runs in the thread of its caller, without the GIL."""
    compiled: Function = numba.njit(nogil=True, cache=True)(function)
    name_by_content(compiled, function)
    return compiled


def serve(tensor: torch.Tensor) -> bool:
    """Whether compiled loops serve a tensor: they compute in float32 on the CPU, and no gradient goes through them."""
    import torch

    return tensor.device.type == "cpu" and tensor.dtype == torch.float32 and not tensor.requires_grad


@functools.cache
def _start() -> None:
    """Start numba's threads, once, when the first loop runs: a process may fork before.

    Numba sets the number of OpenMP threads of the thread that starts it, which is torch's number as well: torch is
    given back what it had, or the user's `torch.set_num_threads` and `OMP_NUM_THREADS` would be lost. Where neither was
    given, both take all processors, and torch is not loaded for it.
    """
    if "torch" not in sys.modules and "OMP_NUM_THREADS" not in os.environ:
        return
    import torch

    threads = torch.get_num_threads()
    numba.get_num_threads()
    torch.set_num_threads(threads)

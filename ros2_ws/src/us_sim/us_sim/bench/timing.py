# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""How long something takes, for the benchmark and the profile."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from us_sim.core.compute.cores import cores

Row = dict[str, float]  # `median` and `p95` in ms, `cpu` of all threads in ms, and what else was measured
Input = TypeVar("Input")


def milliseconds(work: Callable[[Input], object], inputs: Sequence[Input]) -> Row:
    """Median and 95th percentile over the inputs, after one warm-up, and the median of the CPU time."""
    return in_turns([work], inputs)[0]


def in_turns(works: Sequence[Callable[[Input], object]], inputs: Sequence[Input]) -> list[Row]:
    """Return the same of several works that take turns on each input: what else runs slows all of them alike."""
    times, cpu = np.zeros((2, len(works), 1 + len(inputs)))
    for column, one in enumerate([inputs[0], *inputs]):
        for row, work in enumerate(works):
            start, spent = time.perf_counter(), time.process_time()
            work(one)
            times[row, column] = 1e3 * (time.perf_counter() - start)
            cpu[row, column] = 1e3 * (time.process_time() - spent)
    return [summary(t) | {"cpu": float(np.median(c))} for t, c in zip(times[:, 1:], cpu[:, 1:], strict=True)]


def summary(times: NDArray[np.float64]) -> Row:
    """Median and 95th percentile of (N,) times; NaN of none."""
    median, p95 = np.percentile(times, (50, 95)) if len(times) else (np.nan, np.nan)
    return {"median": float(median), "p95": float(p95)}


def machine() -> dict[str, Any]:
    """What figures were measured on, and how busy it was with other things."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {"cpu": model, "cores": cores(), "load": round(os.getloadavg()[0], 1), "gpu": gpu,
            "python": platform.python_version(), "torch": torch.__version__,
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "")}  # fmt: skip

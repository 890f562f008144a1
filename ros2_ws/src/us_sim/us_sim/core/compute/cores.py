# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The number of cores to compute on."""

from __future__ import annotations

import os
from pathlib import Path

CPU = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def cores() -> int:
    """Return the number of cores given to this process, not of hardware threads; OMP_NUM_THREADS may ask for fewer."""
    given = {_siblings(cpu) for cpu in os.sched_getaffinity(0)}
    wished = os.environ.get("OMP_NUM_THREADS", "")
    return min(len(given), int(wished)) if wished.isdecimal() and int(wished) else len(given)


def _siblings(cpu: int) -> str:
    """Name of the core that a hardware thread belongs to."""
    file = Path(CPU.format(cpu))
    return file.read_text() if file.exists() else str(cpu)

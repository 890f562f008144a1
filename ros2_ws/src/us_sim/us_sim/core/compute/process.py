# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What a process needs before anything else is imported.

Torch, numba, SciPy and OpenVINO read environment variables once, when they are imported. That takes seconds, and a
program that Ctrl-C ends meanwhile has no `main` yet that could say so.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType

KEEP = "US_SIM_KEEP_ENVIRONMENT"
DEFAULTS = {
    # Two OpenMP pools live here, torch's and numba's. Threads that spin while they wait take the cores from one another
    # and from other processes: with both of two cores busy, frames of 20 ms took up to 1 s spinning and stayed under
    # 60 ms sleeping.
    "OMP_WAIT_POLICY": "PASSIVE",
    # OpenBLAS has threads of its own, and they always spin: the small equations of the confidence map woke them for
    # each frame, and a stream of 30 frames a second fell to 3. One thread solves them in 5 ms.
    "OPENBLAS_NUM_THREADS": "1",
}


def settle() -> None:
    """Set the variables of DEFAULTS that are not set, and keep OpenVINO and NNCF from sending telemetry.

    Programs started by `python -m` take Ctrl-C with one line: Python's first argument is `-m` as long as it looks for
    their module, and imports the packages above it for that.

    `import us_sim` calls it, as programs import torch together with their own modules. With US_SIM_KEEP_ENVIRONMENT=1
    in the environment it does nothing, for who embeds us_sim in a process with settings of its own.
    """
    if os.environ.get(KEEP, "") not in ("", "0"):
        return
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # without it both take a stub
    if sys.argv[:1] == ["-m"]:
        sys.excepthook, sys.unraisablehook = _end, _unraised


def _end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End a program with a traceback, if it was not Ctrl-C."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    module = sys.modules["__main__"].__spec__  # None before it is found
    print(f"{module.name if module else 'us_sim'}: interrupted", file=sys.stderr)


def _unraised(found: sys.UnraisableHookArgs) -> None:
    """Show what Python cannot raise, but for Ctrl-C, as where numba's compiler calls Python."""
    if not issubclass(found.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(found)

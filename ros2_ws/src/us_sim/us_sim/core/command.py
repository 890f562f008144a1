# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""How a command ends: its last line is one sentence; a traceback comes only where `--debug` asks for it."""

from __future__ import annotations

import argparse
import atexit
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

from us_sim.core.errors import UsSimError, system_error

DEBUG = "--debug"
Main = Callable[..., int]


def as_command(name: str) -> Callable[[Main], Main]:
    """Decorate the `main` of a command: it takes `--debug` as well, and whatever it raises becomes one sentence.

    The exit status is then 2 for what the user can mend, 1 for a fault of the software, 130 after Ctrl-C.
    """

    def decorate(main: Main) -> Main:
        @wraps(main)
        def run(arguments: Sequence[str] | None = None) -> int:
            given = list(sys.argv[1:] if arguments is None else arguments)
            try:
                return main([word for word in given if word != DEBUG])
            except KeyboardInterrupt:
                return _end(name, "interrupted", 130, DEBUG in given)
            except UsSimError as error:
                return _end(name, error, 2, DEBUG in given)
            except OSError as error:
                return _end(name, system_error(error), 2, DEBUG in given)
            except Exception as error:
                told = f"{type(error).__name__}: {error}; this is a fault of the software: {DEBUG} shows where"
                return _end(name, told, 1, DEBUG in given)

        return run

    return decorate


def given_path(text: str) -> Path:
    """Return the path that an argument gives; an empty one, as of a variable that is not set, is no folder."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; expected a path")
    return Path(text)


def leave(status: int) -> NoReturn:
    """End the process as `sys.exit` does, but leave the memory to the system.

    Threads are waited for and exit handlers run. Python would then take its modules apart piece by piece, which takes
    1.4 s of CPU with torch, numba and OpenVINO: on a busy machine more than whoever pressed Ctrl-C waits for.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # what Python itself calls here, and the line below
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a pipe that nobody reads any more, or closed
            stream.flush()
    os._exit(status)


def _end(name: str, told: Any, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"{name}: {' '.join(str(told).split())}", file=sys.stderr)
    return status

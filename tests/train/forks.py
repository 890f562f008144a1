"""Processes for the tests: a helper imports the trainer once and forks itself, so that each starts at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parents[2]
PATHS = ROOT, ROOT / "ros2_ws/src/us_sim", ROOT / "ros2_ws/src/scyclegan_train"


class Ended(NamedTuple):
    """How a process ended; a signal's number is negative."""

    returncode: int
    stderr: str


class Forks:
    """The helper; it is ended with the tests."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, PATHS)), "OMP_NUM_THREADS": "1"}
        self._helper = subprocess.Popen(
            [sys.executable, "-m", "tests.train.forks"], env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT,
        )  # fmt: skip

    def run(self, module: str, function: str, each: Sequence[Sequence[Any]]) -> list[Ended]:
        """Call a function of a module in so many processes at once, each with arguments of its own."""
        self._count += 1
        logs = [self._folder / f"{self._count}_{number}.txt" for number in range(len(each))]
        jobs = [[module, function, list(given), str(log)] for given, log in zip(each, logs, strict=True)]
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        print(json.dumps(jobs), file=self._helper.stdin, flush=True)
        codes = json.loads(self._helper.stdout.readline())
        return [Ended(code, log.read_text()) for code, log in zip(codes, logs, strict=True)]

    def close(self) -> None:
        """End the helper and all that it started."""
        os.killpg(self._helper.pid, signal.SIGKILL)
        self._helper.communicate()


def serve() -> None:
    """Read jobs from stdin, a line each time; write how they ended."""
    import_module("tests.train.train_tiny")
    for line in sys.stdin:
        started = [started_for(*job) for job in json.loads(line)]
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in started]), flush=True)


def started_for(module: str, function: str, given: list[Any], log: str) -> int:
    """Fork; return the child's number."""
    pid = os.fork()
    if not pid:
        _call(module, function, given, log)
    return pid


def _call(module: str, function: str, given: list[Any], log: str) -> NoReturn:
    code = 1
    try:
        stream = os.open(log, os.O_CREAT | os.O_WRONLY)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        code = getattr(import_module(module), function)(*given) or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()

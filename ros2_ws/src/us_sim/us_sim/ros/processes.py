"""Run several processes as one: an interrupt, or the end of one of them, ends all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from queue import Empty, SimpleQueue

PATIENCE = 4.0  # s between the polite signal and the one that no process survives
INTERRUPTED = ""


def python_main(module: str) -> list[str]:
    """Return the command line that calls `main` of a module, ready for `run`.

    `run` starts it with SIGINT blocked, and it unblocks it: an interrupt while Python and the module are still
    being loaded ends it without a traceback. From then on `main` answers for interrupts.
    """
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, lambda *_: sys.exit(0)); "
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT}); "
        f"from {module} import main; signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
    )
    return [sys.executable, "-c", code]


def run(commands: dict[str, list[str]]) -> int:
    """Run commands of `python_main`, by name. Return 0 after Ctrl-C, SIGTERM or SIGHUP, 1 when one ended by itself.

    Each has a process group of its own, so that its children end with it. Call from the main thread.
    """
    events: SimpleQueue[str] = SimpleQueue()  # names of processes that ended, or INTERRUPTED
    stops = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {stop: signal.signal(stop, lambda *_: events.put(INTERRUPTED)) for stop in stops}
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
            children[name] = child
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            threading.Thread(target=_report_end, args=(name, child, events), daemon=True).start()
        ended = events.get()
        if ended != INTERRUPTED:
            how = _how(children[ended].wait())
            print(f"us_sim: {ended} ended by itself, {how}; stopping", file=sys.stderr)
        return 0 if ended == INTERRUPTED else 1
    finally:
        _end(children, events)
        for stop, handler in before.items():
            signal.signal(stop, handler)


def _end(children: dict[str, subprocess.Popen[bytes]], events: SimpleQueue[str]) -> None:
    """Interrupt all; kill what is left after PATIENCE, or at the second Ctrl-C."""
    _signal(children, signal.SIGINT)
    deadline = time.monotonic() + PATIENCE
    while any(child.poll() is None for child in children.values()):
        try:
            if events.get(timeout=max(0.0, deadline - time.monotonic())) == INTERRUPTED:
                break
        except Empty:
            break
    _signal(children, signal.SIGKILL)  # also the children of those that have ended
    for child in children.values():
        child.wait()


def _signal(children: dict[str, subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for child in children.values():
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            continue


def _report_end(name: str, child: subprocess.Popen[bytes], events: SimpleQueue[str]) -> None:
    child.wait()
    events.put(name)


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"

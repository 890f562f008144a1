"""Run several processes as one: an interrupt, or the end of one of them, ends all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

PATIENCE = 4.0  # s between the polite signal and the one that no process survives
STOPS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
EVENTS = {*STOPS, signal.SIGCHLD}

Children = dict[str, "subprocess.Popen[bytes]"]


def python_main(module: str) -> list[str]:
    """Return the command line that calls `main` of a module, ready for `run`.

    `run` starts it with EVENTS blocked, and it unblocks them: an interrupt while Python and the module are still
    being loaded ends it without a traceback. From then on `main` answers for interrupts.
    """
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, lambda *_: os._exit(0)); "
        "signal.pthread_sigmask(signal.SIG_SETMASK, []); "
        f"from {module} import main; signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
    )
    return [sys.executable, "-c", code]


def run(commands: dict[str, list[str]]) -> int:
    """Run commands of `python_main`, by name. Return 0 after Ctrl-C, SIGTERM or SIGHUP, 1 when one ended by itself.

    Each has a process group of its own, so that its children end with it. Signals are blocked and waited for, not
    handled: none is lost between two instructions. For a process without other threads.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, EVENTS)
    children: Children = {}
    try:
        for name, command in commands.items():
            children[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        return _watch(children)
    finally:
        _end(children)
        while signal.sigtimedwait(EVENTS, 0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _watch(children: Children) -> int:
    while signal.sigwait(EVENTS) == signal.SIGCHLD:
        for name, child in children.items():
            code = child.poll()
            if code is not None:
                how = f"exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
                print(f"us_sim: {name} ended by itself, {how}; stopping", file=sys.stderr)
                return 1
    return 0


def _end(children: Children) -> None:
    """Interrupt all; kill what is left after PATIENCE, or at the second Ctrl-C."""
    _signal(children, signal.SIGINT)
    deadline = time.monotonic() + PATIENCE
    while any(child.poll() is None for child in children.values()):
        event = signal.sigtimedwait(EVENTS, max(0.0, deadline - time.monotonic()))
        if event is None or event.si_signo in STOPS:
            break
    _signal(children, signal.SIGKILL)  # also the children of those that have ended
    for child in children.values():
        child.wait()


def _signal(children: Children, number: signal.Signals) -> None:
    for child in children.values():
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            continue

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Run several processes as one: an interrupt, or the end of one that all depends on, ends all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

from us_sim.ros.parent import die_with

PATIENCE = 4.0  # s between the polite signal and the one that no process survives
STOPS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
EVENTS = {*STOPS, signal.SIGCHLD}

RESTARTS = 3  # of one process: what falls each time would fall for ever

Children = dict[str, "subprocess.Popen[bytes]"]


@dataclass
class Companions:
    """Processes without which the others go on.

    Attributes:
        names: of them; the end of any other one ends all.
        restart: start one again that has ended by itself, RESTARTS times at most.
    """

    names: frozenset[str] = frozenset()
    restart: bool = False
    starts: dict[str, int] = field(default_factory=dict)

    def starts_again(self, name: str) -> bool:
        """Say, and count, whether one that has ended is to be started again."""
        self.starts[name] = self.starts.get(name, 0) + 1
        return self.restart and self.starts[name] <= RESTARTS


def own_domain() -> int:
    """Return a ROS domain that is not that of a robot in use, 1 to 100."""
    return 1 + os.getpid() % 100


def python_main(module: str) -> list[str]:
    """Return the command line that calls `main` of a module, ready for `run`.

    `run` starts it with EVENTS blocked, and it unblocks them: an interrupt while Python and the module are still
    being loaded ends it without a traceback. From then on `main` answers for interrupts. It is killed when the process
    that called this is.
    """
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, lambda *_: os._exit(0)); "
        "signal.pthread_sigmask(signal.SIG_SETMASK, []); "
        f"from {die_with.__module__} import die_with; die_with({os.getpid()}, signal.SIGKILL); "
        f"from {module} import main; from us_sim.core.command import leave; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); leave(main())"
    )
    return [sys.executable, "-c", code]


def run(commands: dict[str, list[str]], companions: Companions | None = None) -> int:
    """Run commands of `python_main`, by name. Return 0 after Ctrl-C, SIGTERM or SIGHUP, 1 when one ended by itself.

    Companions that end are reported; the others go on.

    Each has a process group of its own, so that its children end with it. Signals are blocked and waited for, not
    handled: none is lost between two instructions. For a process without other threads.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, EVENTS)
    children: Children = {}
    try:
        for name, command in commands.items():
            children[name] = _started(command)
        return _watch(children, commands, companions or Companions())
    finally:
        _end(children)
        while signal.sigtimedwait(EVENTS, 0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


def _watch(children: Children, commands: dict[str, list[str]], companions: Companions) -> int:
    while signal.sigwait(EVENTS) == signal.SIGCHLD:
        for name, child in list(children.items()):
            code = child.poll()
            if code is None:
                continue
            how = f"exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
            ended = f"us_sim: {name} ended by itself, {how}"
            if name not in companions.names:
                print(f"{ended}; stopping", file=sys.stderr)
                return 1
            _end({name: children.pop(name)})  # what it has started goes with it
            if companions.starts_again(name):
                print(f"{ended}; it is started again", file=sys.stderr)
                children[name] = _started(commands[name])
            else:
                print(f"{ended}; the others go on without it", file=sys.stderr)
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

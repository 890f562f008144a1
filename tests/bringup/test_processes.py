"""Several processes as one: however it ends, all end, quietly and in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("us_sim.bringup.processes")

SOURCES = Path(__file__).resolve().parents[2] / "ros2_ws" / "src" / "us_sim"
RUNNER = """
import sys
from us_sim.bringup import processes
processes.PATIENCE = float(sys.argv[1])
if sys.argv[2]:
    processes.die_with(int(sys.argv[2]), 15)
companions = processes.Companions(frozenset(n for n in sys.argv[4:] if n != "polite"), sys.argv[3] == "restart")
commands = {name: processes.python_main(name) for name in sys.argv[4:]}
sys.exit(processes.run(commands, companions if sys.argv[3] else None))
"""
# Each says its name and process id in one write, so that two of them cannot mix. They wait in small steps: a signal
# between two steps is seen at the next one, where signal.pause() would sleep over it.
MODULES = {
    "polite": """
        import os, time
        def main():
            try:
                os.write(1, b"polite %d\\n" % os.getpid())
                while True:
                    time.sleep(0.02)
            except KeyboardInterrupt:
                return 0
        """,
    "stubborn": """
        import os, signal
        def main():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.write(1, b"stubborn %d\\n" % os.getpid())
            while True:
                signal.pause()
        """,
    "parent": """
        import os, subprocess, sys, time
        def main():
            child = subprocess.Popen([sys.executable, "-c", "import signal\\n"
                "signal.signal(signal.SIGINT, signal.SIG_IGN)\\nprint(flush=True)\\nsignal.pause()"],
                stdout=subprocess.PIPE)
            child.stdout.readline()
            try:
                os.write(1, b"child %d\\n" % child.pid)
                while True:
                    time.sleep(0.02)
            except KeyboardInterrupt:
                return 0
        """,
    "loading": """
        import os, time
        os.write(1, b"loading %d\\n" % os.getpid())
        while True:
            time.sleep(0.02)
        """,
    "failing": """
        def main():
            open("gate").close()  # until the test opens the other end
            return 3
        """,
    "crashing": """
        import os, signal
        def main():
            open("gate").close()
            os.kill(os.getpid(), signal.SIGSEGV)
        """,
}

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the runner with some of MODULES, as a terminal would: in a process group of its own."""
    for name, text in MODULES.items():
        lines = text.strip("\n").split("\n")
        (tmp_path / f"{name}.py").write_text("\n".join(line[8:] for line in lines))
    os.mkfifo(tmp_path / "gate")
    runners = []

    def _start(*names: str, patience: float = 20.0, parent: str = "", wish: str = "") -> subprocess.Popen[str]:
        path = os.pathsep.join([str(tmp_path), str(SOURCES), os.environ.get("PYTHONPATH", "")])
        runners.append(
            subprocess.Popen(
                [sys.executable, "-c", RUNNER, str(patience), parent, wish, *names],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": path},
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        )
        return runners[-1]

    yield _start
    for runner in runners:
        runner.kill()
    for place in Path("/proc").glob("[0-9]*/cwd"):  # what a failed test has left
        with suppress(OSError):
            if place.resolve() == tmp_path:
                os.kill(int(place.parent.name), signal.SIGKILL)
    for runner in runners:
        runner.communicate()


def announced(runner: subprocess.Popen[str]) -> int:
    """Wait for the next process to say that it runs, and return its id."""
    assert runner.stdout is not None
    line = runner.stdout.readline()
    assert line, f"it ended before that: {runner.communicate(timeout=15)[1]}"
    return int(line.split()[1])


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_ends_all_without_a_word(start: Start, number: signal.Signals) -> None:
    runner = start("polite", "loading")
    pids = [announced(runner), announced(runner)]
    os.killpg(runner.pid, number)
    _, errors = runner.communicate(timeout=15)
    assert (runner.returncode, errors) == (0, "")
    assert not any(alive(pid) for pid in pids)


def test_what_ignores_the_stop_is_killed(start: Start) -> None:
    runner = start("stubborn", patience=0.3)
    pid, began = announced(runner), time.monotonic()
    runner.send_signal(signal.SIGINT)
    _, errors = runner.communicate(timeout=15)
    assert (runner.returncode, errors, alive(pid)) == (0, "", False)
    assert time.monotonic() - began >= 0.3


def test_the_second_interrupt_kills_at_once(start: Start) -> None:
    runner = start("stubborn", "polite", patience=1000.0)
    pids = [announced(runner), announced(runner)]
    runner.send_signal(signal.SIGINT)
    while any(alive(pid) for pid in pids):  # bounded by the test's time limit
        runner.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, errors = runner.communicate(timeout=15)
    assert (runner.returncode, errors) == (0, "")


def test_children_of_children_end_too(start: Start) -> None:
    runner = start("parent")
    child = announced(runner)
    assert alive(child)
    runner.send_signal(signal.SIGINT)
    runner.communicate(timeout=15)
    assert not alive(child)


@pytest.mark.parametrize(("name", "how"), [("failing", "exit code 3"), ("crashing", "by SIGSEGV")])
def test_one_that_ends_is_named_and_ends_the_rest(start: Start, tmp_path: Path, name: str, how: str) -> None:
    runner = start("polite", name)
    pid = announced(runner)
    (tmp_path / "gate").write_text("")
    _, errors = runner.communicate(timeout=15)
    assert (runner.returncode, alive(pid)) == (1, False)
    assert errors.splitlines()[-1] == f"us_sim: {name} ended by itself, {how}; stopping"


@pytest.mark.parametrize(("wish", "times"), [("go_on", 1), ("restart", 4)])
def test_without_a_companion_the_others_go_on(start: Start, tmp_path: Path, wish: str, times: int) -> None:
    runner = start("polite", "failing", wish=wish)
    pid = announced(runner)
    assert runner.stderr is not None
    lines = []
    for _ in range(times):
        (tmp_path / "gate").write_text("")  # waits until it is there to read
        lines.append(runner.stderr.readline())
    again = ["us_sim: failing ended by itself, exit code 3; it is started again\n"] * (times - 1)
    assert lines == [*again, "us_sim: failing ended by itself, exit code 3; the others go on without it\n"]
    assert alive(pid)
    runner.send_signal(signal.SIGTERM)
    runner.communicate(timeout=15)
    assert (runner.returncode, alive(pid)) == (0, False)


def test_killed_it_takes_all_along(start: Start) -> None:
    runner = start("polite", "stubborn")
    pids = [announced(runner), announced(runner)]
    runner.kill()
    while any(alive(pid) for pid in pids):  # bounded by the test's time limit
        time.sleep(0.02)


def test_it_does_not_outlive_the_process_that_it_is_told_of(start: Start) -> None:
    runner = start("polite", parent="1")  # which is not its parent any more
    assert runner.wait(15) == 1
    runner = start("stubborn", patience=0.1, parent=str(os.getpid()))
    assert alive(announced(runner))


def test_sim_sh_killed_leaves_nothing_running(tmp_path: Path) -> None:
    """The script as it is, in a checkout whose `python` says its name and goes on for ever."""
    for folder in (".venv", "scripts", "bin"):
        (tmp_path / folder).mkdir()
    (tmp_path / ".venv" / "ros").write_text("wheels\n")
    (tmp_path / "env.sh").write_text(f"export PATH={tmp_path / 'bin'}:$PATH PYTHONPATH={SOURCES}:${{PYTHONPATH:-}}\n")
    (tmp_path / "scripts" / "sim.sh").write_text((SOURCES.parents[2] / "scripts" / "sim.sh").read_text())
    program = tmp_path / "bin" / "python"
    program.write_text(
        f"#!{sys.executable}\nimport os, signal\nfrom us_sim.ros.parent import die_with\n"
        "die_with(int(os.environ['US_SIM_PARENT']), signal.SIGTERM)\nos.write(1, b'sim %d\\n' % os.getpid())\n"
        "signal.pause()\n"
    )
    program.chmod(0o755)
    with subprocess.Popen(["bash", str(tmp_path / "scripts" / "sim.sh")], text=True, stdout=subprocess.PIPE) as script:
        pid = announced(script)
        script.kill()
        while alive(pid):  # bounded by the test's time limit
            time.sleep(0.02)

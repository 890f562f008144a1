"""The end of a command: one sentence and an exit status, a traceback only where it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest

from us_sim.core.command import as_command
from us_sim.core.errors import ConfigError

EXPECTED = "expected a file or folder that can be used"
SOURCES = Path(__file__).resolve().parents[2] / "ros2_ws" / "src"


def ending(error: BaseException | None, arguments: list[str]) -> int:
    @as_command("tool")
    def main(arguments: Sequence[str] | None = None) -> int:
        assert arguments == ["--out", "x"]
        if error is not None:
            raise error
        return 7

    return main(arguments)


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (ConfigError("gain is 99;\nexpected 0 to 60"), 2, "tool: gain is 99; expected 0 to 60\n"),
        (PermissionError(13, "Permission denied", "x"), 2, f"tool: x: Permission denied; {EXPECTED}\n"),
        (OSError(36, "File name too long", "x" * 5000), 2, f"tool: {'x' * 200}: File name too long; {EXPECTED}\n"),
        (OSError(28, "No space left on device"), 2, "tool: No space left on device\n"),
        (KeyboardInterrupt(), 130, "tool: interrupted\n"),
        (
            ZeroDivisionError("division by zero"),
            1,
            "tool: ZeroDivisionError: division by zero; this is a fault of the software: --debug shows where\n",
        ),
        (None, 7, ""),
    ],
)
def test_it_is_one_sentence(
    error: BaseException | None, status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending(error, ["--out", "x"]) == status
    assert capsys.readouterr().err == told


def test_debug_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(ZeroDivisionError("here"), ["--out", "--debug", "x"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1].startswith("tool: ZeroDivisionError: here")


def test_the_words_of_the_process_are_taken_where_none_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tool", "--debug", "a"])
    assert as_command("tool")(lambda arguments: len(arguments))() == 1


@pytest.mark.parametrize(("words", "told"), [([], "no command"), (["foo"], "no command 'foo'")])
def test_a_command_that_is_none(
    words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["scyclegan_train", *words])
    assert import_module("scyclegan_train.__main__").main() == 2
    assert capsys.readouterr().err.startswith(f"scyclegan_train: {told}; expected one of prepare, train, evaluate, ")


def test_leaving_waits_for_threads_and_runs_what_is_registered() -> None:
    """And takes nothing apart after that: the object's end is not told."""
    program = """
import atexit, threading, time, weakref
from concurrent.futures import ThreadPoolExecutor
from us_sim.core.command import leave

class Late:
    def __del__(self): print("taken apart")

late, pool = Late(), ThreadPoolExecutor()
pool.submit(print, "pool").result()
atexit.register(print, "registered")
threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
leave(3)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (3, "pool\nthread\nregistered\n", "")


def mains() -> list[Path]:
    """All modules that have a `main`."""
    files = [path for package in ("us_sim", "scyclegan_train") for path in (SOURCES / package / package).rglob("*.py")]
    return [path for path in files if "\ndef main(" in path.read_text()]


@pytest.mark.parametrize("path", mains(), ids=lambda path: path.parent.name + "_" + path.stem)
def test_every_command_ends_so(path: Path) -> None:
    if path.name == "__main__.py":  # hands over to one that does
        return
    functions = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))
    (main,) = (node for node in functions if node.name == "main")
    assert [ast.unparse(item).partition("(")[0] for item in main.decorator_list] == ["as_command"]


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("us_sim.offline.render", ["--ct", "/nowhere", "--out", "{out}"]),
        ("us_sim.offline.render", ["--poses", "/dev/null", "--out", "{out}"]),
        ("us_sim.offline.fit.command", ["/nowhere", "--out", "{out}/a.yaml"]),
        ("scyclegan_train.prepare", ["/nowhere", "--out", "{out}"]),
        ("scyclegan_train.train", ["/nowhere", "--out", "{out}"]),
        ("scyclegan_train.export", ["/nowhere", "{out}/a.safetensors"]),
        ("scyclegan_train.evaluate", ["--generator", "/nowhere", "--out", "{out}"]),
        ("scyclegan_train.segmenter", ["/dev/null/a.safetensors"]),
    ],
)
def test_wrong_words_end_with_a_sentence(
    module: str, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = import_module(module).main([word.format(out=tmp_path) for word in arguments])
    except SystemExit as end:  # argparse
        status = end.code
    lines = capsys.readouterr().err.strip().splitlines()
    assert status in (1, 2)
    assert not any("Traceback" in line for line in lines)
    assert len(lines[-1]) < 400

"""Two versions side by side: what is asked, what the ratio is of. The versions are pretended ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from us_sim.bench import against

ECHO = """import sys
print("ready", flush=True)
for line in sys.stdin:
    print(STEP * (1 + int(line.split()[1])), flush=True)"""


def test_both_answer_pose_by_pose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    steps = iter((30.0, 10.0))

    def pretended(sources: Path, work: str, **environment: str) -> against.subprocess.Popen[str]:
        assert (work.splitlines()[-1], environment["OMP_NUM_THREADS"]) == ("serve(3)", "1")
        text = ECHO.replace("STEP", str(next(steps)))
        pipe = against.subprocess.PIPE
        return against.subprocess.Popen([against.sys.executable, "-c", text], stdin=pipe, stdout=pipe, text=True)

    monkeypatch.setattr(against, "started", pretended)
    found = against.compared(tmp_path, ["ct"], 3)
    assert found == {"ct": ([30.0, 60.0, 90.0], [10.0, 20.0, 30.0])}
    assert against.row("ct", found["ct"]) == ("ct", "60.0", "20.0", "3.00")


def test_a_folder_that_is_no_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert against.main([str(tmp_path)]) == 2
    assert "holds no ros2_ws/src/us_sim; give a checkout of this repository" in capsys.readouterr().err


def test_a_version_that_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / against.SOURCES / "us_sim").mkdir(parents=True)
    (tmp_path / against.SOURCES / "us_sim" / "__init__.py").write_text("raise ImportError('too old')")
    assert against.main([str(tmp_path)]) == 2
    told = capfd.readouterr().err
    assert "too old" in told
    assert "a version ended before it answered" in told

"""ROS's own linters, where they are installed; `make lint` runs ruff and mypy."""

from __future__ import annotations

from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = [str(PACKAGE / name) for name in (PACKAGE.name, "launch", "test") if (PACKAGE / name).is_dir()]
# Sections as Google writes them; not every function has a docstring, and summaries may take two lines.
IGNORED = ["D100", "D101", "D102", "D103", "D104", "D105", "D107", "D205", "D209", "D402", "D403", "D415", "D417"]
DOCSTRINGS = ["--convention", "google", "--add-ignore", *IGNORED, "--"]


@pytest.mark.parametrize(
    ("linter", "options"),
    [("copyright", []), ("flake8", ["--config", str(PACKAGE / "test/flake8.ini")]), ("pep257", DOCSTRINGS)],
)
def test_lint(linter: str, options: list[str]) -> None:
    assert pytest.importorskip(f"ament_{linter}.main").main([*options, *FOLDERS]) == 0

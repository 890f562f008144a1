# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

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

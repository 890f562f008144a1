from __future__ import annotations

from pathlib import Path

import pytest

from us_sim.offline.fit.command import main


@pytest.mark.parametrize("name", ["mine.yaml", "mine.png", "mine.md"])
def test_files_of_somebody_else_are_not_replaced(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("notes")
    assert main([str(tmp_path / "frames"), "--out", str(tmp_path / "mine.yaml")]) == 2
    assert f"{name}: is there already and was not written by us_sim_fit; give another name" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "notes"


def test_its_own_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("# written by us_sim_fit\n")
    assert main([str(tmp_path / "frames"), "--out", str(tmp_path / "mine.yaml")]) == 2
    assert "is there already" not in capsys.readouterr().err  # but there are no frames

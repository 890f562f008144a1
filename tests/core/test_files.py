"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from us_sim.core.files import atomic_write, is_partial


@pytest.mark.parametrize("name", ["shard.npz", "film.gif", "no_suffix"])
def test_a_file_takes_its_name_when_it_is_whole_and_on_disk(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, steps = tmp_path / name, []
    target.write_text("old")
    monkeypatch.setattr(os, "fsync", lambda descriptor: steps.append(target.read_text()))
    with atomic_write(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
        assert (partial.parent, partial.suffix) == (tmp_path, target.suffix or ".partial")
        assert is_partial(partial)
        assert not list(tmp_path.glob("[a-z]*partial*"))  # no pattern for whole files finds it
    assert steps == ["old", "new"]  # content before the name, then the name
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert not is_partial(target)


def test_an_error_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "card.json"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError), atomic_write(target) as partial:
        partial.write_text("half \ud800", encoding="utf-8")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"card.json": "old"}


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "card.json"
    with pytest.raises(FileNotFoundError) as caught, atomic_write(target) as partial:
        partial.write_text("new")
    assert caught.value.filename == str(target)  # not the hidden name, which the user has not given

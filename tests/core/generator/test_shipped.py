"""The generators that come with the software: found, loaded, within their size, and fit for the default probe."""

from __future__ import annotations

from pathlib import Path

import pytest

from us_sim.core.config import SimConfig
from us_sim.core.errors import ArtifactError
from us_sim.core.generator import shipped
from us_sim.core.generator.artifact import load_generator
from us_sim.core.geometry.probe import preset

LARGEST = 16 * 1024 * 1024  # bytes


@pytest.mark.parametrize("name", shipped.shipped())
def test_each_is_small_says_what_it_was_trained_on_and_draws_for_the_default_probe(name: str) -> None:
    file = shipped.shipped()[name]
    assert file.stat().st_size < LARGEST
    card = load_generator(file).card
    assert card.refusal(preset(SimConfig().probe)) is None
    assert all(data["name"] and data["licence"] for data in card.training_data)
    assert card.training_data


def test_names_paths_and_nothing() -> None:
    known = shipped.shipped()
    assert shipped.artifact_of("") == known["abdomen"]
    assert shipped.artifact_of("abdomen") == known["abdomen"]
    assert shipped.artifact_of("/data/abdomen") == Path("/data/abdomen")
    assert SimConfig().renderer == "generator"


def test_an_installed_workspace_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "share" / "us_sim" / "models"
    folder.mkdir(parents=True)
    (folder / "knee.safetensors").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    assert shipped.artifact_of("knee") == folder / "knee.safetensors"


def test_a_broken_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "shipped", dict)
    with pytest.raises(ArtifactError, match="the shipped generator 'abdomen' is not installed; install us_sim again"):
        shipped.artifact_of("")

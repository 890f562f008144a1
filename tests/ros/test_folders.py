"""What the services may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from us_sim.core.config import SimConfig
from us_sim.core.errors import ConfigError
from us_sim.ros.folders import allowed_folders, check_inside, listed_folders


def test_given_folders_hold_alone(tmp_path: Path) -> None:
    folders = allowed_folders(f"{tmp_path}/a:{tmp_path}/b", SimConfig(ct="/elsewhere/ct.nii.gz"))
    assert folders == [tmp_path / "a", tmp_path / "b"]
    check_inside([f"{tmp_path}/a/ct.nii.gz", f"{tmp_path}/b/deep/dicom", ""], folders)
    for path in ("/etc/passwd", f"{tmp_path}/a/../ct.nii.gz", f"{tmp_path}/ab"):
        with pytest.raises(ConfigError, match=r"lies outside the folders that services may read .*data_folders"):
            check_inside([path], folders)


def test_by_default_home_working_directory_and_what_the_parameters_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "dicom").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    folders = allowed_folders("", SimConfig(ct=str(tmp_path / "dicom"), generator=str(tmp_path / "g/x.safetensors")))
    assert folders == [tmp_path / name for name in ("home", "here", "dicom", "g")]


def test_a_link_out_of_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("")
    (tmp_path / "in/link").symlink_to(tmp_path / "secret")
    with pytest.raises(ConfigError, match="in/link lies outside"):
        check_inside([str(tmp_path / "in/link")], [tmp_path / "in"])


def test_home_and_working_directory_are_not_told_to_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert listed_folders("", SimConfig()) == []
    assert listed_folders("", SimConfig(ct=str(tmp_path / "scans/ct.nii.gz"))) == [tmp_path / "scans"]
    assert listed_folders(str(tmp_path / "home"), SimConfig()) == [tmp_path / "home"]

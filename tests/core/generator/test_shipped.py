"""The generators that come with the software: found, loaded, within their size, and fit for the default probe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from us_sim.core.config import SimConfig
from us_sim.core.errors import ArtifactError
from us_sim.core.generator import shipped
from us_sim.core.generator.artifact import load_generator
from us_sim.core.geometry.probe import preset
from us_sim.core.geometry.transforms import Matrix, apply, rigid
from us_sim.core.patient.patient import Patient, builtin_patient
from us_sim.core.patient.surface import skin_of
from us_sim.core.patient.volume import CtVolume
from us_sim.core.robot.motion import motion
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TissueClass

LARGEST = 16 * 1024 * 1024  # bytes


@pytest.mark.parametrize("name", shipped.shipped())
def test_each_is_small_says_what_it_was_trained_on_and_draws_for_the_default_probe(name: str) -> None:
    file = shipped.shipped()[name]
    assert file.stat().st_size < LARGEST
    card = load_generator(file).card
    assert card.refusal(preset(SimConfig().probe)) is None
    assert all(data["name"] and data["licence"] for data in card.training_data)
    assert card.training_data


@pytest.mark.parametrize("name", shipped.shipped())
def test_each_says_what_is_unlike_its_training(name: str) -> None:
    """A liver of a phantom is not; a place off the body, an implant and a leg are."""
    generator = load_generator(shipped.shipped()[name])
    phantom = builtin_patient(0)
    pose = motion("liver_sweep", phantom, 3)[1]
    away = pose.copy()
    away[:3, 3] += 500.0

    def score(patient: Patient, ct_from_probe: Matrix) -> float:
        simulator = Simulator(patient, renderer="generator", generator=generator, device="cpu")
        frame = simulator.render(ct_from_probe, ct_slice=False, labels=False)
        assert frame.ood_score is not None
        assert frame.out_of_distribution == (frame.ood_score > 1)
        return frame.ood_score

    assert score(phantom, pose) < 0.8
    assert score(phantom, away) > 1
    assert score(implanted(phantom, pose), pose) > 1
    assert score(leg(), beside_the_leg()) > 1


def implanted(patient: Patient, pose: Matrix) -> Patient:
    """The same with a metal ball of 40 mm, 50 mm under the probe."""
    volume = patient.volume
    voxels = np.moveaxis(np.indices(volume.hu.shape), 0, -1)
    ball = np.linalg.norm(apply(volume.ct_from_voxel, voxels) - (pose[:3, 3] + 50.0 * pose[:3, 2]), axis=-1) < 20.0
    hu, tissue = np.where(ball, 3000, volume.hu), np.where(ball, TissueClass.BONE, volume.tissue)
    volume = replace(volume, hu=hu.astype(np.int16), tissue=tissue.astype(np.uint8))
    return replace(patient, volume=volume)


def leg() -> Patient:
    """A thigh along z, 150 mm thick: skin and fat, muscle, a femur with its marrow; voxels of 2 mm."""
    x, y = np.meshgrid(np.arange(120) - 60, np.arange(120) - 60, indexing="ij")
    radius = 2.0 * np.hypot(x, y)
    hu = np.select([radius < 9, radius < 16, radius < 75, radius < 90], [30, 1200, 60, -80], -1000).astype(np.int16)
    classes = [TissueClass.SOFT, TissueClass.BONE, TissueClass.MUSCLE, TissueClass.FAT]
    tissue = np.select([radius < 9, radius < 16, radius < 75, radius < 90], classes, TissueClass.BACKGROUND).astype(
        np.uint8
    )
    hu, tissue = np.repeat(hu[..., None], 60, axis=2), np.repeat(tissue[..., None], 60, axis=2)
    volume = CtVolume(hu, tissue, np.diag([2.0, 2.0, 2.0, 1.0]), "leg", "0" * 64)
    return Patient(volume, skin_of(volume))


def beside_the_leg() -> Matrix:
    """From +x towards the bone, in the transverse plane."""
    return rigid(np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), [120.0 + 89.0, 120.0, 60.0])


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


def test_a_name_that_is_neither_shipped_nor_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = r"unknown generator 'abdomn'; expected one of .*abdomen, abdomen_lite.*, or the path of a .safetensors"
    with pytest.raises(ArtifactError, match=message):
        shipped.artifact_of("abdomn")
    for path in ("abdomn.safetensors", "./abdomn"):
        assert shipped.artifact_of(path) == Path(path)
    Path("abdomn").mkdir()
    assert shipped.artifact_of("abdomn") == Path("abdomn")  # the folder of a run

"""Bad files through the services, with the true readers: named in the answer, and what was there stays."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from us_sim_msgs.srv import LoadGenerator, LoadPatient

from us_sim.core import assembly, patient_source
from us_sim.core.generator import artifact
from us_sim.core.generator.card import Card
from us_sim.core.geometry.probe import preset
from us_sim.core.patient import patient

if TYPE_CHECKING:
    from tests.ros.conftest import World

SPACING = np.diag([4.0, 4.0, 4.0, 1.0])


def nifti(path: Path, data: np.ndarray, affine: np.ndarray = SPACING) -> Path:
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def body() -> np.ndarray:
    data = np.full((24, 24, 24), -1000, np.int16)
    data[4:20, 4:20, 4:20] = 50
    return data


def truncated(folder: Path) -> Path:
    whole = nifti(folder / "ct.nii.gz", body()).read_bytes()
    (folder / "ct.nii.gz").write_bytes(whole[: len(whole) // 2])
    return folder / "ct.nii.gz"


def text(folder: Path) -> Path:
    (folder / "ct.nii.gz").write_bytes(gzip.compress(b"hello" * 200))
    return folder / "ct.nii.gz"


def huge_header(folder: Path) -> Path:
    path = nifti(folder / "ct.nii", body())
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([3000, 3000, 3000], "<i2").tobytes()  # dim[1..3] of the NIfTI header
    path.write_bytes(content)
    return path


def empty_folder(folder: Path) -> Path:
    (folder / "dicom").mkdir()
    return folder / "dicom"


def with_nan(folder: Path) -> Path:
    data = body().astype(np.float32)
    data[3, 3, 3] = np.nan
    return nifti(folder / "ct.nii.gz", data)


def singular(folder: Path) -> Path:
    path = nifti(folder / "ct.nii", body())
    content = bytearray(path.read_bytes())
    content[280:328] = np.zeros(12, "<f4").tobytes()  # srow_x, srow_y, srow_z
    content[252:256] = np.array([0, 1], "<i2").tobytes()  # only the sform counts
    path.write_bytes(content)
    return path


PATIENTS: dict[str, Callable[[Path], Path]] = {
    "missing": lambda folder: folder / "ct.nii.gz",
    "truncated": truncated,
    "not NIfTI": text,
    "2-D": lambda folder: nifti(folder / "ct.nii.gz", np.zeros((8, 8), np.int16)),
    "4-D": lambda folder: nifti(folder / "ct.nii.gz", np.zeros((8, 8, 8, 2), np.int16)),
    "empty folder": empty_folder,
    "NaN voxels": with_nan,
    "singular affine": singular,
    "header of 3000³": huge_header,
    "no body": lambda folder: nifti(folder / "ct.nii.gz", np.full((8, 8, 8), -1000, np.int16)),
}


@pytest.mark.parametrize("kind", PATIENTS)
def test_a_bad_ct_is_named_and_the_old_patient_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(patient_source, "load_patient", patient.load_patient)
    node = world.start()
    before, path = node.session.scene, PATIENTS[kind](tmp_path)
    answer = world.call(LoadPatient, "us_sim/load_patient", LoadPatient.Request(ct=str(path)))
    assert not answer.success
    assert path.name in answer.message
    assert node.session.scene is before
    assert answer.patient == "phantom-0"


def test_labels_of_another_patient_are_refused(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_source, "load_patient", patient.load_patient)
    node = world.start()
    before, far = node.session.scene, SPACING.copy()
    far[:3, 3] = 1000.0
    ct = nifti(tmp_path / "ct.nii.gz", body())
    labels = nifti(tmp_path / "labels.nii.gz", (body() > 0).astype(np.uint8), far)
    request = LoadPatient.Request(ct=str(ct), labels=str(labels), label_scheme="ours")
    answer = world.call(LoadPatient, "us_sim/load_patient", request)
    assert not answer.success
    assert "labels.nii.gz" in answer.message
    assert node.session.scene is before


def test_a_good_ct_is_taken(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_source, "load_patient", patient.load_patient)
    world.start()
    ct = nifti(tmp_path / "ct.nii.gz", body())
    answer = world.call(LoadPatient, "us_sim/load_patient", LoadPatient.Request(ct=str(ct)), 30.0)
    assert answer.success, answer.message
    assert answer.warnings  # without labels the tissue is a guess
    np.testing.assert_allclose([answer.bounds_min.x, answer.bounds_max.x], [0.014, 0.078], atol=0.004)


def wrong_shape(path: Path, card: Card) -> None:
    save_file({"nothing": torch.zeros(3)}, path, metadata={"card": card.to_json()})


def cut(path: Path, card: Card) -> None:
    artifact.save_generator(path, artifact.build(card), card)
    path.write_bytes(path.read_bytes()[:1000])


def pickled(path: Path, card: Card) -> None:
    path.write_bytes(pickle.dumps({"weights": [1.0]}))


GENERATORS: dict[str, Callable[[Path, Card], None]] = {
    "missing": lambda path, card: None,
    "pickle": pickled,
    "truncated": cut,
    "no card": lambda path, card: save_file({"x": torch.zeros(3)}, path),
    "wrong shape": wrong_shape,
}


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_bad_artifact_is_named_and_the_old_generator_stays(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(assembly, "load_generator", artifact.load_generator)
    card = Card(preset("c5_2"), width=0.0625)
    artifact.save_generator(tmp_path / "good.safetensors", artifact.build(card), card)
    node = world.start(generator=str(tmp_path / "good.safetensors"))
    before, path = node.session.scene, tmp_path / "bad.safetensors"
    assert before.simulator.generator.name == "good"
    GENERATORS[kind](path, card)
    answer = world.call(LoadGenerator, "us_sim/load_generator", LoadGenerator.Request(path=str(path)))
    assert not answer.success
    assert "bad.safetensors" in answer.message
    assert answer.generator == "good"
    assert node.session.scene is before

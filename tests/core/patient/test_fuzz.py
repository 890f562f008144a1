"""Damaged files by the hundred, from fixed seeds: each is read, or refused in one sentence; never another error."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from tests.accidents import VARIANTS, outcome, spoiled

from us_sim.core.errors import PatientError
from us_sim.core.patient.labels import read_labels
from us_sim.core.patient.naming.own_map import read_own_map
from us_sim.core.patient.reading import read_scan

SHAPE, GRID = (6, 5, 4), np.diag([2.0, 2, 3, 1])


def nifti(labels: bool) -> bytes:
    rng = np.random.default_rng(1)
    voxels = rng.integers(0, 5, SHAPE).astype(np.uint8) if labels else rng.integers(-999, 999, SHAPE).astype(np.int16)
    image = nibabel.Nifti1Image(voxels, GRID)
    if labels:
        table = b"".join(b'<Label Key="%d"><![CDATA[rib_left_%d]]></Label>' % (i, i) for i in range(1, 5))
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, table))
    return image.to_bytes()


def dicom(patient: Any, folder: Path) -> bytes:
    return patient.write_dicom(folder, patient.hu()[:6, :5, :1])[0].read_bytes()


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_nifti(tmp_path: Path, packed: bool) -> None:
    path, whole = tmp_path / ("ct.nii.gz" if packed else "ct.nii"), nifti(labels=False)
    rng, found = np.random.default_rng(7), []
    for _ in range(VARIANTS // 2):
        data = spoiled(whole, rng, 348)
        path.write_bytes(gzip.compress(data, mtime=0) if packed else data)
        found.append(outcome(lambda: read_scan(path)))
    assert set(found) == {"read", "refused"}


def test_damaged_labels(tmp_path: Path) -> None:
    path, whole = tmp_path / "seg.nii", nifti(labels=True)
    rng, found = np.random.default_rng(8), []
    for _ in range(VARIANTS):
        path.write_bytes(spoiled(whole, rng, 500))
        found.append(outcome(lambda: read_labels(path, None, SHAPE, GRID)))
    assert set(found) == {"read", "refused"}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_dicom(tmp_path: Path, small_patient: Any) -> None:
    folder = tmp_path / "series"
    paths = small_patient.write_dicom(folder, small_patient.hu()[:6, :5, :3])
    whole = paths[1].read_bytes()
    rng, found = np.random.default_rng(9), []
    for _ in range(VARIANTS):
        paths[1].write_bytes(spoiled(whole, rng, len(whole)))
        found.append(outcome(lambda: read_scan(folder)))
    assert set(found) == {"read", "refused"}
    assert pydicom.dcmread(io.BytesIO(whole)).Rows == 5


def test_damaged_own_maps(tmp_path: Path) -> None:
    path, whole = tmp_path / "map.yaml", b"1: liver\n2: aorta\ntumour: liver\n'left kidney': kidney\n5:\n"
    rng, found = np.random.default_rng(10), []
    for _ in range(VARIANTS):
        path.write_bytes(spoiled(whole, rng, len(whole)))
        found.append(outcome(lambda: read_own_map(path)))
    assert set(found) == {"read", "refused"}


def test_a_bomb_of_zeros_is_refused(tmp_path: Path) -> None:
    """2^29 voxels of nothing in 1 MB: more than a CT of this size on disk can be."""
    header = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)).header.copy()
    header.set_data_shape((1024, 1024, 512))
    path = tmp_path / "ct.nii.gz"
    block = gzip.compress(bytes(2**24), mtime=0)
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4), mtime=0) + 64 * block)
    with pytest.raises(PatientError, match=r"shape \(1024, 1024, 512\) in \d+ bytes: no CT is that empty; copy"):
        read_scan(path)

"""NIfTI: values and places by hand, and every way in which a file can be wrong."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from us_sim.core.errors import PatientError
from us_sim.core.patient.nifti import read_nifti

# Offsets of fields in the 348 bytes of a NIfTI-1 header, from nifti1.h.
DIM, PIXDIM, SLOPE, UNITS, QFORM_CODE, SFORM_CODE, SROW = 40, 76, 112, 123, 252, 254, 280
AFFINE = np.array([[0, -2.0, 0, 11], [1.5, 0, 0, -7], [0, 0, 3, 5], [0, 0, 0, 1]])


def save(path: Path, voxels: Any = None, affine: Any = AFFINE) -> Path:
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5) if voxels is None else voxels
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


def patch(path: Path, offset: int, layout: str, *values: float) -> Path:
    data = bytearray(path.read_bytes())
    struct.pack_into(f"<{layout}", data, offset, *values)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int32, np.float32, np.float64])
def test_values_and_affine_come_back(tmp_path: Path, suffix: str, dtype: Any) -> None:
    stored = np.arange(60).reshape(3, 4, 5).astype(dtype)
    scan = read_nifti(save(tmp_path / f"ct{suffix}", stored))
    np.testing.assert_array_equal(scan.voxels, stored)
    np.testing.assert_allclose(scan.ct_from_voxel, AFFINE)


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    path = patch(save(tmp_path / "ct.nii"), SLOPE, "2f", 2.0, -1024.0)
    np.testing.assert_array_equal(read_nifti(path).voxels, 2.0 * np.arange(60).reshape(3, 4, 5) - 1024)


def test_sform_counts_before_qform(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), None)
    image.set_qform(np.diag([1.0, 1, 1, 1]), code=1)
    image.set_sform(AFFINE, code=2)
    nibabel.save(image, tmp_path / "ct.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "ct.nii").ct_from_voxel, AFFINE)


def test_qform_alone(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), None)
    image.set_qform(AFFINE, code=1)
    image.set_sform(None, code=0)
    nibabel.save(image, tmp_path / "ct.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "ct.nii").ct_from_voxel, AFFINE, atol=1e-5)


def test_affine_in_metres(tmp_path: Path) -> None:
    in_metres = np.diag([1e-3, 1e-3, 1e-3, 1.0]) @ AFFINE
    path = patch(save(tmp_path / "ct.nii", affine=in_metres), UNITS, "b", 1)
    np.testing.assert_allclose(read_nifti(path).ct_from_voxel, AFFINE, rtol=1e-5)


def test_trailing_axis_of_length_one_is_dropped(tmp_path: Path) -> None:
    assert read_nifti(save(tmp_path / "ct.nii", np.zeros((3, 4, 5, 1), np.int16))).voxels.shape == (3, 4, 5)


def test_header_text_names_the_labels(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), AFFINE)
    image.header.extensions.append(
        nibabel.nifti1.Nifti1Extension(0, b'<Label Key="7"><![CDATA[kidney_right]]></Label>')
    )
    nibabel.save(image, tmp_path / "seg.nii.gz")
    assert read_nifti(tmp_path / "seg.nii.gz").names == {7: "kidney_right"}


def missing(folder: Path) -> Path:
    return folder / "ct.nii.gz"


def no_bytes(folder: Path) -> Path:
    (folder / "ct.nii").touch()
    return folder / "ct.nii"


def text(folder: Path) -> Path:
    (folder / "ct.nii.gz").write_text("not an image")
    return folder / "ct.nii.gz"


def other_format(folder: Path) -> Path:
    nibabel.save(nibabel.MGHImage(np.zeros((3, 4, 5), np.int16), AFFINE), folder / "ct.mgz")
    return folder / "ct.mgz"


def cut(folder: Path) -> Path:
    path = save(folder / "ct.nii")
    path.write_bytes(path.read_bytes()[:-10])
    return path


def cut_header(folder: Path) -> Path:
    path = save(folder / "ct.nii")
    path.write_bytes(path.read_bytes()[:100])
    return path


def cut_packed(folder: Path) -> Path:
    noise = np.random.default_rng(0).integers(-999, 999, (20, 20, 20)).astype(np.int16)
    path = save(folder / "ct.nii.gz", noise)
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def flat(folder: Path) -> Path:
    return save(folder / "ct.nii", np.zeros((30, 40), np.int16))


def series(folder: Path) -> Path:
    return save(folder / "ct.nii", np.zeros((3, 4, 5, 6), np.int16))


def single(folder: Path) -> Path:
    return save(folder / "ct.nii", np.zeros((30, 40, 1), np.int16))


def empty(folder: Path) -> Path:
    return patch(save(folder / "ct.nii"), DIM, "4h", 3, 0, 4, 5)


def huge(folder: Path) -> Path:
    return patch(save(folder / "ct.nii"), DIM, "4h", 3, 3000, 3000, 3000)


def huge_packed(folder: Path) -> Path:
    raw = huge(folder).read_bytes()
    (folder / "ct.nii.gz").write_bytes(gzip.compress(raw))
    return folder / "ct.nii.gz"


def over_limit(folder: Path) -> Path:
    """A sparse file that really is as long as its header says."""
    path = patch(save(folder / "ct.nii"), DIM, "4h", 3, 1024, 1024, 1024)
    with path.open("r+b") as file:
        file.truncate(352 + 2 * 1024**3)
    return path


def singular(folder: Path) -> Path:
    return patch(save(folder / "ct.nii"), SROW, "12f", *[1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0])


def nan_affine(folder: Path) -> Path:
    return patch(save(folder / "ct.nii"), SROW, "f", np.nan)


def unplaced(folder: Path) -> Path:
    return patch(save(folder / "ct.nii"), QFORM_CODE, "2h", 0, 0)


def tiny(folder: Path) -> Path:
    return save(folder / "ct.nii", affine=np.diag([0.001, 0.001, 0.001, 1]))


def far_away(folder: Path) -> Path:
    return save(folder / "ct.nii", affine=np.array([[1, 0, 0, 1e9], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))


def with_nan(folder: Path) -> Path:
    voxels = np.zeros((3, 4, 5), np.float32)
    voxels[1, 2, :3] = np.nan, np.inf, np.nan
    return save(folder / "ct.nii", voxels)


def coloured(folder: Path) -> Path:
    return save(folder / "ct.nii", np.zeros((3, 4, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))


REFUSALS = [
    (missing, "no such file or folder; give a NIfTI"),
    (no_bytes, "is empty, 0 bytes; copy or export it again"),
    (text, r"is not a NIfTI file .*\(it begins with 6e 6f 74 20\); give a .nii or .nii.gz"),
    (other_format, "is not a NIfTI file"),
    (cut, "is truncated .*voxels end 10 bytes early.*; copy or export"),
    (cut_header, "is not a NIfTI file or its header is damaged"),
    (cut_packed, "is truncated or damaged .*; copy or export"),
    (flat, r"has 2 dimensions \(30, 40\); expected 3"),
    (series, r"has 4 dimensions \(3, 4, 5, 6\); expected 3"),
    (single, r"is a single slice, shape \(30, 40, 1\); .*give all slices"),
    (empty, r"is empty, shape \(0, 4, 5\)"),
    (huge, r"shape \(3000, 3000, 3000\) takes 54000000000 bytes, more than a file of 472 bytes can hold"),
    (huge_packed, r"shape \(3000, 3000, 3000\) takes 54000000000 bytes"),
    (over_limit, r"shape \(1024, 1024, 1024\) is over 536,870,912 voxels; crop or resample"),
    (singular, "affine is singular .*; rewrite the file"),
    (nan_affine, "affine holds NaN or Inf; rewrite the file"),
    (unplaced, "neither sform nor qform.*; convert it from its source"),
    (tiny, r"voxels of \[0.001, 0.001, 0.001\] mm; expected 0.02 to 50.0 mm"),
    (far_away, r"its first voxel lies at \[1000000000.0, 0.0, 0.0\] mm; expected within 100000 mm of the origin"),
    (with_nan, "3 voxels are NaN or Inf; replace them"),
    (coloured, "expected integer or float"),
]


@pytest.mark.parametrize(("make", "message"), REFUSALS, ids=lambda value: getattr(value, "__name__", ""))
def test_refused_with_finding_and_remedy(tmp_path: Path, make: Any, message: str) -> None:
    path = make(tmp_path)
    tracemalloc.start()
    with pytest.raises(PatientError, match=f"(?s){path.name}: .*{message}"):
        read_nifti(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6  # bytes: nothing of the promised size was allocated

"""Whole patients: one place has one HU and one class whatever the file, its grid and its order."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from us_sim.core.errors import PatientError
from us_sim.core.patient.loading import load_volume
from us_sim.core.patient.volume import CtVolume
from us_sim.core.tissue import TissueClass as T

SLAB_LIVER, SLAB_SPLEEN = 5, 1  # TotalSegmentator


def at(volume: CtVolume, places: Any) -> tuple[Any, Any]:
    """Trilinear HU and nearest tissue at (N, 3) places in ct, by SciPy."""
    voxels = np.linalg.solve(volume.ct_from_voxel[:3, :3], (places - volume.ct_from_voxel[:3, 3]).T)
    hu = ndimage.map_coordinates(volume.hu.astype(float), voxels, order=1, cval=-1000)
    return hu, ndimage.map_coordinates(volume.tissue, voxels, order=0)


def regrid(voxels: Any, affine: Any, order: tuple[int, int, int], flips: tuple[int, ...]) -> tuple[Any, Any]:
    """The same image with permuted and flipped axes."""
    turned, columns = np.transpose(voxels, order), affine[:, [*order, 3]].copy()
    for axis in flips:
        turned = np.flip(turned, axis)
        columns[:3, 3] += columns[:3, axis] * (turned.shape[axis] - 1)
        columns[:, axis] *= -1
    return np.ascontiguousarray(turned), columns


def places(patient: Any, count: int = 4000) -> Any:
    """Random places well inside the volume."""
    rng = np.random.default_rng(5)
    low, high = np.array([-64.0, -67, 58]), np.array([88.0, 53, 149])
    return low + (high - low) * rng.random((count, 3))


def test_volume_of_a_nifti(tmp_path: Path, small_patient: Any) -> None:
    volume = load_volume(small_patient.write_nifti(tmp_path / "anna.nii.gz"))
    assert volume.hu.dtype == np.int16
    assert volume.tissue.dtype == np.uint8
    assert volume.hu.flags.c_contiguous
    assert volume.tissue.flags.c_contiguous
    np.testing.assert_array_equal(volume.hu, small_patient.hu())
    np.testing.assert_allclose(volume.ct_from_voxel, small_patient.ct_from_voxel)
    np.testing.assert_allclose(volume.spacing, (4, 4, 5))
    assert volume.name == "anna"
    assert volume.warnings == ("no labels: tissue comes from HU alone and organs are absent",)
    classes = set(np.unique(volume.tissue).tolist())
    assert classes == {T.BACKGROUND, T.SKIN, T.FAT, T.SOFT, T.GAS, T.BONE}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(), (0,), (1, 2), (0, 1, 2)])
def test_axis_order_and_direction_change_nothing(
    tmp_path: Path, small_patient: Any, order: tuple[int, int, int], flips: tuple[int, ...]
) -> None:
    straight = load_volume(small_patient.write_nifti(tmp_path / "a.nii"))
    voxels, affine = regrid(small_patient.hu(), small_patient.ct_from_voxel, order, flips)
    turned = load_volume(small_patient.write_nifti(tmp_path / "b.nii", voxels, affine))
    assert turned.hu.shape == voxels.shape  # stays in its own grid
    for one, other in zip(at(straight, places(small_patient)), at(turned, places(small_patient)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("kind", ["oblique", "anisotropic", "sheared"])
def test_any_affine_shows_the_patient_where_he_lies(tmp_path: Path, small_patient: Any, kind: str) -> None:
    """Voxel centres of another grid, against the patient given as a function of the place."""
    affine = small_patient.ct_from_voxel.copy()
    if kind == "oblique":
        c, s = np.cos(0.35), np.sin(0.35)
        affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ affine[:3, :3]
    elif kind == "anisotropic":
        affine[:3, :3] = np.diag([-2.0, -6.0, 5.0])
    else:
        affine[1, 2] = 1.0
    points = small_patient.points((72, 40, 20), affine)
    path = small_patient.write_nifti(tmp_path / "ct.nii.gz", small_patient.hu_at(points).astype(np.float32), affine)
    labels = small_patient.write_nifti(tmp_path / "liver.nii.gz", small_patient.labels_at(points), affine)
    volume = load_volume(path, labels)
    liver = volume.ct_from_voxel @ np.append(np.argwhere(volume.tissue == T.LIVER).mean(axis=0), 1)
    np.testing.assert_allclose(liver[:3], (37, -2, 108), atol=1.0)  # centre of the ball, by hand
    gas = volume.ct_from_voxel @ np.append(np.argwhere(volume.tissue == T.GAS).mean(axis=0), 1)
    np.testing.assert_allclose(gas[:3], (-13, 1, 93), atol=1.0)


def test_dicom_and_nifti_of_one_series_agree(tmp_path: Path, small_patient: Any) -> None:
    small_patient.write_dicom(tmp_path / "series")
    voxels, affine = regrid(small_patient.hu(), small_patient.ct_from_voxel, (2, 1, 0), (1,))
    nifti = load_volume(small_patient.write_nifti(tmp_path / "ct.nii.gz", voxels, affine))
    dicom = load_volume(tmp_path / "series")
    assert dicom.name == "series"
    for one, other in zip(at(dicom, places(small_patient)), at(nifti, places(small_patient)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-2)  # positions are written to 1e-6 mm


def test_labels_on_another_grid_land_on_their_organ(tmp_path: Path, small_patient: Any) -> None:
    fine = small_patient.ct_from_voxel @ np.diag([-0.5, 0.5, 0.8, 1])
    fine[0, 3] = -70
    labels = small_patient.labels_at(small_patient.points((80, 64, 25), fine))
    path = small_patient.write_nifti(tmp_path / "liver.nii.gz", labels, fine)
    volume = load_volume(small_patient.write_nifti(tmp_path / "ct.nii"), path)
    assert volume.warnings == ()
    organ = volume.tissue == T.LIVER
    assert (volume.hu[organ] == 60).mean() > 0.9
    assert organ.sum() == pytest.approx((volume.hu == 60).sum(), rel=0.1)


def test_hash_follows_the_content(tmp_path: Path, small_patient: Any) -> None:
    path = small_patient.write_nifti(tmp_path / "ct.nii")
    first = load_volume(path).sha256
    assert load_volume(path).sha256 == first
    voxels = small_patient.hu()
    voxels[3, 3, 3] += 1
    assert load_volume(small_patient.write_nifti(path, voxels)).sha256 != first


def test_metal_is_warned_of(tmp_path: Path, small_patient: Any) -> None:
    voxels = small_patient.hu()
    voxels[20, 16, 10] = 3000
    volume = load_volume(small_patient.write_nifti(tmp_path / "ct.nii", voxels))
    assert "metal above 2500 HU: tissue near it is uncertain" in volume.warnings


def test_values_beyond_int16_are_cut(tmp_path: Path, small_patient: Any) -> None:
    voxels = small_patient.hu().astype(np.float32)
    voxels[20, 16, 10], voxels[0, 0, 0] = 1e9, -1e9
    volume = load_volume(small_patient.write_nifti(tmp_path / "ct.nii", voxels))
    assert volume.hu[20, 16, 10] == 32767
    assert volume.hu[0, 0, 0] == -1000  # padding: no scanner measures it


@pytest.mark.parametrize(("fill", "found"), [(0, "values from 0 to 0"), (40, "0.0 % air"), (-1000, "0.0 % soft")])
def test_no_hounsfield_units(tmp_path: Path, small_patient: Any, fill: int, found: str) -> None:
    path = small_patient.write_nifti(tmp_path / "ct.nii", np.full((20, 20, 20), fill, np.int16))
    with pytest.raises(PatientError, match=f"ct.nii: .*{found}.*; give a CT, with slope and intercept applied"):
        load_volume(path)


def test_stored_values_without_rescale(tmp_path: Path, small_patient: Any) -> None:
    path = small_patient.write_nifti(tmp_path / "ct.nii", small_patient.hu() + 1024)
    with pytest.raises(PatientError, match=r"are no Hounsfield units: 0.0 % air"):
        load_volume(path)


def test_labels_beside_the_body(tmp_path: Path, small_patient: Any) -> None:
    ct = small_patient.write_nifti(tmp_path / "ct.nii")
    labels = np.zeros(small_patient.shape, np.uint8)
    labels[:3] = 1  # air beside the patient
    with pytest.raises(PatientError, match=r"liver.nii: most labels lie outside the body, .*another patient; give"):
        load_volume(ct, small_patient.write_nifti(tmp_path / "liver.nii", labels))


def by_values(patient: Any, folder: Path, side: int) -> Any:
    """Liver, aorta and sternum of TotalSegmentator without a word; the liver to the right (1) or left (-1)."""
    x, y, z = np.moveaxis(patient.points(patient.shape, patient.ct_from_voxel) - (12, -7, 103), -1, 0)
    labels = np.zeros(patient.shape, np.uint8)
    labels[np.sqrt((x - side * 25) ** 2 + (y - 5) ** 2 + z**2) < 18] = 5
    labels[np.hypot(x, y + 10) < 6] = 52
    labels[np.hypot(x - 5, y + 22) < 5] = 116
    hu = np.where(labels == 5, 60, np.where(labels == 52, 45, np.where(labels == 116, 500, patient.hu())))
    ct = patient.write_nifti(folder / "ct.nii", hu.astype(np.int16))
    return ct, patient.write_nifti(folder / "seg.nii", labels)


def test_values_alone_count_where_the_anatomy_agrees(tmp_path: Path, small_patient: Any) -> None:
    volume = load_volume(*by_values(small_patient, tmp_path, 1))
    assert {T.LIVER, T.VESSEL, T.BONE} <= set(np.unique(volume.tissue).tolist())
    assert volume.labelling[0] == "labels: totalsegmentator"
    assert volume.labelling[1].startswith("largest labels: liver ")


def test_values_alone_are_refused_where_the_anatomy_disagrees(tmp_path: Path, small_patient: Any) -> None:
    ct, labels = by_values(small_patient, tmp_path, -1)
    with pytest.raises(PatientError, match=r"taken for totalsegmentator by its values, but liver: lies .* to the left"):
        load_volume(ct, labels)
    given = load_volume(ct, labels, "totalsegmentator")
    assert any("liver: lies" in warning for warning in given.warnings)


def test_a_labels_map_in_either_place(tmp_path: Path, small_patient: Any) -> None:
    ct, labels = by_values(small_patient, tmp_path, 1)
    path = tmp_path / "map.yaml"
    path.write_text("5: liver\n52: kidney\n116: background\n")
    one = load_volume(ct, labels, labels_map=path)
    assert one.sha256 == load_volume(ct, labels, str(path)).sha256
    assert one.labelling[0] == "labels: map.yaml"
    assert (one.tissue == T.KIDNEY).any()


def test_unknown_scheme_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(PatientError, match="label_scheme 'mine' is unknown; expected one of abdomenct1k, total"):
        load_volume(tmp_path / "missing.nii", label_scheme="mine")


@pytest.mark.parametrize("name", ["missing.nii.gz", "missing"])
def test_missing_patient(tmp_path: Path, name: str) -> None:
    with pytest.raises(PatientError, match=f"{name}: no such file or folder; give a NIfTI file"):
        load_volume(tmp_path / name)


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(PatientError, match="no DICOM slices in this folder"):
        load_volume(str(tmp_path))


def test_real_abdomen(shared_data: Path) -> None:
    folder = shared_data / "ct_abdomen"
    volume = load_volume(folder / "ct.nii.gz", folder / "labels.nii.gz")
    mean = {c: volume.hu[volume.tissue == c].mean() for c in T if (volume.tissue == c).any()}
    assert set(T) == mean.keys()
    assert 35 < mean[T.LIVER] < 55
    assert 20 < mean[T.SPLEEN] < 50
    assert -5 < mean[T.FLUID] < 25
    assert mean[T.BONE] > 150
    assert mean[T.GAS] < -800
    assert -850 < mean[T.LUNG] < -650
    assert -110 < mean[T.FAT] < -75
    # no metal streak in the right hip, below the first 30 mm, is taken for gas
    assert not (volume.tissue[:45, :, :10] == T.GAS).any()


def test_real_slab_from_dicom_and_from_nifti(shared_data: Path, tmp_path: Path) -> None:
    """JPEG 2000 slices against labels made by another program on a grid whose y runs the other way."""
    folder = shared_data / "ct_slab"
    volume = load_volume(folder / "dicom", folder / "labels.nii.gz")
    labels = nibabel.load(folder / "labels.nii.gz")
    liver = np.argwhere(np.asarray(labels.dataobj) == SLAB_LIVER)[::97] @ labels.affine[:3, :3].T
    hu, tissue = at(volume, liver + labels.affine[:3, 3])
    assert 75 < hu.mean() < 105
    assert np.percentile(hu, 5) > 30
    assert (tissue == T.LIVER).all()
    nibabel.save(nibabel.Nifti1Image(np.flip(volume.hu, 1), regrid_y(volume)), tmp_path / "slab.nii.gz")
    again = load_volume(tmp_path / "slab.nii.gz", folder / "labels.nii.gz")
    np.testing.assert_array_equal(np.flip(again.hu, 1), volume.hu)
    assert (np.flip(again.tissue, 1) != volume.tissue).mean() < 1e-3  # the blocks of the body mask start elsewhere


def regrid_y(volume: CtVolume) -> Any:
    return regrid(volume.hu[:, :, :1], volume.ct_from_voxel, (0, 1, 2), (1,))[1]


def test_large_patient_within_seconds(tmp_path: Path, small_patient: Any) -> None:
    """512 × 512 × 60 voxels: a fifth of a large CT, which may take 25 s; the bound leaves room for busy machines."""
    hu = np.repeat(np.repeat(np.repeat(small_patient.hu(), 13, 0)[:512], 16, 1), 3, 2)
    assert hu.shape == (512, 512, 60)
    affine = small_patient.ct_from_voxel @ np.diag([1 / 13, 1 / 16, 1 / 3, 1])
    path = small_patient.write_nifti(tmp_path / "ct.nii", hu, affine)
    start = time.process_time()
    load_volume(path)
    assert time.process_time() - start < 15

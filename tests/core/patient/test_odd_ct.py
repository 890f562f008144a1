"""CTs as they come: padded, masked, shifted, clipped, cropped, with limbs, of tiny voxels, damaged on the way."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from us_sim.core.errors import PatientError
from us_sim.core.patient.body import body_mask
from us_sim.core.patient.extent import cut_faces, unknown_fraction
from us_sim.core.patient.grid import grow
from us_sim.core.patient.loading import load_volume
from us_sim.core.patient.nifti import read_nifti
from us_sim.core.tissue import TissueClass as T


def circle(patient: Any) -> Any:
    """True outside the scanner's circle."""
    x, y = np.meshgrid(np.linspace(-1, 1, patient.shape[0]), np.linspace(-1, 1, patient.shape[1]), indexing="ij")
    return np.broadcast_to((x**2 + y**2 > 1)[..., None], patient.shape)


@pytest.mark.parametrize("padding", [-2000, -3024, 3071])
def test_padding_outside_the_circle_is_air(tmp_path: Path, small_patient: Any, padding: int) -> None:
    plain = load_volume(small_patient.write_nifti(tmp_path / "plain.nii"))
    hu = np.where(circle(small_patient), padding, small_patient.hu()).astype(np.int16)
    padded = load_volume(small_patient.write_nifti(tmp_path / "ct.nii", hu))
    np.testing.assert_array_equal(padded.hu, plain.hu)
    np.testing.assert_array_equal(padded.tissue, plain.tissue)


def test_air_masked_to_0_is_air_again(tmp_path: Path, small_patient: Any) -> None:
    plain = load_volume(small_patient.write_nifti(tmp_path / "plain.nii"))
    hu = np.where(small_patient.hu() == -1000, 0, small_patient.hu()).astype(np.int16)
    masked = load_volume(small_patient.write_nifti(tmp_path / "ct.nii", hu))
    np.testing.assert_array_equal(masked.tissue, plain.tissue)
    assert any("is 0 around the body: taken for masked air" in warning for warning in masked.warnings)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda hu: hu + 1024, "0.0 % air, .* they seem to lack their intercept"),
        (lambda hu: np.where(hu > -300, 32767, -3000), "0.0 % soft tissue, they seem to lack their intercept"),
        (
            lambda hu: np.where(hu == -1000, -2000, hu + 1024),
            "between 850 and 1250, where soft tissue lies without its",
        ),
        (lambda hu: np.clip(hu, -200, 300), "values from -200 to 300 .* clipped or scaled"),
        (lambda hu: (np.clip(hu, -200, 300) + 200) // 2, "values from 0 to 250 .* clipped or scaled"),
    ],
)
def test_other_values_than_hounsfield_units_are_refused(
    tmp_path: Path, small_patient: Any, change: Any, finding: str
) -> None:
    path = small_patient.write_nifti(tmp_path / "ct.nii", change(small_patient.hu()).astype(np.int16))
    with pytest.raises(PatientError, match=f"{finding}.*; give a CT, with slope and intercept applied"):
        load_volume(path)


def cylinder(shape: tuple[int, int, int], centre: tuple[float, float], radius: float) -> Any:
    x, y = np.meshgrid(*(np.arange(n) * 3.0 for n in shape[:2]), indexing="ij")
    return np.broadcast_to((np.hypot(x - centre[0], y - centre[1]) < radius)[..., None], shape)


@pytest.mark.parametrize("radii", [(30.0, 100.0, 30.0), (70.0, 0.0, 70.0)], ids=["arms", "legs"])
def test_limbs_beside_each_other_are_body(radii: tuple[float, float, float]) -> None:
    shape = (160, 80, 30)
    parts = [cylinder(shape, (x, 120.0), radius) for x, radius in zip((60, 240, 420), radii, strict=True) if radius]
    table = np.zeros(shape, bool)
    table[:, 76:78] = True
    hu = np.full(shape, -1000, np.int16)
    hu[table] = 100
    for part in parts:
        hu[part] = 40
    body = body_mask(hu, np.diag([3.0, 3, 3, 1]))
    assert all(body[part].mean() > 0.99 for part in parts)
    assert not body[table].any()


def test_a_scan_cropped_inside_the_body(tmp_path: Path, small_patient: Any) -> None:
    """Without air at its sides: all of it is body, and no skin is made where it is cut."""
    hu = np.full((30, 30, 20), 40, np.int16)
    hu[:, 10:20] = -850  # lung, open at two sides
    volume = load_volume(small_patient.write_nifti(tmp_path / "ct.nii", hu, np.diag([4.0, 4, 5, 1])))
    assert not np.isin(volume.tissue, (T.BACKGROUND, T.SKIN)).any()
    assert any(
        warning.startswith("the CT ends inside the body at its left (100 %), right (100 %), back (100 %)")
        for warning in volume.warnings
    )


def test_where_a_ct_cuts_the_body(small_patient: Any) -> None:
    """The affine's x and y run to the left and to the back."""
    body = np.zeros(small_patient.shape, bool)
    body[:10, 5:10, :10] = True
    found = cut_faces(body, small_patient.ct_from_voxel)
    assert found == {"right": pytest.approx(5 * 10 / (32 * 20)), "feet": pytest.approx(10 * 5 / (40 * 32))}


def test_what_is_beyond_the_ct_is_unknown() -> None:
    affine = np.array([[-2.0, 0, 0, 10], [0, 2, 0, -6], [0, 0, 3, 5], [0, 0, 0, 1]])
    points = np.array([[10.0, -6, 5], [10.1, -6, 5], [0, 0, 14], [0, 0, 14.1], [0, 0, 8]])
    ct_from_probe = np.stack([np.eye(4), np.eye(4)])
    ct_from_probe[1, 0, 3] = -0.2  # mm: the second point comes in, those at x = 0, on the last voxel, go out
    poses = np.linalg.inv(affine) @ ct_from_probe
    each = [unknown_fraction((6, 5, 4), poses[:1], point[None])[0] for point in points]
    assert each == [0, 1, 0, 1, 0]
    assert unknown_fraction((6, 5, 4), poses, points) == pytest.approx([0.4, 0.6])
    assert unknown_fraction((6, 5, 4), poses, points[:0]) == pytest.approx([0, 0])
    assert unknown_fraction((6, 5, 4), poses[:1] * np.nan, points) == pytest.approx([1])


def test_tiny_voxels_take_no_longer(tmp_path: Path, small_patient: Any) -> None:
    """0.1 mm: the skin of 2 mm is 20 voxels thick; CPU time, as clocks on the wall say little on a busy machine."""
    hu = np.full((180, 180, 60), -1000, np.int16)
    hu[30:150, 30:150] = 40
    path = small_patient.write_nifti(tmp_path / "mouse.nii", hu, np.diag([0.1, 0.1, 0.1, 1]))
    start = time.process_time()
    volume = load_volume(path)
    assert time.process_time() - start < 5
    skin = np.flatnonzero(volume.tissue[90, :, 30] == T.SKIN)
    assert skin[0] == 30
    assert skin[-1] == 149
    assert len(skin) == pytest.approx(2 * 20, abs=4)


def test_growing_far_is_growing_in_blocks() -> None:
    """A ball of 20 voxels' radius, to half a block of 3 voxels."""
    mask = np.zeros((60, 60, 60), bool)
    mask[27:33, 27:33, 27:33] = True
    grown = grow(mask, np.diag([0.1, 0.1, 0.1, 1]), 2.0)
    beyond = np.maximum(np.abs(np.argwhere(grown) - 29.5) - 2.5, 0)
    assert 18 < np.linalg.norm(beyond, axis=1).max() <= 22


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    noise = np.random.default_rng(0).integers(-999, 999, (20, 20, 20)).astype(np.int16)
    path = tmp_path_factory.mktemp("gz") / "ct.nii.gz"
    nibabel.save(nibabel.Nifti1Image(noise, np.eye(4)), path)
    return path.read_bytes()


@pytest.mark.parametrize("seed", range(30))
def test_a_flipped_bit_never_gives_other_voxels(tmp_path: Path, packed: bytes, seed: int) -> None:
    """30 flips of a bit: refused, or the same voxels (a flip in the packer's own header, which holds name and time)."""
    rng = np.random.default_rng(seed)
    damaged = bytearray(packed)
    damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(damaged)
    whole = tmp_path / "whole.nii"
    whole.write_bytes(gzip.decompress(packed))
    try:
        found = read_nifti(path).voxels
    except PatientError:
        return
    np.testing.assert_array_equal(found, read_nifti(whole).voxels)


def test_a_missing_trailer_is_refused(tmp_path: Path, packed: bytes) -> None:
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(packed[:-8])
    with pytest.raises(PatientError, match=r"ct.nii.gz: is truncated or damaged .*; copy or export it again"):
        read_nifti(path)


def test_two_places_in_one_header_are_told(tmp_path: Path) -> None:
    moved = np.eye(4)
    moved[0, 3] = 30
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4))
    image.set_qform(moved, code=1)
    image.set_sform(np.eye(4), code=1)
    nibabel.save(image, tmp_path / "ct.nii")
    (warning,) = read_nifti(tmp_path / "ct.nii").warnings
    assert warning.startswith("ct.nii: sform and qform of its header lie up to 30 mm apart; the sform is taken")

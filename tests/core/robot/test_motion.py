"""Motions lie on the skin of a made body, are closed and the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from us_sim.core.contact.contact import contact
from us_sim.core.errors import ConfigError
from us_sim.core.geometry.probe import PRESETS
from us_sim.core.geometry.transforms import apply, check_pose
from us_sim.core.patient.patient import Patient, load_patient
from us_sim.core.patient.surface import skin_of
from us_sim.core.patient.volume import CtVolume
from us_sim.core.robot.motion import MOTIONS, TILT, acoustic_window, motion
from us_sim.core.tissue import TissueClass

RADIUS, LENGTH = 150.0, 240.0
LIVER = np.array([60.0, 30.0, 10.0])
PROBE = PRESETS["c5_2"]


def cylinder(liver: bool = True, ribs: bool = False) -> Patient:
    """A round body of 3 mm voxels around the z axis of `ct`, with a ball of liver on the right."""
    ct_from_voxel = np.diag([3.0, 3.0, 3.0, 1.0])
    ct_from_voxel[:3, 3] = -165, -165, -LENGTH / 2
    voxels = np.stack(np.meshgrid(np.arange(111), np.arange(111), np.arange(81), indexing="ij"), axis=-1)
    points = apply(ct_from_voxel, voxels)
    r = np.hypot(points[..., 0], points[..., 1])
    tissue = np.where(r <= RADIUS, TissueClass.SOFT, TissueClass.BACKGROUND).astype(np.uint8)
    if liver:
        tissue[np.linalg.norm(points - LIVER, axis=-1) < 45] = TissueClass.LIVER
    if ribs:  # over the front, from the middle to 50° right
        around = np.degrees(np.arctan2(points[..., 0], points[..., 1]))
        tissue[(r > 130) & (r < 140) & (around > -30) & (around < 50)] = TissueClass.BONE
    hu = np.rint(1000 * np.clip((RADIUS - r) / 3 + 0.5, 0, 1) - 1000).astype(np.int16)
    volume = CtVolume(hu, tissue, ct_from_voxel, "cylinder", "0" * 64)
    return Patient(volume, skin_of(volume))


@pytest.fixture(scope="module")
def body() -> Patient:
    return cylinder()


def assert_on_skin(patient: Patient, poses: NDArray[np.float64]) -> None:
    check_pose(poses)
    for pose in poses:
        touch = contact(patient.skin, PROBE, pose)
        assert touch.in_contact
        assert 7 < touch.penetration < 10
        assert touch.coupling > 0.6


@pytest.mark.parametrize("name", MOTIONS)
def test_every_pose_lies_on_the_skin_and_the_loop_is_smooth(body: Patient, name: str) -> None:
    poses = motion(name, body, 48)
    assert poses.shape == (48, 4, 4)
    assert poses.dtype == np.float64
    assert_on_skin(body, poses)
    closed = np.concatenate([poses, poses[:1]])
    assert np.linalg.norm(np.diff(closed[:, :3, 3], axis=0), axis=-1).max() < 6  # mm
    turns = np.einsum("nji,njk->nik", closed[:-1, :3, :3], closed[1:, :3, :3])
    assert np.degrees(np.arccos((np.trace(turns, axis1=1, axis2=2).min() - 1) / 2)) < 9
    np.testing.assert_array_equal(motion(name, body, 48), poses)
    np.testing.assert_allclose(motion(name, body, 24), poses[::2], atol=1e-9)  # same path, other pace


def test_sweep_is_normal_to_the_skin_and_points_at_the_liver(body: Patient) -> None:
    for pose in motion("liver_sweep", body, 24):
        face = pose[:3, 3]
        outward = np.array([face[0], face[1], 0]) / np.hypot(face[0], face[1])
        assert np.hypot(face[0], face[1]) == pytest.approx(RADIUS - 8, abs=0.6)
        assert pose[:3, 2] @ outward < -0.995  # the beam runs against the cylinder's normal
        assert abs(pose[2, 0]) < 0.05  # transverse: image columns stay in the axial plane
        in_probe = np.linalg.inv(pose) @ [*LIVER, 1]
        assert abs(np.arctan2(in_probe[0], in_probe[2] + PROBE.apex)) < PROBE.field_of_view / 2
        assert abs(in_probe[1]) < 45


def test_image_left_is_the_right_of_the_patient(body: Patient) -> None:
    pose = motion("liver_sweep", body, 4)[0]
    in_front = pose[:3, 3] @ [0, 1, 0] > 0
    assert in_front
    assert pose[0, 0] < 0  # columns run towards the patient's left


def test_fan_tilts_out_of_its_plane_about_its_face(body: Patient) -> None:
    poses = motion("fan_tilt", body, 40)
    np.testing.assert_allclose(poses[:, :3, 3], poses[:1, :3, 3].repeat(40, 0), atol=1e-9)
    np.testing.assert_allclose(poses[:, :3, 0], poses[:1, :3, 0].repeat(40, 0), atol=1e-9)
    np.testing.assert_allclose(poses[10, :3, 2] @ poses[0, :3, 2], np.cos(TILT))
    np.testing.assert_allclose(poses[30, :3, 2] @ poses[10, :3, 2], np.cos(2 * TILT))


def test_rotation_turns_once_about_the_beam(body: Patient) -> None:
    poses = motion("rotation", body, 36)
    np.testing.assert_allclose(poses[:, :3, 2:], poses[:1, :3, 2:].repeat(36, 0), atol=1e-9)
    np.testing.assert_allclose(poses[9, :3, 0], poses[0, :3, 1], atol=1e-9)  # a quarter: x comes to y
    np.testing.assert_allclose(poses[18, :3, 0], -poses[0, :3, 0], atol=1e-9)


def test_window_avoids_ribs(body: Patient) -> None:
    assert acoustic_window(cylinder(ribs=True)).around > np.radians(60)
    assert acoustic_window(body).around < np.radians(90)


def test_body_without_a_liver_is_swept_on_the_right(body: Patient) -> None:
    poses = motion("liver_sweep", cylinder(liver=False), 12)
    assert_on_skin(cylinder(liver=False), poses)
    assert poses[:, 0, 3].mean() > 0
    assert poses[:, 2, 3].mean() > -30


def test_real_ct_and_thin_slab(shared_data: Path) -> None:
    abdomen = shared_data / "ct_abdomen"
    slab = shared_data / "ct_slab"
    for patient in (
        load_patient(abdomen / "ct.nii.gz", abdomen / "labels.nii.gz"),
        load_patient(slab / "dicom", slab / "labels.nii.gz"),
    ):
        low, high = patient.volume.bounds
        poses = motion("liver_sweep", patient, 24)
        assert_on_skin(patient, poses)
        assert (poses[:, 2, 3] > low[2]).all()
        assert (poses[:, 2, 3] < high[2]).all()


def test_unknown_motion_lists_the_known(body: Patient) -> None:
    with pytest.raises(ConfigError, match=r"unknown motion 'waltz'; expected one of liver_sweep, fan_tilt, rotation"):
        motion("waltz", body, 3)


@pytest.mark.parametrize("count", [0, -5])
def test_count_must_be_positive(body: Patient, count: int) -> None:
    with pytest.raises(ConfigError, match=f"count of poses is {count}; expected 1 or more"):
        motion("rotation", body, count)

"""The simulator with tissue deformation and breathing; without contact and breath, nothing changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.core.patients import box_patient, on_the_box

from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.errors import ConfigError, PoseError
from us_sim.core.frame import Frame
from us_sim.core.geometry.probe import PRESETS, ProbeGeometry, ProbeKind
from us_sim.core.geometry.transforms import apply, rigid
from us_sim.core.patient.breathing import Mobility, MobilityOnDevice, inspired, mobility_of, phase_at
from us_sim.core.patient.patient import Patient
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TissueClass

LINEAR = ProbeGeometry(ProbeKind.LINEAR, 60.0, aperture=40.0, width=64, height=64, scan_lines=64, samples=192)


@pytest.fixture(scope="module")
def patient() -> Patient:
    return box_patient()


@pytest.fixture(scope="module")
def rigid_one(patient: Patient) -> Simulator:
    return Simulator(patient, LINEAR, device="cpu")


@pytest.fixture(scope="module")
def soft(rigid_one: Simulator) -> Simulator:
    return rigid_one.replace(mechanics=MechanicsSettings())


def same(one: Frame, other: Frame) -> bool:
    names = ("image", "ct_slice", "labels")
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in names)


# -- giving way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pressed", [-30.0, -3.0, -0.5])
@pytest.mark.parametrize("renderer", ["physics", "ct"])
def test_without_force_frames_are_the_same_to_the_bit(
    rigid_one: Simulator, soft: Simulator, renderer: str, pressed: float
) -> None:
    pose = on_the_box(pressed=pressed)
    frame = soft.render(pose, renderer=renderer)
    assert same(frame, rigid_one.render(pose, renderer=renderer))
    assert not frame.deformed
    assert not soft.indentation(pose).pressed


def test_without_the_wish_nothing_is_deformed(rigid_one: Simulator, soft: Simulator) -> None:
    pose = on_the_box(pressed=10.0)
    off = soft.replace(mechanics=MechanicsSettings(deformation=False))
    assert same(off.render(pose), rigid_one.render(pose))
    assert off.indentation(pose).pressed
    assert not off.render(pose).deformed


@pytest.mark.parametrize("renderer", ["physics", "ct"])
def test_pressed_tissue_is_shown_by_all_outputs(rigid_one: Simulator, soft: Simulator, renderer: str) -> None:
    """At the face lies skin again, where a rigid patient would show what lies 10 mm deep."""
    pose = on_the_box(x=30.0, pressed=8.0)
    frame, stiff = soft.render(pose, renderer=renderer), rigid_one.render(pose, renderer=renderer)
    assert frame.deformed
    assert not stiff.deformed
    for shown, plain in ((frame.image, stiff.image), (frame.ct_slice, stiff.ct_slice), (frame.labels, stiff.labels)):
        assert shown is not None
        assert plain is not None
        assert (shown != plain).mean() > 0.01
    assert frame.labels is not None
    assert stiff.labels is not None
    assert (frame.labels[1, 24:40] == TissueClass.SKIN).all()
    assert (stiff.labels[1, 24:40] == TissueClass.LIVER).all()


def test_labels_and_hu_tell_of_the_same_tissue(soft: Simulator) -> None:
    frame = soft.render(on_the_box(x=-8.0, pressed=6.0))
    assert frame.ct_slice is not None
    assert frame.labels is not None
    bone = frame.labels == TissueClass.BONE
    assert bone.sum() > 50
    assert np.median(frame.ct_slice[bone]) > 500
    assert np.median(frame.ct_slice[frame.labels == TissueClass.LIVER]) < 80


def test_a_batch_mixes_poses_with_and_without_touch(soft: Simulator) -> None:
    poses = np.stack([on_the_box(pressed=8.0), on_the_box(pressed=-1.0), on_the_box(x=9.0, pressed=4.0)])
    batch = soft.render_batch(poses)
    assert [frame.deformed for frame in batch] == [True, False, True]
    for frame, pose in zip(batch, poses, strict=True):
        alone = soft.render(pose)
        np.testing.assert_array_equal(frame.labels, alone.labels)
        np.testing.assert_array_equal(frame.ct_slice, alone.ct_slice)


def test_the_contact_is_that_of_the_undeformed_skin(rigid_one: Simulator, soft: Simulator) -> None:
    pose = on_the_box(pressed=8.0)
    np.testing.assert_array_equal(soft.render(pose).contact.line_distance, rigid_one.render(pose).contact.line_distance)


def test_the_indentation_needs_a_pose(soft: Simulator) -> None:
    with pytest.raises(PoseError, match="holds NaN or Inf"):
        soft.indentation(np.full((4, 4), np.nan))


# -- breathing ----------------------------------------------------------------------------------------------


def test_the_phase_follows_the_time_alone() -> None:
    assert [phase_at(seconds, 4.0) for seconds in (0.0, 1.0, 2.0, 4.0, 9.0)] == [0.0, 0.25, 0.5, 0.0, 0.25]
    assert 0 <= phase_at(1.7e9 + 0.3, 3.7) < 1
    # sin⁴: still at the end of expiration, all at half of the breath, a quarter at a quarter
    np.testing.assert_allclose([inspired(p) for p in (0.0, 0.25, 0.5, 0.75, 1.0)], [0, 0.25, 1, 0.25, 0], atol=1e-9)


def test_skin_and_bone_stay_and_the_depth_between_them_moves(patient: Patient) -> None:
    mobility = patient.mobility
    assert mobility is patient.mobility

    def moved(point: list[float]) -> np.ndarray:
        """mm in ct by which the tissue at a point has come, the whole motion being 10 mm."""
        place = torch.tensor([point], dtype=torch.float32)
        return np.asarray((place - mobility.source(place, np.eye(4), 10.0)).numpy()[0])

    np.testing.assert_allclose(moved([5, -10, -10]), [0, 2.5, -10], atol=1e-4)  # 54 mm under the skin
    np.testing.assert_allclose(moved([25, 60, -10]), 0, atol=1e-4)  # 4 mm under it
    np.testing.assert_allclose(moved([-22, 34, -4]), 0, atol=1e-4)  # in the bone
    np.testing.assert_allclose(moved([500, 0, 0]), 0, atol=1e-4)  # outside
    half = moved([25, 36, -10])
    assert 0 < -half[2] < 10
    assert half[1] == pytest.approx(-0.25 * half[2], abs=1e-4)


def test_the_motion_is_one_of_the_patient_wherever_the_probe_stands(patient: Patient) -> None:
    points = torch.from_numpy(np.random.default_rng(1).uniform(-50, 50, (200, 3)).astype(np.float32))
    angle = 0.7
    turn = np.array([[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]])
    pose = rigid(turn, [3.0, -5.0, 2.0])
    in_ct = torch.from_numpy(apply(pose, points.numpy()).astype(np.float32))
    expected = patient.mobility.source(in_ct, np.eye(4), 12.0).numpy()
    np.testing.assert_allclose(apply(pose, patient.mobility.source(points, pose, 12.0).numpy()), expected, atol=1e-3)


def test_compiled_and_tensors_agree(patient: Patient) -> None:
    mobility: Mobility = patient.mobility
    points, pose = torch.tensor(PRESETS["c5_2"].polar_points), on_the_box()
    poses = torch.from_numpy(np.stack([pose, on_the_box(pressed=9.0)]))
    caudal, each = torch.tensor([12.0, 5.0], dtype=torch.float64), points.expand(2, *points.shape)
    tensors = MobilityOnDevice(mobility, torch.device("cpu")).breathe(poses, caudal, each.reshape(2, -1, 3))
    compiled = mobility.sources(each, poses, caudal)
    torch.testing.assert_close(tensors.reshape(each.shape), compiled, atol=2e-3, rtol=0)
    assert torch.equal(compiled[0], mobility.source(points, pose, 12.0))
    assert not torch.equal(compiled[0], compiled[1])


def test_a_patient_without_bone_breathes(patient: Patient) -> None:
    volume = patient.volume
    soft_tissue = np.where(volume.tissue == TissueClass.BONE, TissueClass.SOFT, volume.tissue).astype(np.uint8)
    mobility = mobility_of(type(volume)(volume.hu, soft_tissue, volume.ct_from_voxel, "soft", ""), patient.skin)
    assert mobility.share.max() == 1


def test_a_still_probe_sees_the_breath(rigid_one: Simulator, soft: Simulator) -> None:
    breathing = soft.replace(mechanics=MechanicsSettings(breathing_amplitude=12.0, breathing_period=4.0))
    pose = on_the_box(x=10.0, pressed=-1.0)
    held, full, again = (breathing.render(pose, times=[seconds]) for seconds in (8.0, 10.0, 14.0))
    assert [held.phase, full.phase, again.phase] == [0.0, 0.5, 0.5]
    assert same(held, rigid_one.render(pose))
    assert same(full, again)
    assert not same(held, full)
    assert same(breathing.render(pose), held)  # no time: the breath is held
    assert not full.deformed
    np.testing.assert_array_equal(full.contact.line_distance, held.contact.line_distance)


def test_breath_and_pressure_add_up(soft: Simulator) -> None:
    breathing = soft.replace(mechanics=MechanicsSettings(breathing_amplitude=12.0))
    pose = on_the_box(x=10.0, pressed=8.0)
    both = breathing.render(pose, times=[2.0])
    assert both.deformed
    assert both.phase == 0.5
    assert not same(both, soft.render(pose))
    assert both.labels is not None
    assert (both.labels[1, 24:40] == TissueClass.SKIN).all()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("breathing_amplitude", -1.0, "0 to 40"), ("breathing_amplitude", math.nan, "0 to 40"),
     ("breathing_period", 0.0, "1 to 20"), ("breathing_period", math.nan, "1 to 20")],
)  # fmt: skip
def test_breaths_out_of_range_are_refused(name: str, value: float, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {value}; expected {expected}"):
        MechanicsSettings(**{name: value})  # type: ignore[arg-type]

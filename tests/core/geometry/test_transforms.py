"""Rigid transforms against SciPy's and against points moved by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from us_sim.core.errors import PoseError
from us_sim.core.geometry.transforms import (
    apply,
    check_pose,
    inverse,
    pose_on_skin,
    quaternion_from_rotation,
    rigid,
    rotation_from_quaternion,
    rotation_from_vector,
    vector_from_rotation,
)

parts = st.floats(-1, 1)
quaternions = st.tuples(parts, parts, parts, parts).filter(lambda q: np.linalg.norm(q) > 1e-3)


def turned(degrees: float, axis: str = "z") -> NDArray[np.float64]:
    return np.asarray(Rotation.from_euler(axis, degrees, degrees=True).as_matrix())


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    a_from_b = rigid([[0, -1, 0], [1, 0, 0], [0, 0, 1]], [10, 20, 30])
    np.testing.assert_array_equal(apply(a_from_b, [1, 0, 0]), [10, 21, 30])
    np.testing.assert_array_equal(apply(a_from_b, [[[0, 2, 0]], [[0, 0, 3]]]), [[[8, 20, 30]], [[10, 20, 33]]])
    np.testing.assert_allclose(apply(inverse(a_from_b), [10, 21, 30]), [1, 0, 0], atol=1e-12)


def test_inverse_of_a_batch_of_affines() -> None:
    affines = np.stack([np.diag([2.0, 4, 5, 1]), rigid(np.diag([-1.0, 1, 1]), [3, 0, 0])])
    np.testing.assert_allclose(inverse(affines) @ affines, np.stack([np.eye(4)] * 2), atol=1e-12)


@given(quaternions, st.floats(0.1, 10))
def test_rotation_of_a_quaternion_of_any_length(q: tuple[float, ...], length: float) -> None:
    scaled = length * np.array(q)
    np.testing.assert_allclose(rotation_from_quaternion(*scaled), Rotation.from_quat(q).as_matrix(), atol=1e-12)


@given(quaternions)
def test_quaternion_of_a_rotation(q: tuple[float, ...]) -> None:
    matrix = Rotation.from_quat(q).as_matrix()
    found = quaternion_from_rotation(matrix)
    assert found[3] >= 0
    assert np.linalg.norm(found) == pytest.approx(1)
    np.testing.assert_allclose(Rotation.from_quat(found).as_matrix(), matrix, atol=1e-9)


@given(st.tuples(parts, parts, parts), st.floats(0, np.pi))
def test_rotation_of_a_vector_is_that_of_scipy_and_leads_back(axis: tuple[float, ...], angle: float) -> None:
    length = np.linalg.norm(axis)
    vector = angle * np.array(axis) / length if length > 1e-3 else np.zeros(3)
    matrix = rotation_from_vector(vector)
    np.testing.assert_allclose(matrix, Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)
    again = vector_from_rotation(matrix)
    np.testing.assert_allclose(np.linalg.norm(again), angle if vector.any() else 0.0, atol=1e-8)
    np.testing.assert_allclose(rotation_from_vector(again), matrix, atol=1e-8)  # half a turn has two axes


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 3.0, np.pi - 1e-5, np.pi - 1e-9])
def test_the_axis_of_a_small_turn_and_of_nearly_half_a_turn(angle: float) -> None:
    vector = angle * np.array([2.0, -3.0, 6.0]) / 7
    np.testing.assert_allclose(vector_from_rotation(rotation_from_vector(vector)), vector, rtol=1e-7, atol=1e-9)


def test_the_rotations_of_many_vectors_are_those_of_each() -> None:
    vectors = np.random.default_rng(1).normal(0, 1.5, (2, 5, 3))
    vectors[0, 0] = 0.0
    expected = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(2, 5, 3, 3)
    np.testing.assert_allclose(rotation_from_vector(vectors), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("axis", np.eye(3))
def test_half_turns_have_no_real_part(axis: NDArray[np.float64]) -> None:
    found = quaternion_from_rotation(2 * np.outer(axis, axis) - np.eye(3))
    np.testing.assert_allclose(np.abs(found), [*axis, 0], atol=1e-12)


@pytest.mark.parametrize("q", [(0, 0, 0, 0), (np.nan, 0, 0, 1), (0, np.inf, 0, 1), (0, 0, -np.inf, 1)])
def test_quaternion_without_direction_is_refused(q: tuple[float, ...]) -> None:
    with pytest.raises(PoseError, match=r"quaternion \(x, y, z, w\) = .*expected a finite one of length 1"):
        rotation_from_quaternion(*q)


def test_check_pose_returns_what_is_rigid() -> None:
    pose = rigid(turned(33), [1e12, -5, 0])
    np.testing.assert_array_equal(check_pose(pose.tolist()), pose)
    batch = np.stack([pose, rigid(turned(-90, "x"), [0, 0, 0])])
    np.testing.assert_array_equal(check_pose(batch), batch)
    assert check_pose(np.zeros((0, 4, 4))).shape == (0, 4, 4)
    nearly = rigid(turned(33) * (1 + 1e-4), [0, 0, 0])  # as a quaternion in float32 gives
    np.testing.assert_array_equal(check_pose(nearly), nearly)


def sheared() -> NDArray[np.float64]:
    return rigid(np.eye(3) + 0.01 * np.eye(3, k=1), [0, 0, 0])


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        (np.eye(3), "has shape (3, 3); expected (..., 4, 4)"),
        (np.zeros(4), "has shape (4,); expected (..., 4, 4)"),
        (np.float64(3), "has shape (); expected (..., 4, 4)"),
        (rigid(np.eye(3), [0, np.nan, 0]), "holds NaN or Inf; expected finite values in mm"),
        (rigid(np.eye(3), [0, 0, -np.inf]), "holds NaN or Inf"),
        (rigid(np.full((3, 3), np.nan), [0, 0, 0]), "holds NaN or Inf"),
        (sheared(), "is not rigid (off by 0.01)"),
        (rigid(2 * np.eye(3), [0, 0, 0]), "is not rigid (off by 3)"),
        (rigid(np.zeros((3, 3)), [0, 0, 0]), "is not rigid (off by 1)"),
        (rigid(np.diag([-1, 1, 1]), [0, 0, 0]), "is mirrored, not rigid; expected a right-handed rotation"),
        (np.diag([1.0, 1, 1, 2]), "the row 0 0 0 1"),
        (np.eye(4) + np.eye(4, k=-3), "the row 0 0 0 1"),
        (rigid(1e200 * np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 1]]), [0, 0, 0]), "is not rigid; expected a rotation"),
        (np.stack([np.eye(4), sheared()]), "is not rigid"),
    ],
)
def test_check_pose_refuses(pose: NDArray[np.float64], message: str) -> None:
    with pytest.raises(PoseError, match=re.escape(message)):
        check_pose(pose)


def test_pose_on_skin_looks_against_the_normal() -> None:
    """On the belly (anterior is +y) with the image's right to the patient's left (−x)."""
    pose = pose_on_skin([5, 90, -3], [0, 2, 0], [-1, 0.7, 0])
    np.testing.assert_allclose(pose[:3, 0], [-1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, 2], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, 1], np.cross([0, -1, 0], [-1, 0, 0]), atol=1e-12)  # y = z × x
    np.testing.assert_array_equal(pose[:3, 3], [5, 90, -3])
    check_pose(pose)


@pytest.mark.parametrize(
    ("outward", "lateral", "message"),
    [
        ([0, 1, 0], [0, -3, 0], "lateral direction runs along the beam; choose one across it"),
        ([0, 1, 0], [0, 0, 0], "lateral direction runs along the beam"),
        ([0, 1, 0], [np.nan, 0, 0], "lateral direction runs along the beam"),
        ([0, 0, 0], [1, 0, 0], "skin normal .* has no direction; choose a point on the skin"),
        ([np.nan, 0, 0], [1, 0, 0], "skin normal .* has no direction"),
    ],
)
def test_pose_on_skin_refuses(outward: list[float], lateral: list[float], message: str) -> None:
    with pytest.raises(PoseError, match=message):
        pose_on_skin([0, 0, 0], outward, lateral)

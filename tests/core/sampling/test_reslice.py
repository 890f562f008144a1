"""Reslice against SciPy in float64, and against single voxels placed by hand."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from tests.core.patients import ANTERIOR, LEFT, affine, rotation, volume_of

from us_sim.core.compute.grids import by_axis, classes_at, placed_by_axis
from us_sim.core.errors import PoseError
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.geometry.transforms import pose_on_skin, rigid
from us_sim.core.patient.volume import CtVolume
from us_sim.core.sampling.reslice import THIN, elevation_beam, nearest_classes, reslice
from us_sim.core.tissue import TissueClass

Random = np.random.Generator
Array = NDArray[np.float64]

# -- against SciPy ---------------------------------------------------------------------------------------


def flipped(rng: Random) -> Array:
    return np.diag(rng.choice([-1.0, 1.0], 3) * rng.uniform(0.4, 3))


def permuted(rng: Random) -> Array:
    return np.eye(3)[rng.permutation(3)] * rng.choice([-1.0, 1.0], 3) * rng.uniform(0.4, 3)


def anisotropic(rng: Random) -> Array:
    return np.diag(rng.uniform(0.3, 6, 3))


def oblique(rng: Random) -> Array:
    return rotation(rng) @ anisotropic(rng)


def sheared(rng: Random) -> Array:
    """A tilted gantry: slices shifted against one another."""
    return oblique(rng) @ (np.eye(3) + np.triu(rng.uniform(-0.6, 0.6, (3, 3)), k=1))


def random_volume(rng: Random, shape: tuple[int, ...], matrix: Array) -> CtVolume:
    hu, classes = rng.integers(-1000, 1001, shape), rng.integers(0, 14, shape)
    return volume_of(hu, classes, affine(matrix, rng.uniform(-200, 200, 3)))


def random_pose(rng: Random, volume: CtVolume) -> Array:
    """Anywhere in the volume or up to a third of it outside."""
    size = np.array(volume.hu.shape) - 1
    middle = volume.ct_from_voxel[:3, :3] @ (rng.uniform(-0.3, 1.3, 3) * size) + volume.ct_from_voxel[:3, 3]
    return rigid(rotation(rng), middle)


def voxels_of(volume: CtVolume, points: NDArray[np.float32], pose: Array) -> Array:
    in_ct = points.astype(np.float64) @ pose[:3, :3].T + pose[:3, 3]
    return np.linalg.solve(volume.ct_from_voxel[:3, :3], (in_ct - volume.ct_from_voxel[:3, 3]).T)


def check_against_scipy(volume: CtVolume, points: NDArray[np.float32], pose: Array) -> None:
    voxels = voxels_of(volume, points, pose)
    hu, tissue = reslice(volume, points, pose)
    expected = map_coordinates(volume.hu.astype(np.float64), voxels, order=1, mode="constant", cval=-1000)
    classes = map_coordinates(volume.tissue, voxels, order=0, mode="constant", cval=0)
    # Where rounding decides between in and out, or between two classes, both answers are right.
    last = np.array(volume.hu.shape)[:, None] - 1
    clear = (np.abs(voxels) > 1e-6).all(axis=0) & (np.abs(voxels - last) > 1e-6).all(axis=0)
    untied = clear & (np.abs(voxels - np.floor(voxels) - 0.5) > 1e-6).all(axis=0)
    assert np.abs(hu - expected)[clear].max(initial=0) < 0.5
    np.testing.assert_array_equal(tissue[untied], classes[untied])


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.integers(2, 14)] * 3),
    st.sampled_from([flipped, permuted, anisotropic, oblique, sheared]),
)
def test_like_scipy_over_random_volumes_affines_and_poses(seed: int, shape: tuple[int, ...], kind: object) -> None:
    rng = np.random.default_rng(seed)
    volume = random_volume(rng, shape, kind(rng))  # type: ignore[operator]
    reach = 0.7 * float((volume.spacing * shape).max())
    points = rng.uniform(-reach, reach, (300, 3)).astype(np.float32)
    check_against_scipy(volume, points, random_pose(rng, volume))


def test_like_scipy_over_a_whole_frame_of_a_larger_volume() -> None:
    rng = np.random.default_rng(3)
    volume = random_volume(rng, (120, 100, 70), sheared(rng))
    probe = ProbeGeometry(ProbeKind.CONVEX, 120.0, radius_of_curvature=50.0, field_of_view=1.0)
    for _ in range(4):
        check_against_scipy(volume, probe.pixel_points.reshape(-1, 3), random_pose(rng, volume))


# -- by hand ---------------------------------------------------------------------------------------------

GRID = {"width": 64, "height": 64, "given_spacing": (1.0, 1.0), "given_first_pixel": (-32.0, -5.5)}


@pytest.mark.parametrize(
    ("probe", "line", "sample"),
    [
        # The voxel lies at x = 12, z = 25.5 mm of the probe.
        # Convex: angle atan(12 / 75.5) = 0.1576 of 1 rad on 192 lines; depth √(12² + 75.5²) − 50 = 26.448 of 100
        # mm on 512 samples.
        (ProbeGeometry(ProbeKind.CONVEX, 100.0, 50.0, 1.0, **GRID), 125.76, 134.91),  # type: ignore[arg-type]
        # Linear: 64 lines at −31.5, −30.5, ... mm; samples at 0.5, 1.5, ... mm.
        (ProbeGeometry(ProbeKind.LINEAR, 80.0, aperture=64.0, scan_lines=64, samples=80, **GRID), 43.5, 25),  # type: ignore[arg-type]
        # Phased: 10 mm behind the face, angle atan(12 / 35.5) = 0.3260 of π/2; √(12² + 35.5²) = 37.473 less the
        # 10 / cos = 10.556 behind the face, of 90 mm.
        (ProbeGeometry(ProbeKind.PHASED, 90.0, 0.0, math.pi / 2, 20.0, **GRID), 135.35, 152.63),  # type: ignore[arg-type]
    ],
)
def test_a_voxel_appears_at_the_pixel_and_on_the_scan_line_computed_by_hand(
    probe: ProbeGeometry, line: float, sample: float
) -> None:
    """The probe stands on the belly at (30, 71, 10): +x of the image is −x of ct, depth is −y."""
    hu, tissue = np.full((60, 80, 20), -1000), np.zeros((60, 80, 20))
    hu[18, 45, 10], tissue[18, 45, 10] = 1000, TissueClass.LIVER
    volume = volume_of(hu, tissue)
    pose = pose_on_skin([30, 70.5, 10], ANTERIOR, LEFT)  # x: 30 − 12 = 18, y: 70.5 − 25.5 = 45
    image, labels = reslice(volume, probe.pixel_points, pose)
    # Row 25.5 + 5.5, column 12 + 32: on the image's right, below the face.
    np.testing.assert_array_equal(np.argwhere(labels), [[31, 44]])
    np.testing.assert_array_equal(np.argwhere(image > -999), [[31, 44]])
    assert image[31, 44] == 1000
    assert labels[31, 44] == TissueClass.LIVER
    polar, _ = reslice(volume, probe.polar_points, pose)
    weight = polar + 1000  # the voxel's light, spread over the grid's cells
    found = [np.average(index, weights=weight) for index in np.indices(polar.shape)]
    assert found == pytest.approx([line, sample], abs=0.25)


def test_the_elevation_is_the_probes_y() -> None:
    hu = np.full((3, 3, 9), -1000)
    hu[1, 1, 6] = 500
    pose = pose_on_skin([1, 1, 4], ANTERIOR, LEFT)  # y = z × x = (0, −1, 0) × (−1, 0, 0) = −z of ct
    values, _ = reslice(volume_of(hu), np.array([[0, -2, 0], [0, 2, 0]], np.float32), pose)
    np.testing.assert_array_equal(values, [500, -1000])


def test_outside_the_box_of_voxel_centres_there_is_air() -> None:
    volume = volume_of(np.full((4, 5, 6), 70))
    on_border = np.array([[0, 0, 0], [3, 4, 5], [3, 0, 5], [1.5, 2, 2.5]], np.float32)
    hu, tissue = reslice(volume, on_border, np.eye(4))
    np.testing.assert_array_equal(hu, 70)
    np.testing.assert_array_equal(tissue, TissueClass.SOFT)
    beyond = np.array([[-1e-3, 0, 0], [3.001, 4, 5], [3, 4.001, 5], [1.5, 2, 5.001], [0, -0.4, 0]], np.float32)
    hu, tissue = reslice(volume, beyond, np.eye(4))
    np.testing.assert_array_equal(hu, -1000)
    np.testing.assert_array_equal(tissue, 0)


@pytest.mark.parametrize("far", [1e5, 1e12, -1e20, 1e300, 1.7e308])
def test_huge_finite_poses_give_air(far: float) -> None:
    rng = np.random.default_rng(1)
    volume = random_volume(rng, (8, 9, 7), 0.3 * rotation(rng))
    points = rng.uniform(-50, 50, (500, 3)).astype(np.float32)
    for shift in ([far, 0, 0], [far, far, far], [0, -far, far]):
        with np.errstate(over="ignore", invalid="ignore"):
            hu, tissue = reslice(volume, points, rigid(rotation(rng), shift), elevation_beam(3.0, 3))
        np.testing.assert_allclose(hu, -1000, atol=1e-3)
        np.testing.assert_array_equal(tissue, 0)


# -- batches, thick beams, cost --------------------------------------------------------------------------


def test_a_batch_equals_its_single_poses() -> None:
    rng = np.random.default_rng(4)
    volume = random_volume(rng, (12, 11, 10), oblique(rng))
    poses = np.stack([random_pose(rng, volume) for _ in range(5)])
    points = rng.uniform(-10, 10, (6, 7, 3)).astype(np.float32)
    for beam in (THIN, elevation_beam(4.0, 5)):
        hu, tissue = reslice(volume, points, poses, beam)
        assert hu.shape == tissue.shape == (5, 6, 7)
        assert (hu.dtype, tissue.dtype) == (np.float32, np.uint8)
        for index, pose in enumerate(poses):
            one_hu, one_tissue = reslice(volume, points, pose, beam)
            np.testing.assert_array_equal(one_hu, hu[index])
            np.testing.assert_array_equal(one_tissue, tissue[index])
    assert reslice(volume, points, poses[:0])[0].shape == (0, 6, 7)


def test_a_thick_beam_is_the_weighted_mean_of_shifted_thin_planes() -> None:
    rng = np.random.default_rng(6)
    volume = random_volume(rng, (20, 18, 16), sheared(rng))
    points = rng.uniform(-15, 15, (400, 3)).astype(np.float32)
    pose = random_pose(rng, volume)
    offsets, weights = beam = elevation_beam(3.0, 7)
    planes = [reslice(volume, points, pose @ rigid(np.eye(3), [0, offset, 0]))[0] for offset in offsets]
    hu, tissue = reslice(volume, points, pose, beam)
    np.testing.assert_allclose(hu, np.average(planes, axis=0, weights=weights), atol=0.01)
    np.testing.assert_array_equal(tissue, reslice(volume, points, pose)[1])  # classes of the central plane


def test_elevation_beam() -> None:
    assert elevation_beam(5.0, 1) is THIN
    offsets, weights = elevation_beam(6.0, 3)
    np.testing.assert_allclose(offsets, [-4, 0, 4])  # middles of three thirds of ±6 mm
    # cos² of 60°, 0°, 60°: 1/4, 1, 1/4.
    np.testing.assert_allclose(weights, [1 / 6, 4 / 6, 1 / 6], rtol=1e-6)
    offsets, weights = elevation_beam(6.0, 21)
    assert weights.sum() == pytest.approx(1)
    half = np.interp(3.0, offsets, weights) / weights.max()  # the thickness is the full width at half maximum
    assert half == pytest.approx(0.5, abs=0.02)
    offsets, weights = elevation_beam(0.0, 3)
    np.testing.assert_array_equal(offsets, 0)
    np.testing.assert_allclose(weights, 1 / 3, rtol=1e-6)


def test_a_frame_copies_nothing_of_the_volume() -> None:
    volume = volume_of(np.zeros((200, 200, 100)))  # 8 MB of HU
    probe = ProbeGeometry(ProbeKind.LINEAR, 50.0, aperture=40.0, width=64, height=64)
    points = placed_by_axis(probe.pixel_points)
    reslice(volume, points, np.eye(4))
    tracemalloc.start()
    reslice(volume, points, np.eye(4))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 64 * 5 + 60_000  # float32 and uint8 of the frame, and what threads note of a block of points


def test_classes_alone_are_those_of_each_place_wherever_it_lies() -> None:
    tissue = np.random.default_rng(0).integers(0, 14, (7, 5, 6)).astype(np.uint8)
    points = np.random.default_rng(1).uniform(-3, 9, (40, 30, 3)).astype(np.float32)
    points[0, :7, 0] = [np.nan, np.inf, -np.inf, 1e30, 6.0, 6.0001, -1e-6]
    found = nearest_classes(volume_of(np.zeros(tissue.shape), tissue), points, np.eye(4))
    np.testing.assert_array_equal(found, classes_at(tissue, points.astype(np.float64)))


def test_points_that_lie_by_axis_are_not_copied() -> None:
    points = np.random.default_rng(0).random((2, 4, 5, 3), np.float32)
    laid = np.stack([placed_by_axis(one) for one in points])
    np.testing.assert_array_equal(laid, points)
    np.testing.assert_array_equal(by_axis(laid, of_each=True), points.reshape(2, -1, 3).transpose(0, 2, 1))
    one = placed_by_axis(points[0])
    assert np.shares_memory(by_axis(one), one)


# -- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        (rigid(np.eye(3), [np.nan, 0, 0]), "NaN or Inf"),
        (rigid(np.eye(3), [0, np.inf, 0]), "NaN or Inf"),
        (rigid(1.5 * np.eye(3), [0, 0, 0]), "not rigid"),
        (rigid(np.diag([1, 1, -1]), [0, 0, 0]), "mirrored"),
        (np.eye(3), r"shape \(3, 3\)"),
    ],
)
def test_poses_that_are_refused(pose: Array, message: str) -> None:
    volume, points = volume_of(np.zeros((4, 4, 4))), np.zeros((2, 3), np.float32)
    with pytest.raises(PoseError, match=message):
        reslice(volume, points, pose)
    if pose.shape == (4, 4):
        with pytest.raises(PoseError, match=message):
            reslice(volume, points, np.stack([np.eye(4), pose]))

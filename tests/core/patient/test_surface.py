"""Skin and meshes against spheres, boxes and planes whose distance is known."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from us_sim.core.errors import PatientError
from us_sim.core.patient import surface
from us_sim.core.patient.loading import load_volume
from us_sim.core.patient.surface import (
    MARGIN,
    ORGAN_FACES,
    SKIN_FACES,
    Skin,
    alignment_error,
    organ_meshes,
    skin_mesh,
    skin_of,
)
from us_sim.core.patient.volume import CtVolume
from us_sim.core.tissue import TissueClass

RADIUS = 60.0
CENTER = np.array([12.3, -40.7, 105.1])


def oblique(spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Turned by 0.4 rad about x, then 0.3 about z, and sheared; negative spacings flip."""
    (cx, sx), (cz, sz) = [(np.cos(a), np.sin(a)) for a in (0.4, 0.3)]
    turn = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[1, 0.1, 0], [0, 1, 0], [0, 0, 1]]) @ np.diag(spacing)
    return affine


def centred(ct_from_voxel: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Move an affine so that the middle of the volume lies at CENTER, off the voxel grid."""
    moved = ct_from_voxel.copy()
    moved[:3, 3] = CENTER - moved[:3, :3] @ ((np.array(shape) - 1) / 2 + [0.21, -0.13, 0.34])
    return moved


def voxel_centres(shape: tuple[int, ...], ct_from_voxel: NDArray[np.float64]) -> NDArray[np.float64]:
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return voxels @ ct_from_voxel[:3, :3].T + ct_from_voxel[:3, 3]


def filled(inside: NDArray[np.float64], ct_from_voxel: NDArray[np.float64]) -> CtVolume:
    """A body where `inside`, 0 to 1, is at least half; border voxels are partial volumes."""
    tissue = np.where(inside >= 0.5, TissueClass.SOFT, TissueClass.BACKGROUND).astype(np.uint8)
    hu = np.rint(1000 * inside - 1000).astype(np.int16)
    return CtVolume(hu, tissue, ct_from_voxel, "made by hand", "0" * 64)


def ball(ct_from_voxel: NDArray[np.float64], shape: tuple[int, int, int], radius: float = RADIUS) -> CtVolume:
    affine = centred(ct_from_voxel, shape)
    ray = voxel_centres(shape, affine) - CENTER
    length = np.linalg.norm(ray, axis=-1)
    width = np.linalg.norm(ray @ affine[:3, :3], axis=-1) / np.maximum(length, 1)  # of a voxel along the ray
    return filled(np.clip(0.5 - (length - radius) / np.maximum(width, 0.1), 0, 1), affine)


def directions(count: int = 2000) -> NDArray[np.float64]:
    rays = np.random.default_rng(1).normal(size=(count, 3))
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def plane_skin(shape: tuple[int, int, int] = (20, 30, 40), spacing: float = 2.0) -> Skin:
    """Body below z = 10 mm; the grid begins at (−5, −6, −7) mm."""
    ct_from_grid = np.diag([spacing] * 3 + [1.0])
    ct_from_grid[:3, 3] = [-5, -6, -7]
    z = -7 + spacing * np.arange(shape[2]) - 10
    return Skin(np.broadcast_to(z, shape).astype(np.float32).copy(), ct_from_grid)


@pytest.mark.parametrize(
    ("ct_from_voxel", "shape", "tolerance"),
    [
        (np.diag([3.0, 3.0, 3.0, 1]), (50, 50, 50), 0.4),
        (np.diag([-0.9, -0.9, 1.0, 1]), (150, 150, 150), 0.3),
        (np.diag([1.0, 1.0, 5.0, 1]), (140, 140, 30), 0.6),
        (oblique((2.0, 2.0, 3.0)), (76, 76, 50), 0.4),
        (oblique((2.0, -2.0, 3.0))[:, [2, 0, 1, 3]], (50, 76, 76), 0.4),
    ],
    ids=["3 mm", "flipped twice, fine", "thick slices", "oblique and sheared", "oblique, flipped, permuted"],
)
def test_distance_of_a_ball_is_the_closed_form(
    ct_from_voxel: NDArray[np.float64], shape: tuple[int, int, int], tolerance: float
) -> None:
    skin = skin_of(ball(ct_from_voxel, shape))
    rays = directions()
    for depth in (-30, -10, -4, 0, 4, 10, 28):
        error = skin.distance_at(CENTER + rays * (RADIUS + depth)) - depth
        assert np.abs(error).max() < tolerance + 0.03 * abs(depth)  # 0.3 voxel; farther out first order
    cosine = (skin.normal_at(CENTER + rays * RADIUS) * rays).sum(axis=-1)
    assert np.degrees(np.arccos(cosine.min())) < 20 * tolerance


def test_faces_of_a_box_lie_between_the_voxels() -> None:
    inside = np.zeros((60, 50, 40))
    inside[10:50, 12:38, 8:30] = 1
    affine = np.diag([2.5, 2.5, 2.5, 1.0])
    skin = skin_of(filled(inside, affine))
    low, high = 2.5 * (np.array([10, 12, 8]) - 0.5), 2.5 * (np.array([50, 38, 30]) - 0.5)
    middle = (low + high) / 2
    for axis in range(3):
        for face, outward in ((low, -1.0), (high, 1.0)):
            normal = outward * np.eye(3)[axis]
            foot = np.where(np.arange(3) == axis, face, middle)
            for depth in (-20.0, -5.0, -1.0, 0.0, 1.0, 5.0, 20.0):
                assert skin.distance_at(foot + depth * normal) == pytest.approx(depth, abs=0.3)
            np.testing.assert_allclose(skin.normal_at(foot), normal, atol=0.02)


def test_grid_is_isotropic_axis_aligned_and_keeps_its_margin() -> None:
    skin = skin_of(ball(np.diag([3.0, 3.0, 3.0, 1]), (50, 50, 50)))
    assert skin.distance.dtype == np.float32
    assert skin.distance.flags.c_contiguous
    np.testing.assert_array_equal(skin.ct_from_grid[:3, :3], 2.0 * np.eye(3))
    last = skin.ct_from_grid[:3, 3] + 2.0 * (np.array(skin.distance.shape) - 1)
    assert (skin.ct_from_grid[:3, 3] <= CENTER - RADIUS - MARGIN + 3).all()
    assert (last >= CENTER + RADIUS + MARGIN - 3).all()


def test_gas_and_lung_inside_belong_to_the_body() -> None:
    solid = ball(np.diag([3.0, 3.0, 3.0, 1]), (50, 50, 50))
    hu, tissue = solid.hu.copy(), solid.tissue.copy()
    hu[20:30, 20:30, 20:30], tissue[20:30, 20:30, 20:30] = -1000, TissueClass.GAS
    hollow = CtVolume(hu, tissue, solid.ct_from_voxel, "with gas", "0" * 64)
    np.testing.assert_array_equal(skin_of(hollow).distance, skin_of(solid).distance)


def test_where_the_ct_ends_the_body_ends() -> None:
    block = filled(np.ones((40, 40, 20)), np.diag([3.0, 3.0, 3.0, 1]))
    skin = skin_of(block)  # from −1.5 to 118.5 mm in x and y, to 58.5 mm in z
    assert skin.distance_at([58.5, 58.5, 58.5]) == pytest.approx(0, abs=0.3)
    assert skin.distance_at([58.5, 58.5, 48.5]) == pytest.approx(-10, abs=0.3)
    assert skin_mesh(skin).is_watertight


def test_volume_without_a_body_is_refused() -> None:
    empty = filled(np.zeros((8, 8, 8)), np.eye(4))
    with pytest.raises(PatientError, match="made by hand: no voxel belongs to the body"):
        skin_of(empty)


def test_huge_voxels_do_not_make_a_huge_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "MAX_NODES", 100_000)
    skin = skin_of(filled(np.ones((20, 20, 20)), np.diag([200.0, 200.0, 200.0, 1])))
    assert skin.distance.size < 120_000
    assert skin.distance_at([3900.0, 2000, 2000]) == pytest.approx(0, abs=0.3 * 200)


def test_distance_is_trilinear_and_outside_the_grid_the_way_is_added() -> None:
    skin = plane_skin()  # x to 33, y to 52, z to 71 mm
    assert skin.distance_at([0.3, 1.7, 23.4]) == pytest.approx(13.4)
    assert skin.distance_at([0.3, 1.7, 71 + 5]) == pytest.approx(61 + 5)
    assert skin.distance_at([33 + 30, 52 + 40, 10]) == pytest.approx(0 + 50)
    assert skin.distance_at([33, 52, 71]) == pytest.approx(61)
    assert skin.distance_at(np.zeros((2, 5, 3))).shape == (2, 5)
    np.testing.assert_allclose(skin.normal_at([[3.0, 3.0, 3.0]]), [[0, 0, 1]])


def test_odd_points_never_read_beyond_the_grid() -> None:
    skin = plane_skin()
    assert np.isnan(skin.distance_at([np.nan, 0, 0]))
    assert np.isnan(skin.normal_at([np.nan, 0, 0])).all()
    assert skin.distance_at([1e12, 0, 0]) == pytest.approx(1e12)
    assert skin.distance_at([-np.inf, 0, 0]) == np.inf


def test_normal_is_zero_where_there_is_none() -> None:
    flat = Skin(np.zeros((5, 5, 5), np.float32), np.eye(4))
    np.testing.assert_array_equal(flat.normal_at([2.0, 2.0, 2.0]), 0)


@pytest.mark.alone
def test_sampling_a_probe_is_fast() -> None:
    skin, points = plane_skin(), np.random.default_rng(0).uniform(0, 30, (192, 3))
    skin.distance_at(points)
    spent = []
    for _ in range(200):
        start = time.perf_counter()
        skin.distance_at(points)
        spent.append(time.perf_counter() - start)
    assert min(spent) < 1e-4


def test_skin_mesh_is_closed_small_and_true_to_size() -> None:
    mesh = skin_mesh(skin_of(ball(oblique((2.0, -2.0, 3.0)), (76, 76, 50))))
    assert mesh.is_watertight
    assert len(mesh.faces) < SKIN_FACES
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.02)  # positive: normals point out
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices - CENTER, axis=-1), RADIUS, atol=0.9)


def test_skin_mesh_of_a_large_body_stays_under_its_faces() -> None:
    skin = skin_of(ball(np.diag([4.0, 4.0, 4.0, 1]), (85, 85, 85), radius=150))
    mesh = skin_mesh(skin)
    assert 10_000 < len(mesh.faces) < SKIN_FACES
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 150**3, rel=0.01)


def test_skin_mesh_keeps_the_largest_body() -> None:
    inside = np.zeros((60, 30, 30))
    inside[5:35, 5:25, 5:25] = 1
    inside[48:54, 10:16, 10:16] = 1
    mesh = skin_mesh(skin_of(filled(inside, np.diag([3.0, 3.0, 3.0, 1]))))
    assert mesh.bounds[1, 0] == pytest.approx(34.5 * 3, abs=1)


def test_skin_mesh_needs_a_body() -> None:
    with pytest.raises(PatientError, match="nowhere negative"):
        skin_mesh(Skin(np.ones((5, 5, 5), np.float32), np.eye(4)))


def with_organs() -> CtVolume:
    """A ball with a liver of radius 30 mm and a vessel of 4.5×4.5 mm, mirrored and permuted."""
    volume = ball(oblique((1.5, -1.5, 1.5))[:, [1, 0, 2, 3]], (100, 100, 100))
    centres = voxel_centres(volume.hu.shape, volume.ct_from_voxel)
    volume.tissue[np.linalg.norm(centres - CENTER - [15, 0, 0], axis=-1) < 30] = TissueClass.LIVER
    volume.tissue[20:60, 20:23, 48:51] = TissueClass.VESSEL
    return volume


def test_organ_meshes_keep_place_and_volume() -> None:
    volume = with_organs()
    meshes = organ_meshes(volume)
    assert set(meshes) == {TissueClass.LIVER, TissueClass.VESSEL}
    liver, vessel = meshes[TissueClass.LIVER], meshes[TissueClass.VESSEL]
    np.testing.assert_allclose(liver.center_mass, CENTER + np.array([15, 0, 0]), atol=0.5)
    assert liver.is_watertight
    assert liver.volume == pytest.approx(4 / 3 * np.pi * 30**3, rel=0.05)
    assert tuple(liver.visual.face_colors[0]) == (100, 0, 100, 255)
    assert vessel.volume == pytest.approx(40 * 3 * 3 * 1.5**3, rel=0.35)  # thin, and still there
    assert all(len(mesh.faces) < ORGAN_FACES for mesh in meshes.values())


def test_rugged_organ_stays_under_its_faces() -> None:
    volume = ball(np.diag([1.5, 1.5, 1.5, 1]), (100, 100, 100))
    noise = np.random.default_rng(0).random(volume.tissue.shape) < 0.2
    volume.tissue[noise & (volume.tissue > 0)] = TissueClass.BONE
    assert 100 < len(organ_meshes(volume)[TissueClass.BONE].faces) < ORGAN_FACES


def test_alignment_error_reports_a_mesh_that_is_off() -> None:
    inside = np.zeros((60, 50, 40))
    inside[10:50, 12:38, 8:30] = 1
    inside[10:20, 38:46, 8:20] = 1  # no plane of symmetry
    volume = filled(inside, oblique((2.0, -2.0, 3.0)))
    mesh = skin_mesh(skin_of(volume))
    assert alignment_error(mesh, volume) < 2.0
    shifted = mesh.copy()
    shifted.apply_translation([15, 0, 0])
    assert 10 < alignment_error(shifted, volume) < 18
    flipped = mesh.copy()
    flipped.vertices[:, 0] = 2 * mesh.centroid[0] - flipped.vertices[:, 0]
    assert alignment_error(flipped, volume) > 4
    half = mesh.submesh([mesh.triangles_center[:, 0] < mesh.centroid[0]], append=True)
    assert alignment_error(half, volume) > 10  # what the mesh lacks counts as well


def test_real_ct_mesh_agrees_with_its_volume_to_a_voxel(shared_data: Path) -> None:
    folder = shared_data / "ct_abdomen"
    volume = load_volume(folder / "ct.nii.gz", folder / "labels.nii.gz")
    mesh = skin_mesh(skin_of(volume))
    assert mesh.is_watertight
    assert len(mesh.faces) < SKIN_FACES
    assert alignment_error(mesh, volume) < 3.0
    meshes = organ_meshes(volume)
    assert {TissueClass.LIVER, TissueClass.KIDNEY, TissueClass.SPLEEN, TissueClass.BONE} <= set(meshes)
    voxels = np.count_nonzero(volume.tissue == TissueClass.LIVER)
    assert meshes[TissueClass.LIVER].volume == pytest.approx(27 * voxels, rel=0.05)


def test_slab_mesh_agrees_with_its_volume_to_a_slice(shared_data: Path) -> None:
    volume = load_volume(shared_data / "ct_slab" / "dicom", shared_data / "ct_slab" / "labels.nii.gz")
    mesh = skin_mesh(skin_of(volume))
    assert mesh.is_watertight
    assert alignment_error(mesh, volume) < 2.0

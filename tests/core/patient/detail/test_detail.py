"""The detail in phantoms and in a real CT: anatomy by numbers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from us_sim.core.patient.borders import DEEP
from us_sim.core.patient.detail.gut import depth_layers
from us_sim.core.patient.detail.landmarks import confluence, porta
from us_sim.core.patient.detail.liver import liver_trees, paint_liver
from us_sim.core.patient.detail.refine import refined_hu
from us_sim.core.patient.detail.region import Region, solid
from us_sim.core.patient.loading import load_volume
from us_sim.core.patient.phantom.build import phantom
from us_sim.core.patient.volume import CtVolume
from us_sim.core.tissue import TissueClass as T


@cache
def made(seed: int, detail: bool) -> CtVolume:
    return phantom(seed, detail)


@cache
def loaded(folder: Path, detail: bool) -> CtVolume:
    return load_volume(folder / "ct.nii.gz", folder / "labels.nii.gz", detail=detail)


@pytest.fixture
def plain(shared_data: Path) -> CtVolume:
    """The CT of an abdomen as it is."""
    return loaded(shared_data / "ct_abdomen", False)


@pytest.fixture
def fine(shared_data: Path) -> CtVolume:
    """The same with its detail."""
    return loaded(shared_data / "ct_abdomen", True)


def filled_liver(volume: CtVolume) -> NDArray[np.bool_]:
    return ndimage.binary_closing(volume.tissue == T.LIVER, iterations=max(2, round(5 / float(volume.spacing[0]))))


def vessel_share(volume: CtVolume) -> float:
    liver = filled_liver(volume)
    return float((volume.tissue[liver] == T.VESSEL).mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_phantoms_liver_holds_as_many_vessels_as_a_real_one(seed: int) -> None:
    """3 to 8 % of the volume, hepatic and portal vessels that imaging resolves."""
    assert 0.03 < vessel_share(made(seed, True)) < 0.08


def test_detail_stays_inside_the_organs_of_a_phantom() -> None:
    plain, fine = made(0, False), made(0, True)
    changed = plain.tissue != fine.tissue
    assert set(np.unique(plain.tissue[changed])) <= {T.LIVER, T.SPLEEN, T.KIDNEY, T.SOFT}
    assert set(np.unique(fine.tissue[changed])) <= {T.VESSEL, T.FAT, T.MUSCLE, T.FLUID, T.GAS}
    assert fine.echo is not None
    assert not fine.echo[np.isin(fine.tissue, (T.BACKGROUND, T.BONE, T.LUNG, T.SKIN))].any()


def test_the_same_seed_draws_the_same_detail() -> None:
    first, again = made(0, True), phantom(0, True)
    assert first.sha256 == again.sha256 != made(0, False).sha256
    np.testing.assert_array_equal(first.echo, again.echo)


def test_a_volume_tells_whether_it_has_detail() -> None:
    assert made(0, False).echo is None
    assert not made(0, False).detail
    assert made(0, True).detail


def test_kidneys_have_dark_pyramids_under_a_cortex_and_a_bright_sinus() -> None:
    volume = made(0, True)
    assert volume.echo is not None
    kidney = volume.tissue == T.KIDNEY
    depth = ndimage.distance_transform_edt(ndimage.binary_closing(kidney, iterations=6)) * volume.spacing[0]
    cortex = volume.echo[kidney & (depth > 2) & (depth < 4)]
    medulla = volume.echo[kidney & (depth > 9) & (depth < 13)]
    halves, _ = ndimage.label(kidney)
    largest = np.argsort(np.bincount(halves.ravel())[1:])[-2:] + 1
    middles = np.array(ndimage.center_of_mass(kidney, halves, largest))
    fat = np.argwhere(volume.tissue == T.FAT)
    near = np.linalg.norm(fat[:, None] - middles, axis=-1).min(axis=1) * volume.spacing[0] < 14
    sinus = volume.echo[tuple(fat[near].T)]
    assert medulla.mean() < cortex.mean() - 4
    assert sinus.mean() > cortex.mean() + 4
    assert 0.3 < (medulla <= -6).mean() < 0.95  # columns of cortex between them


def test_layers_of_a_wall_follow_one_another() -> None:
    mask = np.zeros((20, 20, 20), bool)
    mask[3:17, 3:17, 3:17] = True
    np.testing.assert_array_equal(depth_layers(mask, 3)[10, 10, :7], [0, 0, 0, 1, 2, 3, 255])


def region_of(hu: NDArray[np.int16], tissue: NDArray[np.uint8], ct_from_voxel: NDArray[np.float64]) -> Region:
    return Region(hu, tissue, np.zeros(hu.shape, np.int8), np.full(hu.shape, DEEP, np.uint8), ct_from_voxel)


@pytest.mark.parametrize("radius", [0.0, 5.0])
def test_no_tree_grows_beside_the_vessels_that_a_ct_shows(radius: float) -> None:
    """A vein of 5 mm radius through a liver is 8 ml: the CT's own vessels stay; without one a tree is grown."""
    x, y, z = np.indices((50, 50, 40)) * 3.0
    tissue = np.full(x.shape, T.FAT, np.uint8)
    tissue[(abs(x - 75) < 60) & (abs(y - 75) < 60) & (abs(z - 60) < 50)] = T.LIVER
    tissue[(np.hypot(x - 75, y - 75) < radius) & (tissue == T.LIVER)] = T.VESSEL
    whole = region_of(np.zeros(x.shape, np.int16), tissue.copy(), np.diag([3.0, 3, 3, 1]))
    paint_liver(whole, np.random.default_rng(0), None)
    assert ((whole.tissue == T.VESSEL) == (tissue == T.VESSEL)).all() == (radius > 0)


def liver_points() -> NDArray[np.float64]:
    """A half ellipsoid, flat below, in mm."""
    points = np.moveaxis(np.indices((70, 60, 50)), 0, -1).reshape(-1, 3) * 3.0 - [105, 90, 20]
    inside = (points**2 / np.array([100.0, 85, 120]) ** 2).sum(axis=1) < 1
    return points[inside & (points[:, 2] > 0)]


def test_landmarks_are_found_in_the_vessels_where_they_are_known() -> None:
    liver = liver_points()
    z = np.arange(-60.0, 120, 3)[:, None]
    beside = np.array([[x, y] for x in (-3, 0, 3) for y in (-3, 0, 3)])
    cava = np.concatenate([np.c_[np.tile([x - 30, y - 75], (len(z), 1)), z] for x, y in beside])
    trunk = np.array([[-20.0 + 2 * n, -10, 20 + n] for n in range(20)])
    vessels = np.vstack([cava, trunk])
    top, gate = confluence(liver, vessels), porta(liver, vessels)
    assert np.linalg.norm(top[:2] - [-30, -75]) < 5
    assert 80 < top[2] < 115
    assert np.linalg.norm(trunk - gate, axis=1).min() < 1e-9


def test_landmarks_are_guessed_from_the_shape_without_vessels() -> None:
    liver = liver_points()
    top, gate = confluence(liver, np.empty((0, 3))), porta(liver, np.empty((0, 3)))
    assert top[2] > 60
    assert top[1] < 0
    assert gate[2] < top[2] - 30


def test_a_real_liver_gets_both_trees_and_keeps_its_volume(plain: CtVolume, fine: CtVolume) -> None:
    assert 0.03 < vessel_share(fine) < 0.08
    voxel = np.prod(plain.spacing), np.prod(fine.spacing)
    kept = filled_liver(fine).sum() * voxel[1] / (filled_liver(plain).sum() * voxel[0])
    assert kept == pytest.approx(1, abs=0.05)


def test_the_trees_are_one_piece_each_and_lie_in_the_liver(plain: CtVolume) -> None:
    whole = region_of(plain.hu, plain.tissue, plain.ct_from_voxel)
    region = whole.of_class(T.LIVER, 12.0)
    assert region is not None
    organ = solid(region, region.tissue == T.LIVER)
    for tree in liver_trees(region, organ, np.random.default_rng(0)):
        assert np.count_nonzero(tree.parent < 0) == 1
        assert organ.inside(tree.points, 0.1).mean() > 0.93  # the rest joins the great vessels outside
        assert 1.0 < tree.radius.min() < 2.0 < 5.0 < tree.radius.max() < 9.0


def test_walls_are_bright_around_portal_branches_alone(fine: CtVolume) -> None:
    """A portal wall of 6 dB at its middle leaves 4 dB and more to the rim of voxels, a vein's 1 dB less than 1."""
    assert fine.echo is not None
    inner = ndimage.binary_erosion(filled_liver(fine), iterations=4)
    parts, count = ndimage.label((fine.tissue == T.VESSEL) & inner)
    rim = ndimage.grey_dilation(parts, size=3) * ((parts == 0) & (fine.tissue == T.LIVER) & inner)
    sizes = np.bincount(rim.ravel(), minlength=count + 1)
    mean = np.bincount(rim.ravel(), fine.echo.ravel(), count + 1)[1:] / np.maximum(sizes[1:], 1)
    seen = sizes[1:] > 60
    assert (mean[seen] > 8).any()  # half dB
    assert (mean[seen] < 2).any()


def test_labels_beyond_the_organs_keep_their_places(plain: CtVolume, fine: CtVolume) -> None:
    at_centres = fine.tissue[::3, ::3, ::3]
    kept = np.isin(plain.tissue, (T.BONE, T.VESSEL, T.FLUID, T.LUNG, T.MUSCLE, T.SKIN, T.BACKGROUND, T.FAT))
    assert (at_centres[kept] == plain.tissue[kept]).mean() > 0.995
    np.testing.assert_array_equal(fine.hu, refined_hu(plain.hu, (3, 3, 3)))


def test_the_memory_of_detail_is_bounded(fine: CtVolume) -> None:
    assert fine.echo is not None
    assert fine.hu.nbytes + fine.tissue.nbytes + fine.echo.nbytes < 400e6
    np.testing.assert_allclose(fine.spacing, 1.0)


def test_another_seed_draws_another_liver(plain: CtVolume) -> None:
    whole = region_of(plain.hu, plain.tissue, plain.ct_from_voxel)
    region = whole.of_class(T.LIVER, 12.0)
    assert region is not None
    organ = solid(region, region.tissue == T.LIVER)
    first, again, other = (liver_trees(region, organ, np.random.default_rng(s))[0].points for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape

"""Interpolation in grids: one rule for the border and for ties, the same for all that samples the patient."""

from __future__ import annotations

import numba
import numpy as np
import torch
from scipy.ndimage import map_coordinates
from tests.core.patients import volume_of

from us_sim.core.compute.grids import clamped, classes_at, inside, trilinear
from us_sim.core.compute.lattice import Lattice
from us_sim.core.contact.deformation import COLUMNS, Displacement
from us_sim.core.contact.indentation import REACH, face_of, indentation
from us_sim.core.geometry.probe import PRESETS
from us_sim.core.geometry.transforms import rigid
from us_sim.core.patient.breathing import mobility_of
from us_sim.core.patient.patient import Patient
from us_sim.core.patient.surface import Skin
from us_sim.core.physics.scan_conversion import cell
from us_sim.core.sampling.reslice import nearest_classes
from us_sim.core.tissue import TissueClass

SHAPE = (5, 4, 6)
EDGES = np.array([[0, 0, 0], [4, 3, 5], [4, 1.5, 2.5], [0.5, 3, 0]], dtype=np.float64)
BEYOND = np.array([[-1e-6, 0, 0], [4.000001, 3, 5], [2, 3.4, 2], [2, 2, -0.4], [np.nan, 1, 1], [2, np.inf, 2]])


@numba.njit
def sample(grid, index):  # type: ignore[no-untyped-def]
    """Value in the box, that of the nearest position beyond, and whether it lies inside."""
    values, held = np.empty((2, len(index))), np.empty(len(index), np.bool_)
    for n in range(len(index)):
        a, b, c = index[n]
        held[n] = inside(grid, a, b, c)
        a, b, c = clamped(grid, a, b, c)
        values[0, n] = trilinear(grid, a, b, c, np.float64)
        values[1, n] = trilinear(grid, a, b, c, np.float32)
    return values, held


def test_trilinear_is_that_of_scipy_up_to_the_faces_and_at_the_nearest_position_beyond() -> None:
    rng = np.random.default_rng(0)
    grid = rng.standard_normal(SHAPE).astype(np.float32)
    index = np.concatenate([rng.uniform(-1, 6, (200, 3)), EDGES])
    (double, single), held = sample(grid, index)
    expected = map_coordinates(grid.astype(np.float64), index.T, order=1, mode="nearest")
    np.testing.assert_allclose(double, expected, atol=1e-12)
    np.testing.assert_allclose(single, expected, atol=1e-5)
    np.testing.assert_array_equal(held, ((index >= 0) & (index <= np.array(SHAPE) - 1)).all(axis=1))


def test_nan_is_outside_and_clamped_to_the_first_sample() -> None:
    grid = np.arange(120, dtype=np.float32).reshape(SHAPE)
    values, held = sample(grid, np.full((1, 3), np.nan))
    assert (values == 0).all()
    assert not held.any()


def test_the_nearest_class_ends_at_the_outermost_centres_and_halves_go_up() -> None:
    classes = np.arange(1, 121, dtype=np.uint8).reshape(SHAPE)
    np.testing.assert_array_equal(classes_at(classes, BEYOND), 0)
    halves = np.array([[0.5, 1.5, 2.5], [1.5, 0.5, 0.5], [3.5, 2.5, 4.5]])
    expected = [classes[1, 2, 3], classes[2, 1, 1], classes[4, 3, 5]]
    np.testing.assert_array_equal(classes_at(classes, halves), expected)
    np.testing.assert_array_equal(classes_at(classes, halves[None]), [expected])


def test_tensors_keep_the_same_rule() -> None:
    lattice, index = Lattice(SHAPE, torch.device("cpu")), torch.from_numpy(np.concatenate([EDGES, BEYOND[:4]])).float()
    np.testing.assert_array_equal(lattice.hold(index[:4]), True)
    grid = torch.arange(120.0)
    place, weights = lattice.corners(lattice.kept(index))
    expected = map_coordinates(grid.numpy().reshape(SHAPE), index.numpy().T, order=1, mode="nearest")
    np.testing.assert_allclose((grid[place] * weights).sum(dim=-1), expected, rtol=1e-5, atol=1e-5)


def bone_at_the_border() -> Patient:
    """Liver in voxels of 4 mm below a skin at y = 0; the outermost layer of voxels, centred at x = 0, is bone."""
    tissue = np.full((11, 11, 11), TissueClass.LIVER, np.uint8)
    tissue[-1] = TissueClass.BONE
    volume = volume_of(np.zeros(tissue.shape, np.int16), tissue, rigid(4 * np.eye(3), (-40.0, -40.0, -20.0)))
    y = np.arange(-50.0, 30.0, 2.0)
    distance = np.broadcast_to(y[None, :, None], (60, len(y), 60)).astype(np.float32)
    return Patient(volume, Skin(np.ascontiguousarray(distance), rigid(2 * np.eye(3), (-60.0, -50.0, -60.0))))


def test_contact_meets_the_voxels_that_the_slice_shows() -> None:
    """Half a voxel beyond the last centres the slice shows air: nothing is felt there either, and no bone stops it."""
    patient = bone_at_the_border()
    face = face_of(PRESETS["l12_5"])
    down = np.stack([[1, 0, 0], [0, 0, 1], [0, -1, 0]], axis=1).astype(np.float64)  # beam along −y
    for x, shows in ((-0.5, TissueClass.BONE), (0.5, TissueClass.BACKGROUND)):
        pose = rigid(down, (x, -3.0, 0.0))
        middle = np.array([[0.0, 0.0, 5.0]], np.float32)
        assert nearest_classes(patient.volume, middle, pose)[0] == shows
        pressed = indentation(patient, face, pose @ rigid(np.eye(3), -face.points[0] * [1, 0, 0]))
        assert (pressed.bone[0] < REACH) == (shows == TissueClass.BONE)


def test_breathing_takes_a_node_half_way_between_voxels_for_what_the_slice_shows_there() -> None:
    """Nodes lie 6 mm apart, voxels 4 mm: node 3 is index 4.5, in the slice the sixth voxel, which alone is bone."""
    tissue = np.full((12, 12, 12), TissueClass.LIVER, np.uint8)
    tissue[5] = TissueClass.BONE
    volume = volume_of(np.zeros(tissue.shape, np.int16), tissue, np.diag([4.0, 4.0, 4.0, 1.0]))
    deep = Skin(np.full((8, 8, 8), -100.0, np.float32), np.diag([6.0, 6.0, 6.0, 1.0]))
    at_node = np.array([[18.0, 18.0, 18.0]], np.float32)
    assert nearest_classes(volume, at_node, np.eye(4))[0] == TissueClass.BONE
    share = mobility_of(volume, deep).share
    np.testing.assert_array_equal(share[3], 0.0)
    t = (6.0 - 3.0) / (30.0 - 3.0)  # one node off the bone, smooth between FROM_BONE
    np.testing.assert_allclose(share[2], t * t * (3 - 2 * t), rtol=1e-6)


@numba.njit
def weight(place):  # type: ignore[no-untyped-def]
    return cell(place, 5)


def test_a_cell_lies_in_the_picture_wherever_it_is_asked_for() -> None:
    """As an index NaN is the least integer: 9e18 cells before the first."""
    assert weight(np.float32(np.nan)) == (0, 1, 0)
    assert weight(np.float32(np.inf)) == (4, 4, 0)
    assert weight(np.float32(-np.inf)) == (0, 1, 0)
    assert weight(np.float32(0)) == (2, 3, 0)


def test_points_that_are_not_numbers_are_moved_nowhere() -> None:
    table = np.zeros((257, COLUMNS), np.float32)
    points = torch.tensor([[np.nan, 0, 10], [np.inf, 0, 10], [-np.inf, 0, 10], [3, 2, 10]], dtype=torch.float32)
    moved = Displacement(-128.0, 1.0, table).source(points)
    assert moved[0, 0].isnan()
    assert torch.equal(moved[3], points[3])

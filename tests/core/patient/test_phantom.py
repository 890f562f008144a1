"""The procedural phantom: the anatomy that other rooms rely on, over several seeds."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import label

from us_sim.core.errors import ConfigError
from us_sim.core.patient.phantom.build import phantom
from us_sim.core.patient.phantom.shapes import EVERYWHERE, Canvas, ellipsoid, tube
from us_sim.core.patient.phantom.texture import smooth_noise
from us_sim.core.patient.phantom.wall import section_distance
from us_sim.core.patient.volume import CtVolume
from us_sim.core.tissue import TissueClass as T

SEEDS = (0, 1, 2, 3, 4)
each_seed = pytest.mark.parametrize("seed", SEEDS)


@cache
def patient(seed: int) -> CtVolume:
    return phantom(seed)


def points(volume: CtVolume, tissue: T) -> NDArray[np.float64]:
    """(N, 3) voxel centres of a class, mm in ct."""
    index = np.argwhere(volume.tissue == tissue)
    return index @ volume.ct_from_voxel[:3, :3].T + volume.ct_from_voxel[:3, 3]


def along(volume: CtVolume, start: ArrayLike, direction: ArrayLike, length: int) -> NDArray[np.uint8]:
    """Classes every mm along a line; air outside the volume."""
    line = np.asarray(start) + np.arange(length)[:, None] * np.asarray(direction)
    index = np.rint((line - volume.ct_from_voxel[:3, 3]) / volume.spacing).astype(int)
    inside = ((index >= 0) & (index < volume.tissue.shape)).all(axis=1)
    result = np.zeros(len(line), dtype=np.uint8)
    result[inside] = volume.tissue[tuple(index[inside].T)]
    return result


def test_same_seed_gives_the_same_patient_and_another_seed_another_one() -> None:
    first, again, other = patient(0), phantom(0), patient(1)
    assert first.sha256 == again.sha256
    np.testing.assert_array_equal(first.hu, again.hu)
    np.testing.assert_array_equal(first.tissue, again.tissue)
    assert first.sha256 != other.sha256
    assert (first.name, other.name) == ("phantom-0", "phantom-1")
    volumes = {len(points(patient(seed), T.LIVER)) for seed in SEEDS}
    assert len(volumes) == len(SEEDS)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match="seed is -1; expected 0 or more"):
        phantom(-1)


def test_it_is_made_in_under_ten_seconds() -> None:
    start = time.process_time()
    phantom(11)
    assert time.process_time() - start < 10


@each_seed
def test_grid_is_an_abdomen_of_1_5_mm_around_the_origin(seed: int) -> None:
    volume = patient(seed)
    assert (volume.hu.dtype, volume.tissue.dtype) == (np.int16, np.uint8)
    assert volume.hu.flags.c_contiguous
    assert volume.tissue.flags.c_contiguous
    np.testing.assert_allclose(volume.ct_from_voxel[:3, :3], 1.5 * np.eye(3))
    low, high = volume.bounds
    assert (low < -80).all()
    assert (high > 80).all()
    size = high - low
    assert 270 < size[0] < 400
    assert 210 < size[1] < 310
    assert 290 < size[2] < 310


@each_seed
def test_every_class_is_there_in_a_plausible_amount(seed: int) -> None:
    millilitres = np.bincount(patient(seed).tissue.ravel(), minlength=len(T)) * 1.5**3 / 1000
    for tissue, low, high in (
        (T.LIVER, 1000, 2200), (T.KIDNEY, 200, 500), (T.SPLEEN, 120, 400), (T.PANCREAS, 40, 150),
        (T.VESSEL, 150, 700), (T.FLUID, 40, 700), (T.BONE, 350, 1100), (T.GAS, 40, 900), (T.LUNG, 700, 3000),
        (T.FAT, 2000, 12000), (T.MUSCLE, 1500, 6000), (T.SKIN, 250, 900), (T.SOFT, 500, 3000),
    ):  # fmt: skip
        assert low < millilitres[tissue] < high, f"{tissue.name}: {millilitres[tissue]:.0f} ml"


@each_seed
def test_organs_lie_where_a_radiologist_looks_for_them(seed: int) -> None:
    volume = patient(seed)
    centre = {c: points(volume, c).mean(axis=0) for c in (T.LIVER, T.SPLEEN, T.PANCREAS, T.LUNG)}
    assert centre[T.LIVER][0] > 30  # right
    assert centre[T.SPLEEN][0] < -60  # left
    assert centre[T.SPLEEN][1] < centre[T.LIVER][1]  # further back
    assert abs(centre[T.PANCREAS][0]) < 40
    assert centre[T.LUNG][2] > centre[T.LIVER][2] + 40
    kidneys = points(volume, T.KIDNEY)
    for side in (kidneys[kidneys[:, 0] > 0], kidneys[kidneys[:, 0] < 0]):
        assert 100 < len(side) * 1.5**3 / 1000 < 250
        assert side.mean(axis=0)[1] < 0
    right, left = kidneys[kidneys[:, 0] > 0].mean(axis=0), kidneys[kidneys[:, 0] < 0].mean(axis=0)
    assert right[2] < left[2]  # below the liver
    bone = points(volume, T.BONE)
    spine = bone[(np.abs(bone[:, 0]) < 20) & (bone[:, 2] < 0)]
    assert spine[:, 1].mean() < -20
    assert np.ptp(spine[:, 2]) > 140


@each_seed
def test_the_body_is_one_piece_without_air_from_outside_in_it(seed: int) -> None:
    volume = patient(seed)
    body = volume.tissue != T.BACKGROUND
    assert label(body)[1] == 1
    assert label(~body)[1] == 1  # all air hangs together, around the body
    assert not body[[0, -1]].any()
    assert not body[:, [0, -1]].any()
    for axis in (0, 1):  # whoever steps out of the body leaves through the skin
        a, b = np.moveaxis(volume.tissue, axis, 0)[:-1], np.moveaxis(volume.tissue, axis, 0)[1:]
        assert set(np.unique(a[b == T.BACKGROUND])) == {T.BACKGROUND, T.SKIN}
        assert set(np.unique(b[a == T.BACKGROUND])) == {T.BACKGROUND, T.SKIN}


@each_seed
def test_sections_of_the_skin_are_convex(seed: int) -> None:
    body = patient(seed).tissue != T.BACKGROUND
    for k in range(0, body.shape[2], 40):
        for section in (body[:, :, k], body[:, :, k].T):
            changes = np.abs(np.diff(section.astype(int), axis=1)).sum(axis=1)
            assert set(changes) == {0, 2}  # a line misses the body or crosses it once


@each_seed
def test_hounsfield_units_by_class(seed: int) -> None:
    volume = patient(seed)
    for tissue, low, high in (
        (T.BACKGROUND, -1010, -980), (T.LIVER, 90, 125), (T.KIDNEY, 140, 200), (T.SPLEEN, 100, 135),
        (T.PANCREAS, 65, 110), (T.VESSEL, 130, 180), (T.FLUID, -10, 35), (T.BONE, 200, 500),
        (T.GAS, -970, -750), (T.LUNG, -880, -750), (T.FAT, -115, -70), (T.MUSCLE, 40, 75), (T.SOFT, 10, 80),
    ):  # fmt: skip
        mean = volume.hu[volume.tissue == tissue].mean()
        assert low < mean < high, f"{tissue.name}: {mean:.0f} HU"
    liver = volume.hu[volume.tissue == T.LIVER]
    assert 8 < np.median(np.abs(liver - np.median(liver))) * 1.4826 < 20  # noise and texture


@each_seed
def test_a_probe_below_the_right_ribs_sees_the_liver_and_the_diaphragm(seed: int) -> None:
    volume = patient(seed)
    depths, seen_to_the_lung = [], False
    for azimuth in np.radians([20, 35, 50]):
        outward = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
        for z in (-35.0, -25.0, -15.0):
            inward = along(volume, outward * 250 + [0, 0, z], -outward, 250)
            skin = outward * (250 - float(np.argmax(inward != T.BACKGROUND))) + [0, 0, z]
            for tilt in np.radians([0, 10, 20, 30, 40, 50]):
                line = along(volume, skin, np.array([0, 0, np.sin(tilt)]) - np.cos(tilt) * outward, 180)
                stop = np.isin(line, [T.BONE, T.GAS, T.LUNG, T.BACKGROUND])
                stop[0] = False
                end = int(np.argmax(stop)) if stop.any() else len(line)
                liver = np.flatnonzero(line[:end] == T.LIVER)
                if len(liver) > 40:
                    depths.append(liver[0])
                    seen_to_the_lung |= bool(end < len(line) and line[end] == T.LUNG)
    assert len(depths) > 15
    assert 15 <= min(depths) <= 35
    assert seen_to_the_lung


@each_seed
def test_ribs_leave_windows_between_them(seed: int) -> None:
    """In the right axillary line, from the tenth rib up, bone and gaps of 10 mm and more alternate."""
    volume = patient(seed)
    heights = np.arange(-40, 140, 1.5)
    bony = np.array([T.BONE in along(volume, [250, 0, z], [-1, 0, 0], 150) for z in heights])
    starts, ends = (np.flatnonzero(np.diff(bony.astype(int)) == step) for step in (1, -1))
    gaps = [(starts[starts > end][0] - end) * 1.5 for end in ends if (starts > end).any()]
    assert len(gaps) >= 3
    assert min(gaps) >= 10
    assert max(gaps) <= 32


def reference_canvas(count: int) -> Canvas:
    axis = np.linspace(-30, 30, count, dtype=np.float32)
    shape = (count, count, count)
    tissue, hu = np.zeros(shape, np.uint8), np.zeros(shape, np.int16)
    border = np.zeros(shape, np.uint8)
    return Canvas((axis, axis, axis), np.zeros((3, *shape), np.float32), tissue, hu, border, {T.LIVER: 100})


def test_paint_tells_on_both_sides_how_far_the_border_is() -> None:
    """Voxels of 1 mm; the fat below is 0 everywhere. Within 1.5 mm of a sphere the closed form, in tenths of a mm."""
    canvas = reference_canvas(61)
    canvas.tissue[:] = T.FAT
    canvas.paint(ellipsoid(canvas, [0.3, 0, 0], [11, 11, 11]), T.LIVER, over=[T.FAT], inset=1)
    x, y, z = canvas.coordinates(EVERYWHERE)
    distance = np.sqrt((x - 0.3) ** 2 + y**2 + z**2) - 10
    np.testing.assert_array_equal(canvas.tissue == T.LIVER, distance < 0)
    near = np.abs(distance) < 1.3
    np.testing.assert_allclose(canvas.border[near], np.maximum(1, 10 * np.abs(distance[near])), atol=0.8)
    assert (canvas.border[distance > 1.8] == 0).all()
    assert (canvas.border[distance < -1.8] == 15).all()


def test_distances_of_shapes_agree_with_closed_forms() -> None:
    canvas = reference_canvas(61)
    sphere = ellipsoid(canvas, [2, -3, 4], [11, 11, 11])
    x, y, z = canvas.coordinates(sphere.box)
    expected = np.sqrt((x - 2) ** 2 + (y + 3) ** 2 + (z - 4) ** 2) - 11
    far_from_middle = expected > -10.5
    np.testing.assert_allclose(sphere.distance[far_from_middle], expected[far_from_middle], atol=0.01)
    assert (sphere.distance[~far_from_middle] < -5).all()

    straight = tube(canvas, [[-10, 0, 0], [10, 0, 0]], [5, 5])
    x, y, z = canvas.coordinates(straight.box)
    expected = np.sqrt(np.maximum(np.abs(x) - 10, 0) ** 2 + y**2 + z**2) - 5
    near = expected < 2.9
    np.testing.assert_allclose(straight.distance[near], expected[near], atol=1e-4)


def test_distance_to_a_section_is_exact_near_its_border() -> None:
    axis = np.arange(-60, 60.5, 0.5, dtype=np.float32)
    half_axes = np.array([[50.0], [40.0], [30.0]])
    distance = section_distance(axis, axis, half_axes)[:, :, 0]
    on_axis = axis.tolist().index
    assert distance[on_axis(53.0), on_axis(0.0)] == pytest.approx(3, abs=0.15)
    assert distance[on_axis(0.0), on_axis(37.0)] == pytest.approx(-3, abs=0.15)
    assert distance[on_axis(0.0), on_axis(-33.0)] == pytest.approx(3, abs=0.15)
    assert np.isfinite(distance).all()


def test_smooth_noise_has_mean_0_and_deviation_1_and_varies_over_its_wavelength() -> None:
    field = smooth_noise(np.random.default_rng(0), (120, 110, 100), 10.0)
    assert field.dtype == np.float32
    assert abs(field.mean()) < 0.05
    assert field.std() == pytest.approx(1, abs=0.05)

    def correlation(lag: int) -> float:
        return float((field[lag:] * field[:-lag]).mean())

    assert correlation(1) > 0.9
    assert abs(correlation(20)) < 0.1

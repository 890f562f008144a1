"""The displacement: no divergence, bone stays, the skin follows the face, nothing moves without force."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from tests.core.patients import HALF_BOX, grid_points, on_the_box, patient_of

from us_sim.core.contact import deformation
from us_sim.core.contact.deformation import (
    LATERAL_MARGIN,
    MOST,
    NEAR,
    Displacement,
    displacement,
    move,
    nodes_of,
    sources,
    tables_of,
)
from us_sim.core.contact.indentation import REACH, Indentation, face_of, indentation
from us_sim.core.geometry.probe import PRESETS, ProbeGeometry, ProbeKind
from us_sim.core.geometry.transforms import Matrix, apply
from us_sim.core.patient.patient import Patient
from us_sim.core.sampling.moved_sampler import MovedSampler
from us_sim.core.sampling.reslice import THIN, reslice
from us_sim.core.sampling.sampler import CpuSampler
from us_sim.core.tissue import TissueClass

CURVED = PRESETS["c5_2"]
FLAT = ProbeGeometry(ProbeKind.LINEAR, depth=60.0, aperture=40.0)
PROBES = pytest.mark.parametrize("probe", [CURVED, FLAT, PRESETS["p4_2"]], ids=["convex", "linear", "phased"])
Array = NDArray[np.float64]


def slab(bone_at: float | None = None, rib: bool = False) -> Patient:
    """Liver in a cube of 128 mm; a plate of bone, or a rib 12 mm across, some mm below the anterior side."""
    points = grid_points()
    depth = HALF_BOX - points[..., 1]
    tissue = np.where(np.abs(points).max(axis=-1) <= HALF_BOX, TissueClass.LIVER, TissueClass.BACKGROUND)
    if bone_at is not None:
        across = np.abs(points[..., 0] - 14) < 6.1 if rib else np.abs(points[..., 0]) < 1e3
        tissue[(tissue > 0) & (depth >= bone_at) & (depth < bone_at + 16) & across] = TissueClass.BONE
    hu = np.where(tissue == TissueClass.BONE, 700, np.where(tissue, 60, -1000))
    return patient_of(hu, tissue)


@pytest.fixture(scope="module")
def liver() -> Patient:
    return slab()


@pytest.fixture(scope="module")
def plated() -> Patient:
    """Bone from 60 mm down: 60 to 62 mm by voxels of 4 mm."""
    return slab(60.0)


def field_of(patient: Patient, probe: ProbeGeometry, pose: Matrix) -> Displacement:
    found = displacement(indentation(patient, face_of(probe), pose), probe)
    assert found is not None
    return found


def source(field: Displacement, points: Array) -> Array:
    return field.source(torch.from_numpy(points.astype(np.float32))).numpy().astype(np.float64)


def shift(field: Displacement, points: Array) -> Array:
    """The table's own formula in float64: u at (..., 3) points."""
    table = torch.from_numpy(field.table.astype(np.float64))
    return points - move(field.left, field.step, table[None], torch.from_numpy(points))[0].numpy()


def plane(probe: ProbeGeometry, y: float = 0.0) -> Array:
    """Points of the image plane, away from the nodes of the table."""
    x = np.linspace(-70, 70, 90) + 0.31
    return np.stack(np.meshgrid(x, [y], np.linspace(-5, 118, 70), indexing="ij"), axis=-1)[:, 0]


def divergence(field: Displacement, points: Array) -> Array:
    """Central differences of u; in x over one step of the table, between whose nodes its slopes are constant."""
    total = np.zeros(points.shape[:-1])
    for axis, step in enumerate((field.step, 0.01, 0.01)):
        way = 0.5 * step * np.eye(3)[axis]
        total += (shift(field, points + way) - shift(field, points - way))[..., axis] / step
    return total


# -- the field --------------------------------------------------------------------------------------------


@PROBES
@pytest.mark.parametrize("depth", [2.0, 8.0, 15.0])
def test_soft_tissue_keeps_its_volume_within_the_plane(liver: Patient, probe: ProbeGeometry, depth: float) -> None:
    field = field_of(liver, probe, on_the_box(pressed=depth))
    points = plane(probe)
    top = np.interp(points[..., 0], field.left + field.step * np.arange(len(field.table)), field.table[:, 0])
    inside = (np.abs(points[..., 0]) < 60) & (
        points[..., 2] > top + 3
    )  # a slanted skin, above which the field stands still
    found = divergence(field, points)[inside]
    strain = MOST * depth / 30
    assert np.percentile(np.abs(found), 95) < 0.02 * strain + 1e-3
    assert np.abs(found).max() < 0.5 * strain + 5e-3  # at the kinks of the profile, which the table rounds off


@pytest.mark.parametrize("y", [0.0, 2.0, -3.0])
def test_over_ribs_tissue_keeps_its_volume_in_space(y: float) -> None:
    field = field_of(slab(12.0, rib=True), CURVED, on_the_box(pressed=8.0))
    points = plane(CURVED, y)
    found = divergence(field, points)
    assert np.percentile(np.abs(found), 95) < 0.02
    assert (shift(field, points)[..., 1] * np.sign(y or 1.0)).max() < 3.0
    assert (shift(field, plane(CURVED))[..., 1] == 0).all()  # the image plane maps onto itself


@PROBES
@pytest.mark.parametrize("depth", [5.0, 15.0])
def test_nothing_folds_over(liver: Patient, probe: ProbeGeometry, depth: float) -> None:
    for patient in (liver, slab(12.0, rib=True), slab(16.0)):
        field = field_of(patient, probe, on_the_box(pressed=depth))
        points = plane(probe)
        x = source(field, points)
        dx, dz = points[1, 0, 0] - points[0, 0, 0], points[0, 1, 2] - points[0, 0, 2]
        across, down = np.gradient(x, dx, axis=0), np.gradient(x, dz, axis=1)
        area = across[..., 0] * down[..., 2] - across[..., 2] * down[..., 0]
        assert area.min() > 0.3


@PROBES
def test_the_skin_follows_the_face_to_15_mm(plated: Patient, probe: ProbeGeometry) -> None:
    """What lies at the face was the skin: no gap, no tissue lost."""
    for depth in (2.0, 6.0, 15.0):
        pose = on_the_box(pressed=depth)
        field = field_of(plated, probe, pose)
        face = probe.line_origins
        lain = apply(pose, source(field, face))
        was_pressed = apply(pose, face)[:, 1] < HALF_BOX - 0.3
        assert was_pressed.any()
        np.testing.assert_allclose(plated.skin.distance_at(lain)[was_pressed], 0, atol=0.35)
        np.testing.assert_allclose((source(field, face) - face)[was_pressed, 0], 0, atol=0.2)  # it sticks


@PROBES
def test_bone_stays(plated: Patient, probe: ProbeGeometry) -> None:
    pose = on_the_box(pressed=12.0)
    field = field_of(plated, probe, pose)
    points = probe.pixel_points.astype(np.float64)
    bone = reslice(plated.volume, probe.pixel_points, pose)[1] == TissueClass.BONE
    assert bone.any()
    bone &= np.abs(points[..., 0]) < 60  # away from the side of the box, between two columns
    np.testing.assert_array_equal(source(field, points)[bone], points[bone].astype(np.float32))
    assert np.abs(source(field, points) - points)[~bone].max() > 8.0


def test_a_rib_keeps_its_shape() -> None:
    patient = slab(20.0, rib=True)
    pose, points = on_the_box(pressed=8.0), CURVED.pixel_points
    field = field_of(patient, CURVED, pose)
    _, rest = reslice(patient.volume, points, pose)
    _, bent = reslice(patient.volume, field.source(torch.from_numpy(points)).numpy(), pose)
    np.testing.assert_array_equal(bent == TissueClass.BONE, rest == TissueClass.BONE)
    assert (bent != rest).any()


def test_closed_form_under_a_narrow_flat_face(plated: Patient) -> None:
    """Half-way down 1 − ζ³ (4 − 3ζ) is 11/16 of the even profile on the way to bone, h; of what is left over on the
    way to h', 1/h' = 1/h + 1/NEAR, (1 − ζ)³ (1 + 3ζ) is 5/16."""
    narrow = replace(FLAT, aperture=24.0)
    field = field_of(plated, narrow, on_the_box(pressed=8.0))
    row = field.table[len(field.table) // 2].astype(np.float64)
    h, even, rest = 1 / row[2], row[4], row[11]
    assert even + rest == pytest.approx(8.0, abs=0.1)
    assert 0.3 < rest < 3.0  # what is sharp
    assert h == pytest.approx(60 - 8 - row[0], abs=2)  # to bone, 52 mm below the pressed skin, and a margin above it
    short = 1 / (1 / (h + row[0] - row[7]) + 1 / NEAR)  # from the pressed skin, which lies deeper by rest
    assert row[7] - row[0] == pytest.approx(rest, abs=0.01)
    half_short, half = (0.5 * short + rest) / h, (0.5 * h - rest) / short
    depths = np.array([row[7], row[7] + 0.5 * short, row[0] + 0.5 * h, row[0] + h])
    even_share = np.array([1.0, 1 - half_short**3 * (4 - 3 * half_short), 11 / 16, 0.0])
    rest_share = np.array([1.0, 5 / 16, max(1 - half, 0) ** 3 * (1 + 3 * half), 0.0])
    found = shift(field, np.stack([np.zeros(4), np.zeros(4), depths], axis=-1))
    np.testing.assert_allclose(found[:, 2], even * even_share + rest * rest_share, atol=0.1)
    np.testing.assert_allclose(found[:, 0], 0, atol=0.1)


def test_the_edges_of_a_face_do_not_show_deep_down(liver: Patient) -> None:
    """How sharply layers bend beside a flat face, by second differences of the displacement: the skin, 25 and 40 mm."""
    field = field_of(liver, FLAT, on_the_box(pressed=8.0))
    x = np.linspace(15, 45, 31)
    top = np.interp(x, field.left + field.step * np.arange(len(field.table)), field.table[:, 0])
    layers = [np.stack([x, 0 * x, z], axis=-1) for z in (top, 0 * x + 25, 0 * x + 40)]
    skin, shallow, deep = (np.abs(np.diff(shift(field, layer)[:, 2], 2)).max() for layer in layers)
    assert shallow < 0.5 * skin
    assert deep < 0.35 * skin


def test_beside_the_face_the_skin_leaves_it_along_its_slope_and_comes_up_all_the_way() -> None:
    """A dome pressed in: no kink at the edges, and no rise above the skin before the shoulder ends."""
    x = np.linspace(-60, 60, 121)
    outside = np.maximum(np.abs(x) - 25, 0.0)
    dome = np.where(outside == 0, 8 - (x / 12) ** 2, 0.0)
    whole = dome + deformation._shoulders(dome, x, outside, 1.0)
    slope = np.diff(whole)
    assert abs(slope[85] - slope[84]) < 0.06  # 2/144 within the face, at the edge a little more
    assert (slope[85:] <= 1e-12).all()
    assert (whole >= -1e-12).all()
    assert whole[outside > 25].max() == 0
    np.testing.assert_allclose(whole, whole[::-1], atol=1e-12)


def test_tissue_goes_aside_and_comes_up_beside_the_face(liver: Patient) -> None:
    field = field_of(liver, CURVED, on_the_box(pressed=10.0))
    sideways = shift(field, np.array([[-25.0, 0, 40], [25.0, 0, 40]]))
    assert sideways[0, 0] < -1 < 1 < sideways[1, 0]
    g, x = field.table[:, [4, 11]].sum(axis=1, dtype=np.float64), field.left + field.step * np.arange(len(field.table))
    assert g.min() < -0.5  # the bulge
    assert abs(g.sum()) < 1e-3 * np.abs(g).sum()  # of equal area: g vanishes at both ends
    ends = np.array([[x[0] - 5, 0, 20], [x[-1] + 5, 0, 20], [x[0], 0, 20]])
    np.testing.assert_allclose(shift(field, ends), 0, atol=1e-4)
    assert x[-1] == pytest.approx(CURVED.radius_of_curvature / 2 + LATERAL_MARGIN, abs=1e-6)


def test_only_a_part_of_thin_tissue_gives_way() -> None:
    """20 mm of tissue pressed in by 15 mm: the image shows MOST of what is left, the force knows the rest."""
    field = field_of(slab(20.0), FLAT, on_the_box(pressed=15.0))
    assert 2.0 < field.table[:, [4, 11]].sum(axis=1).max() < MOST * 22 / (1 + MOST)


@PROBES
def test_without_touch_there_is_no_field(liver: Patient, probe: ProbeGeometry) -> None:
    for pressed in (-0.5, -20.0, -1e6):
        assert displacement(indentation(liver, face_of(probe), on_the_box(pressed=pressed)), probe) is None


@pytest.mark.parametrize("pressed", [40.0, 64.0, 100.0, 140.0])
def test_every_depth_has_a_finite_field(liver: Patient, pressed: float) -> None:
    found = displacement(indentation(liver, face_of(CURVED), on_the_box(pressed=pressed)), CURVED)
    if found is not None:
        assert np.isfinite(found.table).all()
        assert np.isfinite(source(found, plane(CURVED))).all()


def test_bone_everywhere_leaves_nothing_to_deform() -> None:
    face = face_of(FLAT)
    penetration = np.where(face.areas > 0, 4.0, 0.0)
    state = Indentation(face, np.eye(4), -penetration, penetration, -penetration, penetration)
    assert displacement(state, FLAT) is None


def test_the_field_fades_as_the_probe_lifts(liver: Patient) -> None:
    """It goes to zero with the penetration, without a jump."""
    points = plane(CURVED)
    sizes = [np.abs(shift(field_of(liver, CURVED, on_the_box(pressed=d)), points)).max() for d in (1.0, 0.5, 0.25)]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] < 0.5


# -- applied ----------------------------------------------------------------------------------------------


def test_tensors_and_compiled_loop_agree(liver: Patient) -> None:
    for probe in (CURVED, FLAT):
        field = field_of(liver, probe, on_the_box(pressed=9.0))
        points = torch.tensor(probe.polar_points)
        nodes, tables = nodes_of(probe), torch.from_numpy(tables_of([field, None]))
        assert nodes == (field.left, field.step)
        for y in (0.0, 2.0):
            points[..., 1] = y
            torch.testing.assert_close(move(*nodes, tables, points), sources(nodes, tables, points), atol=2e-3, rtol=0)
        assert torch.equal(sources(nodes, tables, points)[0], field.source(points))
        assert torch.equal(move(*nodes, tables, points)[1], points)
    assert tables_of([None, None]) is None


def test_on_cuda_it_is_the_same(liver: Patient) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    field, points = field_of(liver, CURVED, on_the_box(pressed=9.0)), torch.tensor(CURVED.polar_points)
    moved = field.source(points.cuda())
    assert moved.is_cuda
    torch.testing.assert_close(moved.cpu(), field.source(points), atol=2e-3, rtol=0)


def test_all_that_is_sampled_moves_together(plated: Patient) -> None:
    """HU, classes, properties and scatterers at a point are those of where its tissue lay."""
    sampler = CpuSampler(plated, 0)
    pose = on_the_box(pressed=9.0)
    field = field_of(plated, FLAT, pose)
    tables = torch.from_numpy(tables_of([None, field]))
    moved = MovedSampler(sampler, lambda points: sources(nodes_of(FLAT), tables, points))
    poses, points = np.stack([pose, pose]), torch.tensor(FLAT.polar_points)
    hu, tissue = moved.slice(points, poses, THIN)
    expected_hu, expected_tissue = sampler.slice(field.source(points), pose[None], THIN)
    rest_hu, rest_tissue = sampler.slice(points, pose[None], THIN)
    assert torch.equal(hu, torch.cat([rest_hu, expected_hu]))
    assert torch.equal(tissue, torch.cat([rest_tissue, expected_tissue]))
    assert not torch.equal(hu[0], hu[1])
    whole, alone = moved.anatomy(points, poses, THIN), sampler.anatomy(field.source(points), pose[None], THIN)
    for name, value in vars(alone).items():
        assert torch.equal(vars(whole)[name][1:], value), name
    assert moved.device == sampler.device


@pytest.mark.alone
def test_state_field_and_points_stay_under_a_millisecond(liver: Patient) -> None:
    """160 × 384 points on one core."""
    probe = replace(CURVED, scan_lines=160, samples=384)
    points, pose, face = torch.tensor(probe.polar_points), on_the_box(pressed=8.0), face_of(probe)
    assert points.shape[:2] == (160, 384)
    spent = []
    for _ in range(50):
        start = time.perf_counter()
        field = displacement(indentation(liver, face, pose), probe)
        assert field is not None
        field.source(points)
        spent.append(time.perf_counter() - start)
    assert min(spent) < 2e-3  # on a busy machine


def test_columns_end_at_their_reach(liver: Patient) -> None:
    state = indentation(liver, face_of(CURVED), on_the_box(pressed=8.0))
    assert (state.bone == REACH).all()


def test_the_profile_is_made_as_scipy_and_numpy_would() -> None:
    """A rough skin with steps, evened out; the columns of the table are compiled pieces of these."""
    rng = np.random.default_rng(4)
    x = np.linspace(-120, 120, 257)
    step, rough = x[1] - x[0], np.cumsum(rng.normal(0, 3, 257))
    nodes = round(0.5 * 12.0 / step)
    lowest = minimum_filter1d(rough, 4 * nodes + 1, mode="nearest")
    for _ in range(2):
        lowest = uniform_filter1d(lowest, 2 * nodes + 1, mode="nearest")
    np.testing.assert_allclose(deformation._lowest(rough, 12.0, step), lowest, atol=1e-9)
    risen = np.minimum.accumulate(rough - x) + x
    risen = np.minimum.accumulate((risen + x)[::-1])[::-1] - x
    np.testing.assert_allclose(deformation._rising(rough, x), risen, atol=1e-9)
    np.testing.assert_allclose(deformation._integral(rough, step), cumulative_trapezoid(rough, x, initial=0), atol=1e-9)
    np.testing.assert_allclose(deformation._slope(rough, step), np.gradient(rough, step), atol=1e-9)

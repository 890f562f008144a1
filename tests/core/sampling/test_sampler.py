"""Samples of the patient: the compiled kernels against tensors on every device, and against what is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from tests.core.patients import box_patient, on_the_box, patient_of, rotation
from torch import Tensor

from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.geometry.transforms import inverse, rigid
from us_sim.core.patient.patient import Patient
from us_sim.core.sampling.reslice import THIN, Beam, elevation_beam
from us_sim.core.sampling.sampler import CpuSampler, sampler_on
from us_sim.core.sampling.scatterers import LOOKS, TILE, scatterer_tile, scatterers, tile_from_ct
from us_sim.core.sampling.tensor_sampler import TensorSampler
from us_sim.core.tissue import TISSUES, TissueClass

PROBE = ProbeGeometry(ProbeKind.CONVEX, 120.0, 50.0, 1.2, width=48, height=48, scan_lines=32, samples=64)
THICK = elevation_beam(5.0, 3)
DEVICES = [
    "cpu",
    pytest.param("cuda:0", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]
BEAMS = [pytest.param(THIN, id="thin"), pytest.param(THICK, id="thick")]


@pytest.fixture(scope="module")
def patient() -> Patient:
    return box_patient(noise=60)


def poses() -> NDArray[np.float64]:
    """On the skin, oblique inside, half outside the volume, and in the air."""
    rng = np.random.default_rng(2)
    inside = [rigid(rotation(rng), rng.uniform(-60, 60, 3)) for _ in range(4)]
    crossing, straight, away = on_the_box(75.0, 1.0), rigid(np.eye(3), [0, 1, 70]), on_the_box(0.0, 501.0)
    return np.stack([on_the_box(0.0, 1.0), *inside, crossing, straight, away])


def points_of(grid: NDArray[np.float32], device: str = "cpu") -> Tensor:
    return torch.from_numpy(grid).to(device)


def untied(patient: Patient, points: NDArray[np.float32], at: NDArray[np.float64], beam: Beam) -> NDArray[np.bool_]:
    """Where float32 cannot decide between in and out, or between two classes, in no plane of the beam."""
    clear = np.ones((len(at), *points.shape[:-1]), dtype=bool)
    last = np.array(patient.volume.hu.shape) - 1
    for offset in beam[0]:
        matrix = inverse(patient.volume.ct_from_voxel) @ at
        shifted = points.astype(np.float64) + np.array([0, offset, 0])
        voxels = np.einsum("bij,...j->b...i", matrix[:, :3, :3], shifted)
        voxels += matrix[:, :3, 3].reshape(-1, *[1] * (points.ndim - 1), 3)
        clear &= (np.minimum(abs(voxels), abs(voxels - last)) > 1e-4).all(axis=-1)
        clear &= (abs(voxels % 1 - 0.5) > 1e-4).all(axis=-1)
    return clear


# -- tensors against compiled loops ----------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("beam", BEAMS)
def test_slices_agree(patient: Patient, beam: Beam, device: str) -> None:
    compiled = CpuSampler(patient, 0).slice(points_of(PROBE.pixel_points), poses(), beam)
    sampler = TensorSampler(patient, 0, torch.device(device))
    tensors = sampler.slice(points_of(PROBE.pixel_points, device), poses(), beam)
    clear = untied(patient, PROBE.pixel_points, poses(), beam)
    assert clear.mean() > 0.9
    for found, expected in zip(tensors, compiled, strict=True):
        assert found.device.type == torch.device(device).type
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.abs(tensors[0].cpu().numpy() - compiled[0].numpy())[clear].max() < 0.1
    np.testing.assert_array_equal(tensors[1].cpu().numpy()[clear], compiled[1].numpy()[clear])
    assert torch.equal(CpuSampler(patient, 0).classes(points_of(PROBE.pixel_points), poses()), compiled[1])
    assert torch.equal(sampler.classes(points_of(PROBE.pixel_points, device), poses()), tensors[1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("beam", BEAMS)
def test_anatomies_agree(patient: Patient, beam: Beam, device: str) -> None:
    compiled = CpuSampler(patient, 0).anatomy(points_of(PROBE.polar_points), poses(), beam)
    sampler = TensorSampler(patient, 0, torch.device(device))
    tensors = sampler.anatomy(points_of(PROBE.polar_points, device), poses(), beam)
    clear = untied(patient, PROBE.polar_points, poses(), beam)
    for name, expected in vars(compiled).items():
        found = getattr(tensors, name)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), name
        scale = max(1.0, float(expected.abs().max()))
        np.testing.assert_allclose(
            found.cpu().numpy()[clear], expected.numpy()[clear], rtol=1e-3, atol=1e-3 * scale, err_msg=name
        )


@pytest.mark.parametrize("beam", BEAMS)
def test_the_anatomy_holds_the_slice_at_its_points(patient: Patient, beam: Beam) -> None:
    sampler, points = CpuSampler(patient, 0), points_of(PROBE.polar_points)
    anatomy, (hu, tissue) = sampler.anatomy(points, poses(), beam), sampler.slice(points, poses(), beam)
    torch.testing.assert_close(anatomy.hu, hu, rtol=0, atol=0.01)
    assert torch.equal(anatomy.tissue, tissue)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("far", [1e12, -1e20, 1e39, 1e300])
def test_far_away_is_air_on_every_sampler(patient: Patient, device: str, far: float) -> None:
    pose = rigid(rotation(np.random.default_rng(0)), [far, -far, 0])[None]
    for sampler in (CpuSampler(patient, 0), TensorSampler(patient, 0, torch.device(device))):
        hu, tissue = sampler.slice(points_of(PROBE.pixel_points, str(sampler.device)), pose, THICK)
        assert torch.allclose(hu, torch.tensor(-1000.0))
        assert not tissue.any()
        anatomy = sampler.anatomy(points_of(PROBE.polar_points, str(sampler.device)), pose, THICK)
        assert torch.allclose(anatomy.impedance, torch.tensor(TISSUES[TissueClass.BACKGROUND].impedance))
        assert not anatomy.scatter.any()
        assert not anatomy.warp.any()
        assert (anatomy.skin_distance > 0).all()
        assert all(bool(value.isfinite().all()) for value in vars(anatomy).values())


@pytest.mark.parametrize("kind", [CpuSampler, TensorSampler])
def test_beyond_the_ct_what_lies_at_its_border_goes_on(kind: type) -> None:
    """HU rise by 10 a voxel of 4 mm to 390 in the last one, at 78 mm; 40 mm beyond it they are still 390."""
    tissue = np.full((40, 40, 40), TissueClass.LIVER)
    patient = patient_of(np.broadcast_to(10 * np.arange(40)[:, None, None], tissue.shape), tissue)
    sampler = CpuSampler(patient, 0) if kind is CpuSampler else TensorSampler(patient, 0, torch.device("cpu"))
    anatomy = sampler.anatomy(points_of(np.array([[[74, 0, 0], [118, 0, 0]]], np.float32)), np.eye(4)[None], THIN)
    np.testing.assert_allclose(anatomy.hu[0, 0], [380, 390], rtol=1e-5)
    assert (anatomy.tissue == TissueClass.LIVER).all()


# -- against what is known -------------------------------------------------------------------------------


def test_properties_are_those_of_the_classes_and_mix_at_borders() -> None:
    """Half liver, half bone across x: at the middle of the border both properties are averaged."""
    tissue = np.full((40, 40, 40), TissueClass.LIVER)
    tissue[20:] = TissueClass.BONE
    patient = patient_of(np.where(tissue == TissueClass.LIVER, 60, 700), tissue)
    points = np.array([[[-20, 0, 0], [0, 0, 0], [20, 0, 0], [1, 0, 0]]], np.float32)  # the border: between ±2 mm
    anatomy = CpuSampler(patient, 0).anatomy(points_of(points), np.eye(4)[None], THIN)
    liver, bone = TISSUES[TissueClass.LIVER], TISSUES[TissueClass.BONE]
    for name in ("impedance", "attenuation", "specularity"):
        a, b = getattr(liver, name), getattr(bone, name)
        np.testing.assert_allclose(getattr(anatomy, name)[0, 0], [a, (a + b) / 2, b, 0.25 * a + 0.75 * b], rtol=1e-5)
    assert not anatomy.layering.any()


@pytest.mark.parametrize("kind", [CpuSampler, TensorSampler])
def test_a_border_divides_the_way_between_two_centres(kind: type) -> None:
    """Liver 2 tenths inside its class, vessel 8: in the sum of (1 − u)·2 and u·8 both weigh alike at u = 0.2."""
    tissue = np.full((40, 40, 40), TissueClass.LIVER, np.uint8)
    tissue[20:] = TissueClass.VESSEL
    border = np.full(tissue.shape, 15, np.uint8)
    border[19], border[20] = 2, 8
    plain = patient_of(np.zeros(tissue.shape), tissue)
    patient = Patient(replace(plain.volume, border=border), plain.skin)
    share = np.array([0.0, 0.1, 0.2, 0.5, 1.0])
    points = np.zeros((1, 5, 3), np.float32)
    points[0, :, 0] = 4 * share - 2  # mm: from the centre of voxel 19 to that of 20
    sampler = CpuSampler(patient, 0) if kind is CpuSampler else TensorSampler(patient, 0, torch.device("cpu"))
    found = sampler.anatomy(torch.from_numpy(points), np.eye(4)[None], THIN).impedance.numpy()[0, 0]
    liver = (1 - share) * 2 / ((1 - share) * 2 + share * 8)
    z = TISSUES[TissueClass.LIVER].impedance, TISSUES[TissueClass.VESSEL].impedance
    np.testing.assert_allclose(found, liver * z[0] + (1 - liver) * z[1], rtol=1e-6)


@pytest.mark.parametrize("kind", [CpuSampler, TensorSampler])
def test_echo_raises_and_lowers_backscatter_in_half_db(kind: type) -> None:
    """A slab of +16 (8 dB) beside one of −12 (−6 dB), in vessel, which has no texture of its own; between them 1 dB."""
    tissue = np.full((40, 40, 40), TissueClass.VESSEL)
    plain = patient_of(np.full(tissue.shape, 45), tissue)
    echo = np.full(tissue.shape, 16, np.int8)
    echo[20:] = -12
    detailed = Patient(replace(plain.volume, echo=echo), plain.skin)
    points = points_of(np.array([[[-20, 3, 1], [0, 3, 1], [20, 3, 1]]], np.float32))  # the border: between ±2 mm
    before, after = (
        (CpuSampler(p, 0) if kind is CpuSampler else TensorSampler(p, 0, torch.device("cpu")))
        .anatomy(points, np.eye(4)[None], THIN).scatter[0, 0]
        for p in (plain, detailed)
    )  # fmt: skip
    raised = 20 * torch.log10((after / before).median(dim=-1).values)
    np.testing.assert_allclose(raised, [8, 1, -6], atol=1e-3)


def test_layering_marks_fat_muscle_and_connective_tissue() -> None:
    """Classes 1 to 13 in slabs of three voxels along x, looked at in their middles."""
    slab = np.clip(np.arange(40) // 3 + 1, 1, 13)
    patient = patient_of(np.zeros((40, 40, 40)), np.broadcast_to(slab[:, None, None], (40, 40, 40)))
    middles = np.zeros((1, 13, 3), np.float32)
    middles[0, :, 0] = (1 + 3 * np.arange(13) - 19.5) * 4
    anatomy = CpuSampler(patient, 0).anatomy(points_of(middles), np.eye(4)[None], THIN)
    layered = [c + 1 for c in np.flatnonzero(anatomy.layering[0, 0])]
    assert layered == [TissueClass.FAT, TissueClass.MUSCLE, TissueClass.SOFT]


def test_skin_distance_is_that_of_the_skin(patient: Patient) -> None:
    anatomy = CpuSampler(patient, 0).anatomy(points_of(PROBE.polar_points), on_the_box()[None], THICK)
    pose = on_the_box()
    expected = patient.skin.distance_at(PROBE.polar_points @ pose[:3, :3].T + pose[:3, 3])
    np.testing.assert_allclose(anatomy.skin_distance[0], expected, atol=1e-2)


def test_the_scatterers_stay_in_the_patient(patient: Patient) -> None:
    """Two probe positions see the same scatterers at the same place, another seed sees others."""
    sampler, shift = CpuSampler(patient, 0), [4.0, -2.5, 7.0]
    points = PROBE.polar_points
    here = sampler.anatomy(points_of(points), np.eye(4)[None], THIN)
    moved = sampler.anatomy(points_of(points - np.array(shift, np.float32)), rigid(np.eye(3), shift)[None], THIN)
    torch.testing.assert_close(moved.scatter, here.scatter, atol=2e-3, rtol=0)
    other = CpuSampler(patient, 1).anatomy(points_of(points), np.eye(4)[None], THIN)
    assert (other.scatter - here.scatter).std() > 0.5 * here.scatter.std()


def test_scatterers_of_homogeneous_tissue_are_the_tile_interpolated() -> None:
    """In vessels, without texture, scatter is the tile at −27 dB, with the variance of interpolation taken out."""
    tissue = np.full((40, 40, 40), TissueClass.VESSEL)
    sampler = CpuSampler(patient_of(np.full(tissue.shape, 45), tissue), 0)
    points = np.random.default_rng(0).uniform(-40, 40, (20, 50, 3)).astype(np.float32)
    scatter = sampler.anatomy(points_of(points), np.eye(4)[None], THIN).scatter[0]
    matrix = tile_from_ct()
    position = (points.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]).reshape(-1, 3)
    tile = scatterer_tile(0)
    assert tile.shape == (TILE, TILE, TILE, 2 * LOOKS)
    share = position % 1
    gain = np.sqrt((share**2 + (1 - share) ** 2).prod(axis=1)) * 32
    for channel in (0, LOOKS, 2 * LOOKS - 1):
        lattice = map_coordinates(tile[..., channel].astype(np.float64), position.T, order=1, mode="grid-wrap")
        expected = 10 ** (-27 / 20) * lattice / gain
        np.testing.assert_allclose(scatter[..., channel].numpy().ravel(), expected, atol=2e-5)


def test_a_word_of_the_noises_holds_four_neighbours_in_the_periodic_tile() -> None:
    tile, noises = scatterers(0)
    np.testing.assert_array_equal(tile[..., : 2 * LOOKS], scatterer_tile(0))
    assert not tile[..., 2 * LOOKS :].any()
    inside = np.random.default_rng(0).integers((4, TILE, TILE, TILE), size=(50, 4))
    last = [[3, 5, TILE - 1, TILE - 1], [0, TILE - 1, 7, TILE - 1]]
    for channel, i, j, k in np.concatenate([inside, last]).tolist():
        word = int(noises[((channel * TILE + i) * TILE + j) * TILE + k])
        read = [(word >> shift & 255) - 256 * (word >> shift + 7 & 1) for shift in (0, 8, 16, 24)]
        j1, k1 = (j + 1) % TILE, (k + 1) % TILE
        assert read == [int(tile[i, y, z, channel]) for y, z in ((j, k), (j, k1), (j1, k), (j1, k1))]


def test_scatterers_have_unit_variance_and_are_independent() -> None:
    tile = scatterer_tile(0).reshape(-1, 2 * LOOKS)[::7].astype(np.float64) / 32
    np.testing.assert_allclose(tile.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(np.cov(tile.T), np.eye(2 * LOOKS), atol=0.01)
    assert np.shares_memory(scatterer_tile(0), scatterers(0).tile)  # one array for both
    turn = tile_from_ct()[:3, :3] * 0.5
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)  # 0.5 mm a voxel, turned
    assert np.abs(turn).max() < 0.95  # no axis of the tile along one of the patient


def test_a_beam_of_no_thickness_is_a_thin_one(patient: Patient) -> None:
    sampler, points = CpuSampler(patient, 0), points_of(PROBE.polar_points)
    thin, flat = (sampler.anatomy(points, poses(), beam) for beam in (THIN, elevation_beam(0.0, 3)))
    for name, expected in vars(thin).items():
        torch.testing.assert_close(getattr(flat, name), expected, atol=1e-4, rtol=1e-4, msg=name)


def test_the_device_decides_the_sampler(patient: Patient) -> None:
    assert isinstance(sampler_on(torch.device("cpu"), patient, 0), CpuSampler)
    if torch.cuda.is_available():
        assert isinstance(sampler_on(torch.device("cuda:0"), patient, 0), TensorSampler)

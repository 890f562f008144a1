from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.core.patients import box_patient, on_the_box
from tests.train.tiny import tiny_card

from scyclegan_train.data.augment import Augmented
from scyclegan_train.data.degraded import clinical
from scyclegan_train.data.faults import DataError
from scyclegan_train.data.grid_renderer import GridRenderer
from scyclegan_train.data.patient_pool import PatientPool
from scyclegan_train.data.patient_source import PatientCt, PatientSource, PatientUs, phantom_cases
from scyclegan_train.data.phantom_source import PhantomCt
from scyclegan_train.data.physics_source import PhysicsUs
from scyclegan_train.data.poses import aims, draw_pose
from scyclegan_train.data.samples import CtBatch, UsBatch
from scyclegan_train.data.sources import Mixed
from us_sim.core.generator.card import Card
from us_sim.core.geometry.transforms import Matrix, apply, inverse
from us_sim.core.patient.patient import Patient
from us_sim.core.sampling.sampler import sampler_on
from us_sim.core.sampling.tensor_sampler import TensorSampler
from us_sim.core.tissue import TissueClass as T

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def box() -> Patient:
    return box_patient()


@pytest.fixture(scope="module")
def phantom() -> Patient:
    return phantom_cases([3])[0]()  # the one that the sources below share


def same(a: CtBatch | UsBatch, b: CtBatch | UsBatch) -> bool:
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def seen(patient: Patient, poses: Sequence[Matrix], grid: str = "polar") -> CtBatch:
    sampler = sampler_on(CPU, patient, 0)
    return GridRenderer(tiny_card(grid), CPU).ct(sampler, sampler, patient, np.stack(poses), list(range(len(poses))))


# -- what a pose shows --------------------------------------------------------------------------------------


def test_rows_are_depth_and_columns_scan_lines(box: Patient) -> None:
    pose = on_the_box(x=8.0)
    batch, probe = seen(box, [pose]), tiny_card().probe
    assert batch.hu.shape == batch.tissue.shape == (1, 64, 32)
    for row, line in ((5, 3), (20, 16), (40, 30)):
        depth, angle = (row + 0.5) * 180 / 64, ((line + 0.5) / 32 - 0.5) * np.pi / 3
        radius = probe.radius_of_curvature + depth
        place = apply(pose, [radius * np.sin(angle), 0, radius * np.cos(angle) - probe.radius_of_curvature])
        voxel = tuple(np.rint(apply(inverse(box.volume.ct_from_voxel), place)).astype(int))
        assert batch.tissue[0, row, line] == box.volume.tissue[voxel]


def test_nothing_is_visible_behind_bone_but_beside_it(box: Patient) -> None:
    # The bone's centre (-22, 34, -4), radius 10, lies under the face that stands at y = 61: 27 mm deep.
    batch = seen(box, [on_the_box(x=-22.0, z=-4.0)])
    row = [int(depth / 180 * 64) for depth in (10, 60)]
    assert batch.valid[0, row, 16].all()
    assert batch.visible[0, row[0], 16]
    assert not batch.visible[0, row[1], 16]
    assert batch.visible[0, row[1], 2]  # the line at -26° passes the bone


def test_visible_pixels_are_valid_ones(phantom: Patient) -> None:
    rng, where = np.random.default_rng(1), aims(phantom)
    batch = seen(phantom, [draw_pose(rng, where, tiny_card().probe) for _ in range(6)])
    assert not (batch.visible & ~batch.valid).any()
    assert 0.1 < batch.visible.float().mean() < batch.valid.float().mean()


def test_a_probe_in_the_air_has_no_valid_pixel(box: Patient) -> None:
    assert not seen(box, [on_the_box(pressed=-40.0)]).valid.any()


def test_a_cartesian_card_gets_its_frame_and_nothing_outside_the_fan(box: Patient) -> None:
    batch, card = seen(box, [on_the_box()], "cartesian"), tiny_card("cartesian")
    assert batch.hu.shape == (1, 48, 48)
    assert batch.physics is not None
    assert torch.equal(batch.valid[0] | torch.tensor(card.probe.fan_mask), torch.tensor(card.probe.fan_mask))
    assert (batch.physics[0][~torch.tensor(card.probe.fan_mask)] == 0).all()


def test_randomisation_changes_grey_levels_but_not_masks(box: Patient) -> None:
    sampler, pose = sampler_on(CPU, box, 0), on_the_box()[None]
    plain = GridRenderer(tiny_card(), CPU).us(sampler, box, pose, [7])
    drawn = GridRenderer(tiny_card(), CPU, randomised=True).us(sampler, box, pose, [7])
    assert torch.equal(plain.tissue, drawn.tissue)
    assert torch.equal(plain.valid, drawn.valid)
    assert (plain.image - drawn.image).abs().mean() > 1


@pytest.mark.parametrize("grid", ["polar", "cartesian"])
def test_every_frame_is_of_another_invented_scanner(grid: str, box: Patient) -> None:
    sampler, view = sampler_on(CPU, box, 0), GridRenderer(tiny_card(grid), CPU, scanner="drawn")
    poses = np.stack([on_the_box()] * 3)
    batch, again = view.us(sampler, box, poses, [7, 8, 7]), view.us(sampler, box, poses[:1], [8])
    assert torch.equal(batch.image[0], batch.image[2])
    assert torch.equal(batch.image[1], again.image[0])
    assert not torch.equal(batch.tissue[0], batch.tissue[1])  # another fan and depth
    assert batch.image.shape == batch.tissue.shape == (3, *tiny_card(grid).size)
    fan = torch.ones(tiny_card().size) > 0 if grid == "polar" else torch.tensor(tiny_card(grid).probe.fan_mask)
    assert not batch.tissue[:, ~fan].any()


def test_masks_of_invented_scanners_lie_on_their_frames(phantom: Patient) -> None:
    """Blood is darker than what surrounds it, whatever the scanner's fan: its mask lies where it is drawn."""
    rng, where, view = np.random.default_rng(1), aims(phantom, T.LIVER), GridRenderer(tiny_card(), CPU, scanner="drawn")
    poses = np.stack([draw_pose(rng, where, tiny_card().probe, True) for _ in range(12)])
    batch = view.us(sampler_on(CPU, phantom, 0), phantom, poses, range(12))
    vessel, liver = (batch.image[(batch.tissue == tissue) & batch.valid].mean() for tissue in (T.VESSEL, T.LIVER))
    assert vessel < 0.8 * liver


def test_every_draw_has_its_own_noise(box: Patient) -> None:
    sampler, view = sampler_on(CPU, box, 0), GridRenderer(tiny_card(), CPU)
    images = view.us(sampler, box, np.stack([on_the_box()] * 2), [0, 1]).image
    assert not torch.equal(images[0], images[1])


def test_tensors_of_the_device_give_the_same_slices(box: Patient) -> None:
    on_device, poses = TensorSampler(box, 0, CPU), on_the_box()[None]
    view, compiled = GridRenderer(tiny_card(), CPU), sampler_on(CPU, box, 0)
    a, b = view.ct(on_device, on_device, box, poses, [0]), view.ct(compiled, compiled, box, poses, [0])
    torch.testing.assert_close(a.hu, b.hu, atol=0.5, rtol=0)
    assert (a.visible == b.visible).float().mean() > 0.99


# -- poses --------------------------------------------------------------------------------------------------


def test_poses_stand_on_the_skin_and_look_into_the_body(phantom: Patient) -> None:
    rng, where, probe = np.random.default_rng(0), aims(phantom), tiny_card().probe
    for _ in range(20):
        pose = draw_pose(rng, where, probe)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
        assert -12 < phantom.skin.distance_at(pose[:3, 3]) < 2
        assert phantom.skin.distance_at(apply(pose, [0, 0, 30.0])) < -10


def share_of_liver(patient: Patient, pose: Matrix) -> float:
    """Liver before bone, gas, lung or air, counted along all scan lines."""
    points = tiny_card(lines=64, samples=128).probe.polar_points
    voxels = np.rint(apply(inverse(patient.volume.ct_from_voxel) @ pose, points)).astype(int)
    shape = np.array(patient.volume.tissue.shape)
    clipped = np.clip(voxels, 0, shape - 1)
    tissue = np.where((voxels == clipped).all(-1), patient.volume.tissue[tuple(np.moveaxis(clipped, -1, 0))], 0)
    count = 0
    for line in tissue:
        for value in line[np.argmax(line > 0) :]:
            if value in (T.BACKGROUND, T.BONE, T.GAS, T.LUNG):
                break
            count += value == T.LIVER
    return count / tissue.size


def test_liver_views_show_as_much_liver_as_the_real_frames(phantom: Patient) -> None:
    rng, where, probe = np.random.default_rng(2), aims(phantom, only=T.LIVER), tiny_card().probe
    shares = [share_of_liver(phantom, draw_pose(rng, where, probe, liver_view=True)) for _ in range(20)]
    assert np.mean([0.2 <= share <= 0.65 for share in shares]) >= 0.85


def test_without_organs_poses_aim_at_the_body(box: Patient) -> None:
    volume = box.volume
    bare = Patient(type(volume)(
        volume.hu, np.where(volume.tissue > 0, T.FAT, 0).astype(np.uint8), volume.ct_from_voxel, "bare", "0"
    ), box.skin)  # fmt: skip
    where = aims(bare)
    assert where.classes == [T.SOFT]
    assert abs(bare.skin.distance_at(draw_pose(np.random.default_rng(0), where, tiny_card().probe)[:3, 3])) < 12


# -- clinical scans -----------------------------------------------------------------------------------------


def test_a_clinical_scan_is_coarser_noisier_and_the_same_patient(phantom: Patient) -> None:
    fine, coarse = phantom.volume, clinical(phantom.volume, np.random.default_rng(0))
    assert ((coarse.spacing >= 1.5 - 1e-9) & (coarse.spacing <= 3.0 + 1e-9)).all()
    for organ in (T.LIVER, T.KIDNEY, T.SPLEEN):
        litres = [np.count_nonzero(v.tissue == organ) * v.spacing.prod() for v in (fine, coarse)]
        assert litres[1] == pytest.approx(litres[0], rel=0.02)
    air = coarse.hu[(coarse.hu < -900) & (coarse.tissue == T.BACKGROUND)]
    fluid = [v.hu[v.tissue == T.FLUID].std() for v in (fine, coarse)]
    assert air.std() > 5
    assert 8 < fluid[1] < 80


def test_without_contrast_agent_liver_and_vessels_look_alike(phantom: Patient) -> None:
    gaps = []
    for seed in range(8):
        coarse = clinical(phantom.volume, np.random.default_rng(seed))
        gaps.append(np.median(coarse.hu[coarse.tissue == T.VESSEL]) - np.median(coarse.hu[coarse.tissue == T.LIVER]))
    native = [gap for gap in gaps if abs(gap + 10) < 6]  # 40 HU of blood, 50 of liver
    assert native
    assert max(gaps) > 20


# -- sources ------------------------------------------------------------------------------------------------


def source(kind: type[PatientSource], cases: int = 6, **options: object) -> PatientCt | PatientUs:
    made = kind([box_patient] * cases, tiny_card(), length=8, at_once=3, prefetch=False, **options)  # type: ignore[arg-type]
    assert isinstance(made, PatientCt | PatientUs)
    return made


@pytest.mark.parametrize("kind", [PatientCt, PatientUs])
def test_a_sample_depends_on_seed_epoch_and_index_alone(kind: type[PatientSource]) -> None:
    first, again = source(kind), source(kind)
    batch = first.batch([0, 4, 2, 7], epoch=3)
    first.batch([1, 1], epoch=9)
    assert same(first.batch([2], epoch=3), batch.pick([2]))
    assert same(again.batch([7, 2], epoch=3), batch.pick([3, 2]))
    assert not same(first.batch([2], epoch=4), batch.pick([2]))
    assert not same(source(kind, seed=1).batch([2], epoch=3), batch.pick([2]))


def test_an_epoch_replaces_some_patients_of_the_one_before() -> None:
    made = source(PatientCt)
    epochs = [made.patients_of(epoch) for epoch in range(7)]
    assert all(len(set(patients)) == 3 for patients in epochs)
    assert all(len(set(a) & set(b)) == 2 for a, b in pairwise(epochs))
    assert set().union(*epochs) == set(range(6))
    assert epochs[6] == epochs[0]


def test_ct_and_ultrasound_of_the_same_seed_show_other_poses() -> None:
    ct, us = source(PatientCt, degrade=False), source(PatientUs, degrade=False)
    assert not torch.equal(ct.batch([0]).tissue, us.batch([0]).tissue)


def test_phantom_sources_give_whole_batches() -> None:
    options = {"length": 4, "at_once": 1, "prefetch": False}
    ct, us = PhantomCt([3], tiny_card(), **options).batch([0, 1]), PhysicsUs([3], tiny_card(), **options).batch([0])
    assert ct.physics is not None
    assert ct.scatter is not None
    assert ct.physics.shape == ct.hu.shape == (2, 64, 32)
    assert ct.physics.min() >= 0
    assert ct.physics.max() <= 255
    assert us.has_mask.all()
    assert us.source.tolist() == [0]
    assert set(us.tissue.unique().tolist()) <= set(range(14))


def test_a_source_without_patients_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one patient"):
        PatientCt([], tiny_card())


class Numbers:
    """A source whose sample i of epoch e is the number 100 e + i."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __len__(self) -> int:
        return 10

    def batch(self, indices: Sequence[int], epoch: int = 0) -> UsBatch:
        image = torch.tensor([float(self.first + 100 * epoch + i) for i in indices])[:, None, None]
        known = torch.ones(len(indices), dtype=torch.bool)
        return UsBatch(image, image.to(torch.uint8), known, image > -1, torch.full((len(indices),), self.first))


def test_mixed_draws_by_weight_and_keeps_the_order() -> None:
    mixed = Mixed([Numbers(0), Numbers(1000)], [1, 3], length=400)
    assert len(mixed) == 400
    batch = mixed.batch(range(400))
    # Four standard deviations of a share of 3/4 among 400 are 0.087.
    assert abs((batch.source == 1000).float().mean() - 0.75) < 0.087
    assert torch.equal(mixed.batch([17, 3]).image, batch.pick([17, 3]).image)
    assert (mixed.batch(range(400), epoch=2).image.flatten() % 1000 // 100 == 2).all()


def test_a_weight_of_zero_is_never_drawn() -> None:
    batch = Mixed([Numbers(0), Numbers(1000)], [1, 0]).batch(range(20))
    assert (batch.source == 0).all()


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, float("nan")]])
def test_weights_that_fit_no_sources_are_refused(weights: list[float]) -> None:
    with pytest.raises(DataError, match="weights"):
        Mixed([Numbers(0), Numbers(1)], weights)


# -- flips and rotations ------------------------------------------------------------------------------------


class Marked:
    """A source whose samples have one bright pixel of liver, at (row, column)."""

    def __init__(self, card: Card, row: int, column: int) -> None:
        self.image = torch.zeros(1, *card.size)
        self.image[0, row, column] = 200.0
        self.valid = torch.ones(1, *card.size, dtype=torch.bool)

    def __len__(self) -> int:
        return 64

    def batch(self, indices: Sequence[int], epoch: int = 0) -> UsBatch:
        count = len(indices)
        image = self.image.expand(count, -1, -1)
        known = torch.ones(count, dtype=torch.bool)
        return UsBatch(image, (image > 0).to(torch.uint8), known, self.valid.expand_as(image), known.long())


def test_samples_are_flipped_and_turned_as_one() -> None:
    card = tiny_card(lines=64)
    batch = Augmented(Marked(card, 10, 20), card, rotation=np.radians(60 / 64 * 4)).batch(range(64))
    assert torch.equal(batch.image > 0, batch.tissue > 0)
    columns = batch.image.flatten(1).argmax(dim=1) % 64
    rows = batch.image.flatten(1).argmax(dim=1) // 64
    assert (rows == 10).all()
    # Turned by up to four lines, then flipped or not.
    assert set(columns.tolist()) == set(range(16, 25)) | set(range(63 - 24, 63 - 15))
    assert not batch.valid.all()
    assert batch.valid.float().mean() > 0.9


def test_without_rotation_half_of_the_samples_are_mirrored() -> None:
    for grid in ("polar", "cartesian"):
        card = tiny_card(grid)
        source = Marked(card, 10, 20)
        batch, plain = Augmented(source, card, rotation=0.0).batch(range(64)), source.batch(range(64))
        mirrored = (batch.image == plain.image.flip(-1)).all(dim=(1, 2))
        assert ((batch.image == plain.image).all(dim=(1, 2)) ^ mirrored).all()
        assert 16 < mirrored.sum() < 48
        assert batch.valid.all()


def test_a_frame_turns_about_the_centre_of_its_fan() -> None:
    card = tiny_card("cartesian", pixels=96)
    probe = card.probe
    batch = Augmented(Marked(card, 60, 48), card, rotation=0.15).batch(range(20))
    start = probe.pixel_points[60, 48]
    radius, angle = np.hypot(start[0], start[2] + probe.apex), np.arctan2(start[0], start[2] + probe.apex)
    for image in batch.image:
        lit = probe.pixel_points[(image > 0).numpy()]
        if len(lit):  # nearest neighbour may lose a single pixel
            assert np.hypot(lit[:, 0], lit[:, 2] + probe.apex) == pytest.approx(radius, abs=3)
            assert np.abs(np.abs(np.arctan2(lit[:, 0], lit[:, 2] + probe.apex)) - angle).max() < 0.15 + 0.02


# -- the pool -----------------------------------------------------------------------------------------------


def test_the_pool_makes_an_item_once_and_keeps_the_latest() -> None:
    made: list[int] = []

    def square(number: int) -> int:
        made.append(number)
        return number**2

    pool = PatientPool(square, keep=2)
    assert [pool[n] for n in (1, 2, 1, 3, 1, 2)] == [1, 4, 1, 9, 1, 4]
    assert made == [1, 2, 3, 2]


def test_expected_items_are_made_in_the_background() -> None:
    made, threads = threading.Event(), []

    def make(number: int) -> int:
        threads.append(threading.current_thread().name)
        made.set()
        return number

    pool = PatientPool(make, keep=2, prefetch=True)
    pool.expect([5])
    assert made.wait(10)
    assert pool[5] == 5
    assert len(threads) == 1
    assert threads[0].startswith("next-patient")


def test_an_item_still_waiting_in_the_queue_is_made_at_once() -> None:
    begun, release = threading.Event(), threading.Event()

    def make(number: int) -> int:
        if number == 1:
            begun.set()
            assert release.wait(10)
        return number

    pool = PatientPool(make, keep=4, prefetch=True)
    pool.expect([1, 2])
    assert begun.wait(10)
    assert pool[2] == 2  # although the background thread is busy with 1
    release.set()
    assert pool[1] == 1


def test_a_failure_reaches_whoever_asks_for_the_item() -> None:
    def make(number: int) -> int:
        raise DataError(f"patient {number} is damaged")

    for prefetch in (False, True):
        pool = PatientPool(make, keep=1, prefetch=prefetch)
        pool.expect([4])
        with pytest.raises(DataError, match="patient 4 is damaged"):
            pool[4]

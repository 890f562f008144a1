from __future__ import annotations

import csv
import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from safetensors import safe_open
from scipy.ndimage import map_coordinates
from tests.core.patients import box_patient
from tests.train.forks import Forks
from tests.train.synthetic import TinyCt
from tests.train.tiny import tiny_card

from scyclegan_train.config_file import load_config
from scyclegan_train.data.cases import CtCase, find_cases, read_list, shard_of
from scyclegan_train.data.cutting import Cut, drawn_cases, prepare_case, slices_of, transverse_poses
from scyclegan_train.data.faults import DataError, Faults
from scyclegan_train.data.slices import PreparedCt, about_slices, write_slices
from scyclegan_train.data.splits import split_of
from scyclegan_train.prepare import main
from us_sim.core.files import is_partial
from us_sim.core.generator.card import Card
from us_sim.core.sampling.reslice import reslice
from us_sim.core.tissue import TissueClass as T

CASES = 4


def write_case(images: Path, labels: Path, name: str, seed: int) -> None:
    """A box of liver with another noise for each case, in the layout of AbdomenCT-1K."""
    volume = box_patient(noise=4.0 + seed).volume
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume.hu, volume.ct_from_voxel), images / f"{name}_0000.nii.gz")
    liver = (volume.tissue == T.LIVER).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(liver, volume.ct_from_voxel), labels / f"{name}.nii.gz")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("AbdomenCT-1K")
    for n in range(CASES):
        write_case(folder / "images", folder / "labels", f"Case_{n:05d}", n)
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text("generator: {grid: polar, scan_lines: 32, samples: 64}")
    return path


@pytest.fixture(scope="module")
def card(config: Path) -> Card:
    return load_config(config).generator.card()


@pytest.fixture(scope="module")
def whole(scans: Path, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    assert prepare(scans, config, out) == 0
    return out


def arguments(scans: Path, config: Path, out: Path, *more: str) -> list[str]:
    return [
        str(scans / "images"), "--labels", str(scans / "labels"), "--config", str(config), "--out", str(out),
        "--slices", "3", *more,
    ]  # fmt: skip


def prepare(scans: Path, config: Path, out: Path, *more: str) -> int:
    return main(arguments(scans, config, out, *more))


def contents(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file of slices with its tensors and its header."""
    found = {}
    for path in sorted(p for p in folder.glob("*.safetensors") if not is_partial(p)):
        with safe_open(str(path), "pt") as file:
            found[path.name] = {**{name: file.get_tensor(name) for name in file.keys()}, **file.metadata()}  # noqa: SIM118
    return found


def equal(a: dict[str, dict[str, Any]], b: dict[str, dict[str, Any]]) -> bool:
    def same(x: Any, y: Any) -> bool:
        if isinstance(x, torch.Tensor) and x.is_floating_point():
            # A process that compiled the kernels itself and one that loaded them from the cache round the scatterers
            # (N(0, 1), half precision) differently in the last bit of float32; everything else is equal to the bit.
            return bool(torch.allclose(x, y, rtol=2e-3, atol=1e-6))
        return bool(torch.equal(x, y)) if isinstance(x, torch.Tensor) else bool(x == y)

    return a.keys() == b.keys() and all(
        a[n].keys() == b[n].keys() and all(same(a[n][key], b[n][key]) for key in a[n]) for n in a
    )


# -- what is written ----------------------------------------------------------------------------------------


def test_every_case_becomes_a_file_of_slices(whole: Path) -> None:
    found = contents(whole)
    assert sorted(found) == [f"Case_{n:05d}.safetensors" for n in range(CASES)]
    for name, tensors in found.items():
        assert tensors["hu"].shape == (3, 64, 32)
        assert tensors["hu"].dtype == torch.int16
        assert tensors["patient"] == name.removesuffix(".safetensors")
        assert tensors["split"] == split_of(tensors["patient"])


def test_hu_are_kept_as_they_are(scans: Path, whole: Path, card: Card) -> None:
    hu = contents(whole)["Case_00000.safetensors"]["hu"]
    assert hu.min() == -1000  # no window cuts them off
    assert hu.max() > 300
    patient = box_patient(noise=4.0)
    pose = transverse_poses(patient, card.probe, 1, np.random.default_rng([0, int(patient.sha256[:8], 16)]))
    points = np.ascontiguousarray(card.probe.polar_points.transpose(1, 0, 2))
    expected, _ = reslice(patient.volume, points, pose)
    batch = slices_of(patient, card, "transverse", 1, 0)
    torch.testing.assert_close(batch.hu, torch.from_numpy(expected))


def test_prepared_slices_are_those_of_the_patient(whole: Path, card: Card, config: Path) -> None:
    patient = box_patient(noise=4.0)
    source = PreparedCt(whole, card, split=None)
    assert len(source) == 3 * CASES
    stored = contents(whole)["Case_00000.safetensors"]
    assert stored["tissue"].unique().tolist() != [0]
    batch = source.batch(range(len(source)))
    assert batch.hu.dtype == torch.float32
    assert batch.physics is not None
    assert batch.physics.max() <= 255
    # All slices of an epoch, each once.
    sums = sorted(batch.hu.sum(dim=(1, 2)).tolist())
    files = sorted(float(hu.float().sum()) for entry in contents(whole).values() for hu in entry["hu"])
    assert sums == files
    assert patient.volume.hu.min() == -1000


def test_a_sample_depends_on_seed_epoch_and_index_alone(whole: Path, card: Card) -> None:
    source, other = PreparedCt(whole, card, split=None), PreparedCt(whole, card, split=None)
    batch = source.batch([4, 1, 9], epoch=2)
    assert torch.equal(other.batch([9, 4], epoch=2).hu, batch.pick([2, 0]).hu)
    assert not torch.equal(source.batch(range(8), epoch=3).hu, source.batch(range(8), epoch=2).hu)


def test_splits_keep_patients_apart(tmp_path: Path, scans: Path, config: Path, card: Card) -> None:
    lines = [
        {"ct": f"images/Case_{n:05d}_0000.nii.gz", "labels": f"labels/Case_{n:05d}.nii.gz",
         "patient": "ab"[n % 2], "split": ("train", "test")[n % 2]}
        for n in range(3)
    ]  # fmt: skip
    path = write_list(scans / "pairs.csv", lines)
    assert main(["--list", str(path), "--config", str(config), "--out", str(tmp_path / "o"), "--slices", "2"]) == 0
    train, test = (PreparedCt(tmp_path / "o", card, split=split) for split in ("train", "test"))
    assert (train.patients, len(train)) == (["a"], 4)
    assert (test.patients, len(test)) == (["b"], 2)


def test_transverse_slices_lie_as_in_the_paper() -> None:
    patient, card = box_patient(noise=0), tiny_card("cartesian")
    batch = slices_of(patient, card, "transverse", 3, 0)
    assert batch.physics is None
    assert torch.equal(batch.valid[0], torch.tensor(card.probe.fan_mask))
    # The bone lies at x = -22 (the patient's left, so the image's right) and y = 34 (anterior, so the upper half).
    bone = [torch.nonzero(tissue == T.BONE).float() for tissue in batch.tissue]
    rows, columns = torch.cat(bone).mean(dim=0)
    dx, dz = card.probe.pixel_spacing
    assert columns.item() == pytest.approx(23.5 + 22 / dx, abs=1)
    assert rows.item() == pytest.approx(23.5 - 34 / dz, abs=1)


def test_a_frame_covers_the_whole_slice_whatever_its_size_in_mm() -> None:
    patient = box_patient(noise=4.0)
    volume = patient.volume
    card = load_config("paper.yaml", ["generator.pixels=80"]).generator.card()
    batch = slices_of(patient, card, "transverse", 3, 0, whole_slice=True)
    levels = [k for k in range(volume.hu.shape[2]) if (volume.tissue[:, :, k] == T.LIVER).any()]
    # Two pixels a voxel: rows from anterior to posterior, columns from the patient's right to the left.
    places = np.meshgrid(*2 * [(np.arange(80) + 0.5) / 2 - 0.5], indexing="ij")
    planes = [volume.hu[::-1, ::-1, k].T.astype(np.float64) for k in levels]
    every = np.stack([map_coordinates(plane, places, order=1, cval=-1000) for plane in planes])
    for hu in batch.hu.numpy():
        assert np.abs(every - hu).max(axis=(1, 2)).min() < 0.5
    assert batch.scatter is None


def test_transverse_slices_are_drawn_among_those_that_show_an_organ() -> None:
    patient, card = box_patient(noise=0), tiny_card("cartesian")
    rng = np.random.default_rng(0)
    organs = (patient.volume.tissue == T.LIVER).any(axis=(0, 1))
    levels = patient.volume.ct_from_voxel[2, 3] + patient.volume.ct_from_voxel[2, 2] * np.flatnonzero(organs)
    drawn = [transverse_poses(patient, card.probe, 5, rng)[:, 2, 3] for _ in range(2)]
    assert not np.array_equal(drawn[0], drawn[1])
    for heights in drawn:
        assert len(set(heights)) == 5
        assert np.abs(heights[:, None] - levels).min(axis=1).max() < 2e-3
    assert len(transverse_poses(patient, card.probe, len(levels) + 3, rng)) == len(levels) + 3


def test_the_papers_set_is_drawn_by_its_configuration_alone(scans: Path, tmp_path: Path) -> None:
    paper = load_config("paper.yaml").prepare
    assert (paper.poses, paper.whole_slice, paper.slices, paper.scans) == ("transverse", True, 10, 200)
    config = tmp_path / "tiny.yaml"
    config.write_text("{generator: {pixels: 32}, prepare: {poses: transverse, slices: 2, scans: 1}}")
    folders = [str(scans / "images"), "--labels", str(scans / "labels"), "--config", str(config)]
    assert main([*folders, "--out", str(tmp_path / "set")]) == 0
    found = contents(tmp_path / "set")
    assert len(found) == len({entry["split"] for entry in found.values()})  # one of each split
    assert all(entry["hu"].shape == (2, 32, 32) and "physics" not in entry for entry in found.values())
    assert main([*folders, "--out", str(tmp_path / "more"), "--scans", "9", "--slices", "1"]) == 0
    assert len(contents(tmp_path / "more")) == CASES


def test_scans_are_drawn_by_seed_from_each_split(tmp_path: Path) -> None:
    names = [(f"{split}{n}", split) for n in range(30) for split in ("train", "val")]
    cases = [CtCase(tmp_path, tmp_path, name, split, name) for name, split in names]
    drawn = drawn_cases(cases, 5, 0)
    assert [case.split for case in drawn].count("train") == [case.split for case in drawn].count("val") == 5
    assert drawn == drawn_cases(cases, 5, 0) != drawn_cases(cases, 5, 1)
    assert drawn_cases(cases, 0, 0) == cases


def test_the_same_slices_are_the_same_bytes(tmp_path: Path) -> None:
    batch = TinyCt(tiny_card()).batch([0, 1])
    about = {"split": "train", "patient": "Müller", "ct": "x.nii", "sha256": "0"}
    write_slices(tmp_path / "a.safetensors", batch, about)
    data = (tmp_path / "a.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert list(header["__metadata__"]) == ["ct", "patient", "sha256", "split"]
    assert about_slices(tmp_path / "a.safetensors") == {**about, "slices": "2"}
    with safe_open(str(tmp_path / "a.safetensors"), "pt") as file:
        assert torch.equal(file.get_tensor("hu"), batch.hu.round().to(torch.int16))
        assert torch.equal(file.get_tensor("tissue"), batch.tissue)
    write_slices(tmp_path / "b.safetensors", batch, dict(reversed(about.items())))
    assert (tmp_path / "b.safetensors").read_bytes() == data


# -- shards, processes, interruption ------------------------------------------------------------------------


def test_shards_together_make_the_whole(tmp_path: Path, scans: Path, config: Path, whole: Path) -> None:
    for shard in ("1/2", "2/2"):
        assert prepare(scans, config, tmp_path, "--shard", shard) == 0
    assert equal(contents(tmp_path), contents(whole))


def test_processes_make_the_same_as_one(tmp_path: Path, scans: Path, config: Path, whole: Path) -> None:
    assert prepare(scans, config, tmp_path, "--workers", "2") == 0
    assert equal(contents(tmp_path), contents(whole))


def killed_in_the_middle(case: CtCase, cut: Cut, told: Path) -> tuple[str, tuple[str, ...]]:
    """`prepare_case` in a worker; the first is killed -9 when its file is written, but not yet in its place."""
    try:
        told.touch(exist_ok=False)
    except FileExistsError:
        return prepare_case(case, cut)
    Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment,method-assign]
    return prepare_case(case, cut)


def test_two_workers_of_which_one_is_killed_write_the_same_bytes(
    tmp_path: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: extra cluster")
    config = tmp_path / "tiny.yaml"
    config.write_text("{generator: {pixels: 32}, prepare: {poses: transverse}}")
    assert prepare(scans, config, tmp_path / "one") == 0
    killed = partial(killed_in_the_middle, told=tmp_path / "killed")
    monkeypatch.setattr("scyclegan_train.prepare.prepare_case", killed)
    assert prepare(scans, config, tmp_path / "two", "--workers", "2") == 0
    assert (tmp_path / "killed").exists()
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == CASES + 1
    assert sorted(path.name for path in (tmp_path / "two").iterdir() if not is_partial(path)) == files
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)


def killed_at_the_third_file(*given: str) -> int:
    """`prepare` in a process that is killed -9 when its third file is written, but not yet in its place."""
    done, replace = list[object](), os.replace

    def replace_and_die(source: str, target: str) -> None:
        if str(target).endswith(".safetensors"):
            done.append(target)
            if len(done) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = replace_and_die  # type: ignore[assignment]  # which paths use too
    return main(list(given))


def test_after_a_kill_it_goes_on_where_it_was(
    forks: Forks, tmp_path: Path, scans: Path, config: Path, whole: Path
) -> None:
    given = arguments(scans, config, tmp_path)
    [killed] = forks.run("tests.train.test_prepare", "killed_at_the_third_file", [given])
    assert killed.returncode == -signal.SIGKILL
    assert len(contents(tmp_path)) == 2  # the third was written, but not yet in its place
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.safetensors") if not is_partial(p)}
    assert prepare(scans, config, tmp_path) == 0
    assert equal(contents(tmp_path), contents(whole))
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_damaged_file_is_made_again(tmp_path: Path, scans: Path, config: Path, whole: Path) -> None:
    for path in whole.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    victim = tmp_path / "Case_00001.safetensors"
    victim.write_bytes(victim.read_bytes()[:500])
    assert prepare(scans, config, tmp_path) == 0
    assert equal(contents(tmp_path), contents(whole))


# -- refusals -----------------------------------------------------------------------------------------------


def test_bad_scans_are_named_and_left_out(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scans = tmp_path / "scans"
    for n in range(2):
        write_case(scans / "images", scans / "labels", f"Case_{n:05d}", n)
    (scans / "images" / "Case_00000_0000.nii.gz").write_bytes(b"damaged")
    (scans / "labels" / "Case_00009.nii.gz").write_bytes(b"")
    (scans / "images" / "Case_00008_0000.nii.gz").write_bytes(b"")
    assert prepare(scans, config, tmp_path / "out") == 0
    printed = capsys.readouterr().err
    assert list(contents(tmp_path / "out")) == ["Case_00001.safetensors"]
    assert "2 files left out" in printed
    assert "Case_00000_0000.nii.gz" in printed
    assert "Case_00008_0000.nii.gz: has no label map Case_00008.nii.gz" in printed
    assert "Case_00009.nii.gz: is a label map without image" in printed


def test_strict_stops_at_a_bad_scan(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_case(tmp_path / "images", tmp_path / "labels", "Case_00000", 0)
    (tmp_path / "images" / "Case_00000_0000.nii.gz").write_bytes(b"damaged")
    assert prepare(tmp_path, config, tmp_path / "out", "--strict") == 2
    assert "prepare: " in capsys.readouterr().err


def test_nothing_usable_is_a_failure(tmp_path: Path, config: Path) -> None:
    write_case(tmp_path / "images", tmp_path / "labels", "Case_00000", 0)
    (tmp_path / "images" / "Case_00000_0000.nii.gz").write_bytes(b"damaged")
    assert prepare(tmp_path, config, tmp_path / "out") == 2


def test_scans_that_are_all_left_out_are_an_error(
    scans: Path, tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(scans / "images"), "--config", str(config), "--out", str(tmp_path)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "Case_00000_0000.nii.gz: has no label map Case_00000.nii.gz" in told
    assert "no scan can be used, for the reasons above; label maps in another folder are given by --labels" in told


def test_labels_of_another_patient_are_named(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_case(tmp_path / "images", tmp_path / "labels", "Case_00000", 0)
    volume = box_patient().volume
    far = volume.ct_from_voxel.copy()
    far[:3, 3] += 900
    mask = (volume.tissue == T.LIVER).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(mask, far), tmp_path / "labels" / "Case_00000.nii.gz")
    assert prepare(tmp_path, config, tmp_path / "out") == 2
    assert "Case_00000" in capsys.readouterr().err


def test_slices_of_another_recipe_are_not_mixed_in(
    scans: Path, config: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(scans, config, whole, "--seed", "3") == 2
    assert "slices were made with other seed; give another folder" in capsys.readouterr().err


def test_files_of_somebody_else_are_not_replaced(scans: Path, config: Path, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    (tmp_path / "Case_00001.safetensors").write_bytes(b"weights")
    assert prepare(scans, config, tmp_path) == 2
    assert "holds Case_00001.safetensors, which prepare did not write; give another folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["Case_00001.safetensors"]


def test_slices_of_another_grid_are_refused(whole: Path) -> None:
    with pytest.raises(DataError, match="its slices have another probe than the run"):
        PreparedCt(whole, tiny_card(lines=64))
    with pytest.raises(DataError, match="its slices have another grid"):
        PreparedCt(whole, tiny_card("cartesian"))


def test_a_folder_without_slices_is_refused(tmp_path: Path, card: Card, whole: Path) -> None:
    with pytest.raises(DataError, match="no prepared slices here"):
        PreparedCt(tmp_path, card)
    (tmp_path / "recipe.json").write_bytes((whole / "recipe.json").read_bytes())
    with pytest.raises(DataError, match="holds 0 scans, none of split train"):
        PreparedCt(tmp_path, card)


def test_a_damaged_file_of_slices_is_refused(tmp_path: Path, card: Card, whole: Path) -> None:
    for path in whole.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "Case_00002.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"Case_00002\.safetensors: damaged"):
        PreparedCt(tmp_path, card)


def test_the_recipe_is_readable_json(whole: Path) -> None:
    recipe = json.loads((whole / "recipe.json").read_text())
    assert (recipe["grid"], recipe["slices"], recipe["poses"]) == ("polar", 3, "skin")


# -- lists --------------------------------------------------------------------------------------------------


def write_list(path: Path, lines: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


def test_a_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii").touch()
    lines = [{"ct": "a.nii", "labels": "a.nii", "patient": "p", "split": split} for split in ("train", "val")]
    with pytest.raises(DataError, match="patient p is in two splits, train and val"):
        read_list(write_list(tmp_path / "l.csv", lines), 0, Faults())


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ({"ct": "a.nii", "labels": "gone.nii"}, r"line 2: no such file: .*gone\.nii"),
        ({"ct": "a.nii", "labels": ""}, "line 2: no such file"),
        ({"ct": "a.nii", "labels": "a.nii", "split": "holdout"}, "line 2: split is 'holdout'; expected train, val"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: dict[str, str], match: str) -> None:
    (tmp_path / "a.nii").touch()
    path = write_list(tmp_path / "l.csv", [line])
    with pytest.raises(DataError, match=match):
        read_list(path, 0, Faults(strict=True))
    faults = Faults()
    assert read_list(path, 0, faults) == []
    assert len(faults.found) == 1


def test_a_list_without_its_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"columns are \['x'\]; expected ct, labels"):
        read_list(write_list(tmp_path / "l.csv", [{"x": "1"}]), 0, Faults())
    with pytest.raises(DataError, match="cannot be read as a list"):
        read_list(tmp_path / "gone.csv", 0, Faults())


def test_scans_of_one_patient_share_a_split(tmp_path: Path) -> None:
    (tmp_path / "a.nii").touch()
    lines = [{"ct": "a.nii", "labels": "a.nii", "patient": f"p{n // 3}"} for n in range(30)]
    cases = read_list(write_list(tmp_path / "l.csv", lines), 0, Faults())
    assert len({case.name for case in cases}) == 30
    assert len({(case.patient, case.split) for case in cases}) == 10


def test_folders_without_scans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no files named like Case_00001_0000"):
        find_cases(tmp_path, None, 0, Faults())
    with pytest.raises(DataError, match="no such folder of CT scans"):
        find_cases(tmp_path / "gone", None, 0, Faults())


def test_images_and_labels_may_lie_in_one_folder(tmp_path: Path) -> None:
    for name in ("Case_00001_0000.nii.gz", "Case_00001.nii.gz"):
        (tmp_path / name).touch()
    [case] = find_cases(tmp_path, None, 0, Faults())
    assert (case.patient, case.labels.name) == ("Case_00001", "Case_00001.nii.gz")


def test_shards_part_the_cases() -> None:
    cases: Any = list(range(7))
    assert shard_of(cases, "1/3") == [0, 3, 6]
    parts: list[Any] = [number for i in (1, 2, 3) for number in shard_of(cases, f"{i}/3")]
    assert sorted(parts) == cases


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0"])
def test_impossible_shards_are_refused(shard: str) -> None:
    with pytest.raises(DataError, match="expected i/n"):
        shard_of([], shard)


def test_one_kind_of_input_has_to_be_given(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--config", str(config)]) == 2
    assert "give either a folder of images or --list" in capsys.readouterr().err


# -- real CT ------------------------------------------------------------------------------------------------


def test_a_real_scan_is_prepared(
    tmp_path: Path, shared_data: Path, config: Path, card: Card, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "ct_abdomen"
    line = {"ct": str(folder / "ct.nii.gz"), "labels": str(folder / "labels.nii.gz"), "split": "train"}
    path = write_list(tmp_path / "l.csv", [line])
    assert main(["--list", str(path), "--config", str(config), "--out", str(tmp_path / "o"), "--slices", "12"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "labels: the label table in the file's header" in told
    assert "largest labels: colon → soft 1,619.1 ml, liver 1,125.7 ml" in told
    assert "metal above 2500 HU" in told
    batch = PreparedCt(tmp_path / "o", card).batch(range(12))
    assert batch.valid.float().mean() > 0.6
    assert batch.visible.float().mean() > 0.2
    shown = batch.tissue[batch.visible]
    assert {T.LIVER, T.KIDNEY, T.FAT} <= set(shown.unique().tolist())
    assert batch.hu[(batch.tissue == T.LIVER) & batch.visible].median().item() == pytest.approx(44, abs=15)

"""The cache of prepared patients: the same patient, and never another one."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from tests.core.conftest import SmallPatient

from us_sim.core.patient import cache, loading, made_from
from us_sim.core.patient.patient import Patient, builtin_patient, load_patient
from us_sim.core.user_files import cache_folder


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the cached patients, of which the smallest is one."""
    monkeypatch.setenv("US_SIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "LEAST_VOXELS", 1)
    return tmp_path / "cache" / "patients"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, small_patient: SmallPatient) -> tuple[Path, Path]:
    """CT and labels."""
    folder = tmp_path_factory.mktemp("torso")
    labels = small_patient.labels_at(small_patient.points(small_patient.shape, small_patient.ct_from_voxel))
    return small_patient.write_nifti(folder / "ct.nii.gz"), small_patient.write_nifti(folder / "liver.nii.gz", labels)


def load(files: tuple[Path, Path], seed: int = 0) -> Patient:
    return load_patient(files[0], files[1], detail=False, seed=seed)


def assert_same(one: Patient, other: Patient) -> None:
    for part in ("volume", "skin"):
        for item in fields(getattr(one, part)):
            ours, theirs = (getattr(getattr(which, part), item.name) for which in (one, other))
            if not isinstance(ours, np.ndarray):
                assert ours == theirs, item.name
                continue
            assert (ours.dtype, ours.flags.c_contiguous, ours.flags.aligned) == (theirs.dtype, True, True)
            assert theirs.flags.writeable  # loops compiled for the one take the other
            np.testing.assert_array_equal(ours, theirs, item.name)


def test_a_patient_from_the_cache_is_the_same_to_the_bit(files: tuple[Path, Path], kept: Path) -> None:
    first, second = load_patient(*files), load_patient(*files)
    assert "prepared in" in first.origin
    assert f"kept in {kept}" in first.origin
    assert second.origin.startswith(f"read from {kept}")
    assert first.volume.echo is not None
    assert first.labelling
    assert_same(first, second)


def test_the_arrays_are_mapped_and_a_change_stays_in_the_process(files: tuple[Path, Path]) -> None:
    load(files)
    mapped = load(files)
    assert not mapped.volume.hu.flags.owndata
    mapped.volume.hu[0, 0, 0] += 1
    assert load(files).volume.hu[0, 0, 0] == mapped.volume.hu[0, 0, 0] - 1


def test_whatever_a_patient_depends_on_makes_another(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ct, labels = (tmp_path / path.name for path in files)
    ct.write_bytes(files[0].read_bytes())
    labels.write_bytes(files[1].read_bytes())
    mapping = tmp_path / "map.yaml"
    mapping.write_text("1: liver\n2: kidney\n")

    def digests() -> list[str | None]:
        return [
            made_from.digest_of_ct(ct, labels, None, None, True, 0),
            made_from.digest_of_ct(ct, None, None, None, True, 0),
            made_from.digest_of_ct(ct, labels, "ours", None, True, 0),
            made_from.digest_of_ct(ct, labels, None, mapping, True, 0),
            made_from.digest_of_ct(ct, labels, None, None, False, 0),
            made_from.digest_of_ct(ct, labels, None, None, True, 1),
            made_from.digest_of_phantom(0, True),
            made_from.digest_of_phantom(0, False),
        ]

    before = digests()
    assert len({*before}) == len(before)
    assert None not in before
    assert digests() == before
    assert made_from.digest_of_ct(ct, labels, str(mapping), None, True, 0) == before[3]
    mapping.write_text("1: spleen\n2: kidney\n")
    assert digests()[3] != before[3]
    assert digests()[:3] == before[:3]
    (tmp_path / "labels.csv").write_text("id,name\n1,liver\n")  # a table beside the file
    assert digests()[0] != before[0]
    assert digests()[6] == before[6]
    (tmp_path / "labels.csv").unlink()
    labels.rename(tmp_path / "other.nii.gz")  # its name may say what it holds
    labels = tmp_path / "other.nii.gz"
    assert digests()[0] != before[0]
    made_from.preparing.cache_clear()
    monkeypatch.setattr(made_from, "_version", lambda library: f"{library} of tomorrow")
    assert digests()[6] != before[6]
    made_from.preparing.cache_clear()


def test_folders_count_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "series" / "below").mkdir(parents=True)
    (tmp_path / "series" / "1.dcm").write_bytes(b"one")
    (tmp_path / "series" / "below" / "2.dcm").write_bytes(b"two")

    def digest() -> str | None:
        return made_from.digest_of_ct(tmp_path / "series", None, None, None, True, 0)

    before = digest()
    assert before is not None
    assert digest() == before
    (tmp_path / "series" / "below" / "2.dcm").write_bytes(b"TWO")
    assert digest() not in (before, None)
    (tmp_path / "series" / "below" / "2.dcm").write_bytes(b"two")
    (tmp_path / "series" / "below" / "2.dcm").rename(tmp_path / "series" / "2.dcm")
    assert digest() not in (before, None)


@pytest.mark.parametrize("name", ["1.dcm", "ct.hdr", "ct.nhdr", "ct.mhd", "away.nii.gz", "detached.nrrd"])
def test_what_may_read_other_files_is_not_kept(tmp_path: Path, name: str) -> None:
    if name != "away.nii.gz":
        (tmp_path / name).write_bytes(b"NRRD0004\ndata file: other.raw\n\n")
        (tmp_path / "other.raw").write_bytes(b"\0")
    assert made_from.digest_of_ct(tmp_path / name, None, None, None, True, 0) is None


@pytest.mark.parametrize("damage", ["voxel", "skin", "text", "cut", "type", "gone", "foreign"])
def test_a_damaged_patient_is_prepared_anew(files: tuple[Path, Path], kept: Path, damage: str) -> None:
    first = load(files)
    (place,) = kept.iterdir()
    file = place / {"skin": "distance.npy", "text": "patient.json", "foreign": "patient.json"}.get(damage, "hu.npy")
    content = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    elif damage == "type":
        np.save(file, first.volume.hu.astype(np.int32))
    elif damage == "foreign":
        file.write_text("[1, 2]")
    elif damage == "text":
        file.write_text(file.read_text().replace('"name": "ct"', '"name": "CT"'))
    else:
        content[-1] ^= 1
        file.write_bytes(content[: -100 if damage == "cut" else None])
    again = load(files)
    assert "prepared anew, for what was kept is damaged" in again.origin
    assert f"kept in {place}" in again.origin
    assert_same(first, again)
    assert "read from" in load(files).origin


def test_it_can_be_switched_off(
    files: tuple[Path, Path], kept: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("US_SIM_CACHE", "off")
    assert load(files).origin.endswith("not kept: US_SIM_CACHE is off")
    assert not kept.exists()
    monkeypatch.delenv("US_SIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "us_sim"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "us_sim"


def test_a_folder_that_cannot_be_written_is_told(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("US_SIM_CACHE", "/proc/us_sim")
    assert "not kept (No such file or directory)" in load(files).origin


def test_small_patients_are_not_kept(files: tuple[Path, Path], kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LEAST_VOXELS", 2**31)
    assert load(files).origin.endswith("too small to be kept")
    assert not list(kept.iterdir())


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    files: tuple[Path, Path], tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ct = tmp_path / "ct.nii.gz"
    ct.write_bytes(files[0].read_bytes())
    read = loading.load_volume

    def changing(*arguments: object) -> object:
        loaded = read(*arguments)  # type: ignore[arg-type]
        ct.write_bytes(files[1].read_bytes())
        return loaded

    monkeypatch.setattr(loading, "load_volume", changing)
    assert load_patient(ct).origin.endswith("not kept: its files changed meanwhile")
    assert not list(kept.iterdir())


def test_of_several_that_start_together_one_prepares_and_the_others_read(files: tuple[Path, Path], kept: Path) -> None:
    patient, together = load(files), Barrier(3)
    made: list[int] = []

    def make() -> cache.Parts:
        made.append(1)
        return patient.volume, patient.skin

    def start(_: int) -> str:
        together.wait(20)
        return cache.through_cache(lambda: "f" * 64, make)[1]

    with ThreadPoolExecutor(3) as pool:
        told = sorted(pool.map(start, range(3)))
    assert len(made) == 1
    assert told[0].startswith("prepared in")
    assert all(one.startswith(f"read from {kept}") for one in told[1:])
    assert not list(kept.glob(".*"))


def test_the_least_recently_used_go(files: tuple[Path, Path], kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = list[Path]()
    for seed, age in ((0, 30), (1, 20), (2, 10)):
        load(files, seed=seed)
        (new,) = {*kept.iterdir()} - {*places}
        places.append(new)
        for file in new.iterdir():
            os.utime(file, (time.time() - age, time.time() - age))
    assert "read from" in load(files, seed=0).origin  # the oldest is the latest now
    size = sum(file.stat().st_size for file in places[0].iterdir())
    monkeypatch.setattr(cache, "MOST_BYTES", int(2.5 * size))
    left = kept / ".0123.1.partial"
    left.mkdir()
    (left / "hu.npy").write_bytes(b"left by a process that was killed")
    os.utime(left / "hu.npy", (1, 1))
    load(files, seed=3)
    assert places[0] in {*kept.iterdir()}
    assert len([*kept.iterdir()]) == 2


def test_the_phantoms_of_a_training_are_not_kept(
    kept: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[Path, Path]
) -> None:
    ready = load(files)
    monkeypatch.setattr("us_sim.core.patient.phantom.build.phantom", lambda seed, detail: ready.volume)
    assert builtin_patient(5, keep=False).origin == ""
    assert len([*kept.iterdir()]) == 1
    assert "kept in" in builtin_patient(5).origin
    assert "read from" in builtin_patient(5).origin

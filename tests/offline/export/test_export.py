"""Every export is read back by its own library and holds what went in."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
import types
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from us_sim.offline.export import lerobot_dataset, lerobot_writer
from us_sim.offline.export.command import FORMATS, main
from us_sim.offline.export.samples import Sample, Source, open_source

COUNT, CLASSES = 5, {"background": 0, "liver": 1, "kidney": 2}
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (COUNT, 20, 24), dtype=np.uint8)
LABELS = RNG.integers(0, 3, (COUNT, 20, 24), dtype=np.uint8)
POSES = np.tile(np.eye(4), (COUNT, 1, 1))
POSES[:, 0, 3] = 1000.0 * np.arange(COUNT)  # mm
FORCE = np.outer(np.arange(COUNT), [0.0, 0.0, -1.0])


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset of `--batch` in two shards, written by hand."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    card = {"patient": {"name": "phantom-0", "sha256": "ab" * 32}, "renderer": "physics", "generator": None, "seed": 7,
            "classes": CLASSES, "versions": {"us_sim": "0.2.0"}, "shard": 3, "poses": {"count": COUNT}}  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card))
    for name, part in (("shard_00000", slice(0, 3)), ("shard_00001", slice(3, COUNT))):
        numbers = np.arange(COUNT)[part]
        arrays: dict[str, Any] = {
            "number": numbers, "stamp": 10**9 + numbers * 10**8, "image": IMAGES[part], "labels": LABELS[part],
            "ct_from_probe": POSES[part], "force": FORCE[part], "torque": 1e3 * FORCE[part],
        }  # fmt: skip
        np.savez(folder / f"{name}.npz", **arrays)
    return folder


def exported(dataset: Path, kind: str) -> Path:
    out = dataset.parent / "out"
    assert main([str(dataset), "--to", kind, "--out", str(out)]) == 0
    return out


def python_of(library: str, variable: str) -> str:
    """The Python of a library that has an environment of its own; without it the test is skipped."""
    python = os.environ.get(variable, "")
    if not python:
        pytest.skip(f"{library} has an environment of its own: name its Python in {variable}")
    return python


def test_a_dataset_is_read_in_its_order(dataset: Path) -> None:
    samples = list(open_source(dataset))
    assert [sample.number for sample in samples] == list(range(COUNT))
    assert [sample.seconds for sample in samples] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    np.testing.assert_array_equal(samples[4].image, IMAGES[4])
    np.testing.assert_allclose(samples[3].pose, [3, 0, 0, 0, 0, 0, 1])
    np.testing.assert_allclose(samples[2].wrench, [0, 0, -2, 0, 0, -2])


def test_a_recorded_sweep_is_read(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps({"patient": "anna", "classes": CLASSES}))
    Image.fromarray(IMAGES[0]).save(tmp_path / "image_00000.png")
    Image.fromarray(LABELS[0]).save(tmp_path / "labels_00000.png")
    with (tmp_path / "poses.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "labels", "stamp", "x", "y", "z", "qx", "qy", "qz", "qw"])
        rows.writerow(["image_00000.png", "labels_00000.png", "3.5", 0.1, 0.2, 0.3, 0, 0, 0, 1])
    (sample,) = open_source(tmp_path)
    assert isinstance(sample, Sample)
    np.testing.assert_array_equal(sample.labels, LABELS[0])
    np.testing.assert_allclose(sample.pose, [0.1, 0.2, 0.3, 0, 0, 0, 1])
    assert np.isnan(sample.wrench).all()
    for kind in ("webdataset", "nnunet"):
        assert main([str(tmp_path), "--to", kind, "--out", str(tmp_path / kind)]) == 0


def test_hdf5(dataset: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(exported(dataset, "hdf5") / "data.hdf5") as file:
        demo = file["data/demo_0"]
        assert demo.attrs["num_samples"] == COUNT
        np.testing.assert_array_equal(demo["obs/image"], IMAGES)
        np.testing.assert_array_equal(demo["obs/labels"], LABELS)
        np.testing.assert_allclose(demo["obs/wrench"][:, 2], FORCE[:, 2])
        np.testing.assert_allclose(demo["actions"][:, 0], [1, 2, 3, 4, 4])
        assert list(file["data"].attrs["classes"]) == ["0 background", "1 liver", "2 kidney"]


def test_webdataset(dataset: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    file = exported(dataset, "webdataset") / "frames-000000.tar"
    rows = list(webdataset.WebDataset(str(file), shardshuffle=False).decode("l8"))
    assert [row["__key__"] for row in rows] == [f"{n:08d}" for n in range(COUNT)]
    for n, row in enumerate(rows):
        np.testing.assert_array_equal(row["image.png"], IMAGES[n])
        np.testing.assert_array_equal(row["labels.png"], LABELS[n])
        assert row["json"]["pose"] == [n, 0, 0, 0, 0, 0, 1]


def test_hugging_face_datasets(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets, parquet = pytest.importorskip("datasets"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("us_sim.offline.export.hugging_face.ROWS", 2)
    file = exported(dataset, "parquet") / "train.parquet"
    rows = datasets.Dataset.from_parquet(str(file), cache_dir=str(dataset.parent / "cache"))
    assert len(rows) == COUNT
    groups = parquet.ParquetFile(file).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [2, 2, 1]
    np.testing.assert_array_equal(np.asarray(rows[3]["image"]), IMAGES[3])
    np.testing.assert_array_equal(np.asarray(rows[3]["labels"]), LABELS[3])
    np.testing.assert_allclose(rows[2]["wrench"], [0, 0, -2, 0, 0, -2])


def test_nnunet_raw(dataset: Path) -> None:
    dataset = dataset.rename(dataset.with_name("my data (é)"))
    folder = exported(dataset, "nnunet") / "Dataset001_my_data_"
    about = json.loads((folder / "dataset.json").read_text())
    assert about["labels"] == CLASSES
    assert about["numTraining"] == COUNT == len(list((folder / "imagesTr").glob("*_0000.png")))
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "labelsTr" / "frame_000002.png")), LABELS[2])


READ_BY_NNUNET = """
import sys
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
import numpy as np
folder, back = sys.argv[1:]
if __name__ == "__main__":
    verify_dataset_integrity(folder, 1)
    reader = NaturalImage2DIO()
    image, _ = reader.read_images([folder + "/imagesTr/frame_000001_0000.png"])
    labels, _ = reader.read_seg(folder + "/labelsTr/frame_000001.png")
    np.savez(back, image=image, labels=labels)
"""


def test_nnunet_reads_it(dataset: Path, tmp_path: Path) -> None:
    python = python_of("nnU-Net", "US_SIM_NNUNET_PYTHON")
    folder, back = exported(dataset, "nnunet") / "Dataset001_dataset", tmp_path / "back.npz"
    script = tmp_path / "read.py"  # a file, which its worker processes import
    script.write_text(READ_BY_NNUNET)
    subprocess.run([python, "-E", str(script), str(folder), str(back)], check=True)
    with np.load(back) as rows:
        np.testing.assert_array_equal(rows["image"][0, 0], IMAGES[1])
        np.testing.assert_array_equal(rows["labels"][0, 0], LABELS[1])


def test_a_card_says_where_it_comes_from(dataset: Path) -> None:
    text = (exported(dataset, "nnunet") / "README.md").read_text()
    for part in ("phantom-0", "ab" * 32, "| seed | 7 |", f"| frames | {COUNT} |", "us_sim 0.2.0", "2 kidney",
                 "license: apache-2.0\n", "| generator's training data | none |"):  # fmt: skip
        assert part in text


def changed(dataset: Path, **entries: Any) -> Path:
    """The dataset with other entries of its card."""
    card = json.loads((dataset / "card.json").read_text())
    (dataset / "card.json").write_text(json.dumps({**card, **entries}))
    return dataset


def test_a_card_names_what_a_generator_was_trained_on_and_leaves_a_ct_its_licence(dataset: Path) -> None:
    data = [{"name": "phantoms", "licence": "Apache-2.0"}, {"name": "a sweep", "licence": "CC BY 4.0"}]
    changed(dataset, patient={"name": "anna", "sha256": ""}, generator={"name": "g", "card": {"training_data": data}})
    text = (exported(dataset, "nnunet") / "README.md").read_text()
    for part in ("phantoms (Apache-2.0); a sweep (CC BY 4.0)", "license: other\n", "| licence | that of the CT |"):
        assert part in text


@pytest.mark.parametrize("kind", FORMATS)
def test_few_frames_are_in_memory_at_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []

    def read() -> Iterator[Sample]:
        made: list[weakref.ref[Any]] = []
        for number in range(30):
            image = IMAGES[0].copy()
            made.append(weakref.ref(image))
            held.append(sum(one() is not None for one in made))
            yield Sample(number, 0.1 * number, image, LABELS[0], np.zeros(7, np.float32), np.zeros(6, np.float32))

    module, function = FORMATS[kind]
    writer = pytest.importorskip(f"us_sim.offline.export.{module}")
    if kind == "lerobot":
        monkeypatch.setattr(writer, "_run", lambda python, asked: None)
    source = Source("sweep", {}, CLASSES, read)
    assert getattr(writer, function)(source, tmp_path, *["python"] * (kind == "lerobot")) == 30
    assert max(held) <= 5


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_is_written_over_and_nothing_left_half(
    kind: str, dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = dataset.parent / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert main([str(dataset), "--to", kind, "--out", str(out)]) == 2
    assert "is there already and is no empty folder; name another, or move it away" in capsys.readouterr().err
    (out / "mine.txt").unlink()
    (dataset / "shard_00001.npz").write_bytes((dataset / "shard_00001.npz").read_bytes()[:500])
    assert main([str(dataset), "--to", kind, "--out", str(out)]) == 2
    assert "dataset cannot be read: " in capsys.readouterr().err
    assert sorted(path.name for path in dataset.parent.iterdir()) == ["dataset", "out"]
    assert not list(out.iterdir())


def test_an_unfinished_dataset_and_an_empty_one_are_refused(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        assert main([str(dataset), "--to", "nnunet", "--out", str(dataset.parent / "out"), *arguments]) == 2
        return capsys.readouterr().err

    (dataset / "shard_00001.npz").unlink()
    assert "has 1 of 2 shards; run its us_sim_render again to finish it" in refused()
    (dataset / "shard_00000.npz").unlink()
    changed(dataset, poses={"count": 0})
    assert "dataset holds no frames" in refused()
    (dataset / "card.json").write_text("{")
    assert "card.json cannot be read: " in refused()


def test_frames_of_several_sizes_are_refused(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The image of a sweep may have been made larger while it was recorded."""
    with np.load(dataset / "shard_00001.npz") as shard:
        arrays = {name: shard[name] for name in shard.files}
    small = {name: arrays[name][:, ::2, ::2] for name in ("image", "labels")}
    np.savez(dataset / "shard_00001.npz", **{**arrays, **small})
    assert main([str(dataset), "--to", "hdf5", "--out", str(dataset.parent / "out")]) == 2
    assert "frame 3 of dataset has another size than the first" in capsys.readouterr().err


def test_a_pose_that_is_none_is_refused(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(dataset / "shard_00001.npz") as shard:
        arrays = {name: shard[name] for name in shard.files}
    arrays["ct_from_probe"][1, 0, 3] = np.nan
    np.savez(dataset / "shard_00001.npz", **arrays)
    assert main([str(dataset), "--to", "webdataset", "--out", str(dataset.parent / "out")]) == 2
    assert "frame 4 of dataset has NaN or Inf in its pose; expected none" in capsys.readouterr().err


def test_another_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--to", "nnunet", "--out", str(tmp_path / "out")]) == 2
    assert "holds neither card.json nor sweep.json" in capsys.readouterr().err


def test_a_missing_library_is_named(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(FORMATS, "hdf5", ("gone", "write"))
    assert main([str(dataset), "--to", "hdf5", "--out", str(dataset.parent / "out")]) == 2
    assert "us_sim[export]" in capsys.readouterr().err


READ_BACK = """
import sys
from lerobot.datasets.lerobot_dataset import LeRobotDataset
import numpy as np
made = LeRobotDataset("us_sim/dataset", root=sys.argv[1], video_backend="pyav")
rows = [made[n] for n in range(len(made))]
np.savez(sys.argv[2], fps=made.fps, episodes=made.num_episodes, state=[row["observation.state"] for row in rows],
         action=[row["action"] for row in rows], labels=[row["observation.images.labels"] for row in rows],
         image=[row["observation.images.bmode"] for row in rows])
"""


def test_lerobot(dataset: Path, tmp_path: Path) -> None:
    python = python_of("LeRobot", "US_SIM_LEROBOT_PYTHON")
    for file in dataset.glob("*.npz"):  # as large as a video must be
        with np.load(file) as shard:
            arrays = {name: shard[name] for name in shard.files}
        np.savez(file, **{n: a.repeat(4, 1).repeat(4, 2) if a.ndim == 3 and a.dtype == np.uint8 else a
                          for n, a in arrays.items()})  # fmt: skip
    out, back = tmp_path / "lerobot", tmp_path / "back.npz"
    assert main([str(dataset), "--to", "lerobot", "--out", str(out), "--python", python]) == 0
    subprocess.run([python, "-E", "-c", READ_BACK, str(out), str(back)], check=True)
    with np.load(back) as rows:
        assert (int(rows["fps"]), int(rows["episodes"])) == (10, 1)
        np.testing.assert_allclose(rows["state"][:, 0], np.arange(COUNT))  # x, m
        np.testing.assert_allclose(rows["state"][:, 9], -np.arange(COUNT))  # force along z, N
        np.testing.assert_allclose(rows["action"][:, 0], [1, 2, 3, 4, 4])
        np.testing.assert_array_equal(np.rint(255 * rows["labels"][:, 0, ::4, ::4]), LABELS)
        assert rows["image"].shape == (COUNT, 3, 80, 96)
    assert "phantom-0" in (out / "README.md").read_text()


def test_what_lerobot_is_given(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    frames: list[dict[str, Any]] = []

    class Fake:
        def save_episode(self) -> None:
            told["saved"] = len(frames)

        def finalize(self) -> None:
            told["final"] = True

        def add_frame(self, frame: dict[str, Any]) -> None:
            frames.append(frame)

        @classmethod
        def create(cls, name: str, rate: int, features: dict[str, Any], **_: Any) -> Fake:
            told.update(name=name, rate=rate, shape=features["observation.images.bmode"]["shape"])
            return cls()

    module = types.ModuleType("lerobot_dataset")
    module.LeRobotDataset = Fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lerobot.datasets.lerobot_dataset", module)
    monkeypatch.setattr(lerobot_dataset, "_run", lambda python, asked: lerobot_writer.write(asked))
    assert lerobot_dataset.write_lerobot(open_source(dataset), dataset.parent / "out", "python") == COUNT
    assert told == {"name": "us_sim/dataset", "rate": 10, "shape": (20, 24, 3), "saved": COUNT, "final": True}
    for n, frame in enumerate(frames):
        np.testing.assert_array_equal(frame["observation.images.bmode"][..., 2], IMAGES[n])
        np.testing.assert_array_equal(frame["observation.images.labels"][..., 0], LABELS[n])
        assert (frame["observation.state"][0], frame["action"][0]) == (n, min(n + 1, COUNT - 1))  # x, m
        assert (frame["observation.state"][9], frame["observation.state"].dtype) == (-n, np.float32)  # N


def test_lerobot_wants_a_rate(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in dataset.glob("*.npz"):
        with np.load(file) as shard:
            arrays = {name: shard[name] for name in shard.files}
        np.savez(file, **{**arrays, "stamp": np.zeros_like(arrays["stamp"])})
    assert main([str(dataset), "--to", "lerobot", "--out", str(dataset.parent / "out"), "--python", "/none"]) == 2
    assert "half of the frames of dataset are no time apart; LeRobot wants a rate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("python", "said"), [("/none", "/none cannot be run"), (sys.executable, "LeRobot failed: ModuleNotFoundError")]
)
def test_without_lerobot(python: str, said: str, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if python == sys.executable and importlib.util.find_spec("lerobot"):
        pytest.skip("LeRobot is here")
    out = dataset.parent / "out"
    assert main([str(dataset), "--to", "lerobot", "--out", str(out), "--python", python]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()

"""Training images by a generator: both directions, resumed, refused where they do not fit."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image
from tests.train.synthetic import TinyCt, TinyUs, config

from scyclegan_train import synthesise as command
from scyclegan_train.config import Config
from scyclegan_train.data.fans import read_fan
from scyclegan_train.data.frames import FrameFolder
from scyclegan_train.data.inputs import Inputs
from scyclegan_train.data.slices import recipe_of, write_recipe, write_slices
from scyclegan_train.method import feeding
from scyclegan_train.run.export import export
from scyclegan_train.run.loop import train
from scyclegan_train.run.synthesis import Synthesis, begin, cases_left, synthesise
from us_sim.core.compute.cluster import spread
from us_sim.core.generator.artifact import load_generator, load_network
from us_sim.core.generator.encoding import decode, encode
from us_sim.core.tissue import TissueClass as T

SPLITS = {"a": "train", "b": "test"}


@pytest.fixture(scope="module")
def made() -> Config:
    """The paper's fan on a few pixels."""
    return config(generator={"grid": "cartesian", "probe": "paper", "pixels": 48},
                  schedule={"pretrain": 1, "constant": 0.5, "decay": 0.5})  # fmt: skip


@pytest.fixture(scope="module")
def folder(made: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run's networks and slices of two patients."""
    folder, card = tmp_path_factory.mktemp("synthesis"), made.generator.card()
    inputs = Inputs(TinyCt(card), TinyUs(card, seed=1), made.schedule.batch)
    assert train(made, inputs, folder / "run", Fabric(accelerator="cpu", devices=1))
    for name in ("G_ct2us", "G_us2ct", "S_us", "S_ct"):
        export(folder / "run", folder / f"{name}.safetensors", network=name)
    (folder / "slices").mkdir()
    write_recipe(folder / "slices", recipe_of(card, "transverse", 5, 0, True))
    for number, (patient, split) in enumerate(SPLITS.items()):
        batch = replace(TinyCt(card, seed=number).batch(range(5)), physics=None, scatter=None)
        write_slices(
            folder / "slices" / f"{patient}.safetensors", batch, {"patient": patient, "split": split, "ct": "x"}
        )
    return folder


def run(folder: Path, out: Path, *more: str) -> int:
    given = [str(folder / "G_ct2us.safetensors"), str(folder / "slices"), "--out", str(out), "--device", "cpu", *more]
    return command.main(given)


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "set"
    assert run(folder, out, "--batch", "2") == 0
    return out


def test_frames_are_those_that_the_generator_draws(folder: Path, whole: Path) -> None:
    generator = load_generator(folder / "G_ct2us.safetensors")
    card = generator.card
    ct = TinyCt(card, seed=0).batch(range(5))
    fan = feeding.fan_of(card, "cpu")
    with torch.no_grad():
        expected = decode(generator.network(encode(card, ct.hu.round(), ct.tissue, None, fan))) * fan
    for k in range(5):
        found = np.asarray(Image.open(whole / "images" / "train" / f"a_{k:03d}.png"))
        assert np.abs(found - expected[k].numpy()).max() <= 0.51
        mask = np.asarray(Image.open(whole / "masks" / "train" / f"a_{k:03d}.png"))
        assert np.array_equal(mask, (ct.tissue[k] * fan).numpy())


def test_patients_stay_in_their_splits_and_cards_say_where_frames_come_from(folder: Path, whole: Path) -> None:
    found = sorted(path.relative_to(whole).as_posix() for path in whole.rglob("*.png"))
    assert found == sorted(f"{kind}/{split}/{patient}_{k:03d}.png" for kind in ("images", "masks")
                           for patient, split in SPLITS.items() for k in range(5))  # fmt: skip
    card = json.loads((whole / "cards" / "test" / "b.json").read_text())
    digest = load_generator(folder / "G_ct2us.safetensors").sha256
    assert (card["patient"], card["split"], card["generator_sha256"]) == ("b", "test", digest)
    assert card["frames"] == [f"b_{k:03d}.png" for k in range(5)]


def test_the_set_is_a_source_of_training(whole: Path, made: Config) -> None:
    card = made.generator.card()
    fan = read_fan(whole / "images" / "fan.json")
    frames = FrameFolder(
        whole / "images" / "train", card, fan, masks=whole / "masks" / "train", weak_lines=0, whole=True
    )
    assert len(frames) == 5
    us = frames.in_order([2])
    expected = np.asarray(Image.open(whole / "images" / "train" / "a_002.png")).astype(np.float32)
    where = us.valid[0].numpy()
    assert where.sum() > 0.9 * card.probe.fan_mask.sum()
    assert np.abs(us.image[0].numpy() - expected)[where].max() <= 1  # the same pixels: nothing is stretched
    assert us.tissue.unique().tolist() == [0, T.LIVER, T.KIDNEY, T.SPLEEN]


def test_what_is_there_is_not_made_again(folder: Path, whole: Path, tmp_path: Path) -> None:
    assert run(folder, tmp_path / "set") == 0
    (tmp_path / "set" / "cards" / "test" / "b.json").unlink()  # as if it had been killed before
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "set" / "images" / "train").iterdir()}
    assert run(folder, tmp_path / "set") == 0
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    for path in whole.rglob("*.png"):
        assert (tmp_path / "set" / path.relative_to(whole)).read_bytes() == path.read_bytes()


def test_frames_become_ct_in_hu(folder: Path, whole: Path, tmp_path: Path) -> None:
    network, card, _ = load_network(folder / "G_us2ct.safetensors", "us2ct")
    given = [str(folder / "G_us2ct.safetensors"), str(whole / "images" / "train"), "--out", str(tmp_path / "ct"),
             "--segmenter", str(folder / "S_us.safetensors"), "--fit", "whole", "--device", "cpu"]  # fmt: skip
    assert command.main(given) == 0
    files = sorted((tmp_path / "ct" / "ct").iterdir())
    assert [file.name for file in files] == [f"a_{k:03d}.nii.gz" for k in range(5)]
    image = nibabel.load(files[0])
    hu = np.asarray(image.dataobj)
    assert hu.shape == (48, 48, 1)
    assert image.header.get_zooms()[:2] == pytest.approx(card.probe.pixel_spacing)
    inside = hu[card.probe.fan_mask.T][:, 0]
    assert np.median(inside) > -151
    assert inside.max() < 251
    assert network(torch.zeros(1, 4, 48, 48)).shape == (1, 3, 48, 48)


def test_what_does_not_fit_is_refused_in_one_line(
    folder: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.safetensors"
    export(folder / "run", other, half=True)
    assert command.main([str(other), str(folder / "slices"), "--out", str(whole), "--device", "cpu"]) == 2
    assert "was made of another generator; give another folder" in capsys.readouterr().err
    assert command.main([str(folder / "S_us.safetensors"), str(folder / "slices"), "--out", str(tmp_path / "o")]) == 2
    assert "holds a segmenter; expected a generator" in capsys.readouterr().err
    assert run(folder, tmp_path / "p", "--batch", "0") == 2
    assert "expected --batch and --workers of 1 or more" in capsys.readouterr().err


# -- several processes ------------------------------------------------------------------------------------------------


def killed_once(case: Path, what: Synthesis, told: Path) -> int:
    """`synthesise` in a worker, the first of which is killed -9 when its frames are there and its card is not."""
    try:
        told.touch(exist_ok=False)
    except FileExistsError:
        return synthesise(case, what)
    synthesise(case, what)
    for card in (what.out / "cards").rglob(f"{case.stem}.json"):  # the other worker may have ended its case
        card.unlink()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_two_workers_of_which_one_is_killed_write_the_same_bytes(folder: Path, whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: extra cluster")
    what = Synthesis(folder / "G_ct2us.safetensors", folder / "slices", tmp_path / "set", 2)
    begin(what.out, what.card)
    work = partial(killed_once, what=what, told=tmp_path / "killed")
    assert sorted(n for _, n in spread(work, cases_left(what), workers=2)) == [5, 5]
    assert cases_left(what) == []
    for path in (p for p in whole.rglob("*") if p.suffix == ".png" or p.parent.parent.name == "cards"):
        assert (tmp_path / "set" / path.relative_to(whole)).read_bytes() == path.read_bytes()

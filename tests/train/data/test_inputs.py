"""From a configuration to batches: every kind of source opens, partners go together, what is wrong is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.train.synthetic import TinyCt, TinyUs, config

from scyclegan_train.config import Config, DataConfig, MethodConfig
from scyclegan_train.config_file import CONFIGS, from_mapping, load_config
from scyclegan_train.data.checks import check_masks, check_pairs, check_sources
from scyclegan_train.data.cutting import slices_of
from scyclegan_train.data.faults import DataError
from scyclegan_train.data.inputs import Inputs, expanded, open_inputs
from scyclegan_train.data.patient_source import phantom_cases
from scyclegan_train.data.repeated import Repeated
from scyclegan_train.data.samples import REAL, CtBatch, UsBatch
from scyclegan_train.data.slices import recipe_of, write_recipe, write_slices
from scyclegan_train.data.sources import Mixed
from us_sim.core.errors import ConfigError
from us_sim.core.generator.card import Card

CT: dict[str, Any] = {"kind": "phantoms", "seeds": [0, 1], "samples": 4}
US: dict[str, Any] = {"kind": "phantoms", "seeds": [0, 1], "samples": 4}


def card() -> Card:
    return config().generator.card()


def opened(ct: list[dict[str, Any]], us: list[dict[str, Any]], batch: int = 2) -> Inputs:
    data: DataConfig = from_mapping(Config, {"data": {"ct": ct, "us": us}}, "test").data
    return open_inputs(data, card(), batch, "cpu", seed=0)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of 80 × 90 pixels with their fan beside them; frame i has the grey level 40 + 10 i."""
    root = tmp_path_factory.mktemp("sweep")
    (root / "frames").mkdir()
    for i in range(6):
        grey = np.full((80, 90), 40 + 10 * i, np.uint8)
        grey[::2] += 5
        Image.fromarray(grey).save(root / "frames" / f"{i}.png")
    fan = {"centre": [45, -20], "radii": [20, 95], "half_angle": 0.5, "spacing": 2.0}
    (root / "fan.json").write_text(json.dumps(fan))
    return root / "frames"


def test_phantoms_give_both_domains() -> None:
    inputs = opened([CT], [{**US, "randomised": True}])
    ct, us = inputs.at(0)
    assert ct.hu.shape == us.image.shape == (2, *card().size)
    assert ct.physics is not None
    assert us.has_mask.all()
    assert inputs.steps_of_epoch() == 2


def test_frames_are_of_the_scanner_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "black.yaml").write_text("constants: {sensitivity: -40.0, black: 0.0}")
    monkeypatch.setenv("SCANNERS", str(tmp_path))
    mean = [
        float(opened([{**CT, "scanner": name}], [{**US, "scanner": name}]).at(0)[1].image.mean())
        for name in ("", "${SCANNERS}/black.yaml")
    ]
    assert mean[1] < 5 < mean[0]
    with pytest.raises(ConfigError, match="unknown scanner 'none'; expected one of generic_abdominal"):
        opened([CT], [{**US, "scanner": "none"}])


def test_a_folder_of_frames_is_resampled_by_its_fan_and_cut_to_a_range(frames: Path) -> None:
    inputs = opened([CT], [{"kind": "frames", "path": str(frames), "frames": [2, 4]}])
    us = inputs.us.batch(range(2))
    assert len(inputs.us) == 2
    assert us.source.tolist() == [REAL, REAL]
    assert sorted(round(float(i[v].mean()) / 10) for i, v in zip(us.image, us.valid, strict=True)) == [6, 7]


def test_without_weights_all_frames_are_drawn_alike(frames: Path) -> None:
    folder: dict[str, Any] = {"kind": "frames", "path": str(frames), "weight": 0}
    us = opened([CT], [{**folder, "frames": [0, 1]}, {**folder, "frames": [1, 5]}]).us.batch(range(200))
    found = [round(float(image[where].mean()) / 10) - 4 for image, where in zip(us.image, us.valid, strict=True)]
    assert [found.count(number) for number in range(5)] == pytest.approx([40] * 5, abs=18)  # three SD


def test_slices_on_disk_are_read_by_split(tmp_path: Path) -> None:
    made = slices_of(phantom_cases([0])[0](), card(), "skin", 3, 0)
    write_recipe(tmp_path, recipe_of(card(), "skin", 3, 0))
    write_slices(tmp_path / "a.safetensors", made, {"patient": "a", "split": "train", "ct": "a.nii.gz"})
    inputs = opened([{"kind": "prepared", "path": str(tmp_path), "augment": True}], [US])
    assert len(inputs.ct) == 3
    assert inputs.at(0)[0].hu.shape == (2, *card().size)


@pytest.mark.parametrize("kind", ["aus", "rus"])
def test_the_public_layout_is_read(kind: str, tmp_path: Path, frames: Path) -> None:
    for part in ("images", "annotations"):
        (tmp_path / kind.upper() / part / "train").mkdir(parents=True)
    y, x = np.indices((160, 200))
    radius, angle = np.hypot(y + 20, x - 100), np.arctan2(x - 100, y + 20)
    fan = (radius > 40) & (radius < 170) & (np.abs(angle) < 0.5)
    rng = np.random.default_rng(0)
    for i in range(2):
        Image.fromarray((fan * rng.uniform(60, 200, fan.shape)).astype(np.uint8)).save(
            tmp_path / kind.upper() / "images" / "train" / f"{i}.png"
        )
    colours = np.where((fan & (radius < 100))[..., None], (100, 0, 100), (0, 0, 0)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / kind.upper() / "annotations" / "train" / "0.png")
    us = opened([CT], [{"kind": kind, "path": str(tmp_path)}]).us.batch(range(2))
    assert sorted(us.has_mask.tolist()) == [False, True]
    assert set(us.tissue.unique().tolist()) == {0, 1}


def test_partners_come_from_the_sources_of_the_same_place() -> None:
    """Three sources each, weights 2 : 1 : 1; the sources tell themselves apart by a constant."""

    class Marked(TinyCt):
        def __init__(self, mark: int) -> None:
            super().__init__(card(), 8)
            self.mark = mark

        def batch(self, indices: Sequence[int], epoch: int = 0) -> CtBatch:
            ct = super().batch(indices, epoch)
            return CtBatch(torch.full_like(ct.hu, self.mark), ct.tissue, ct.valid, ct.visible)

    class MarkedUs(TinyUs):
        def __init__(self, mark: int) -> None:
            super().__init__(card(), 8)
            self.mark = mark

        def batch(self, indices: Sequence[int], epoch: int = 0) -> UsBatch:  # type: ignore[override]
            us = super().batch(indices, epoch)
            return UsBatch(torch.full_like(us.image, self.mark), us.tissue, us.has_mask, us.valid, us.source)

    ct = Mixed([Marked(i) for i in range(3)], [2, 1, 1], length=16, seed=3)
    us = Mixed([MarkedUs(i) for i in range(3)], [2, 1, 1], length=16, seed=3)
    marks = []
    for step in range(8):
        x, y = Inputs(ct, us, 4).at(step)
        assert torch.equal(x.hu[:, 0, 0], y.image[:, 0, 0])
        marks += x.hu[:, 0, 0].int().tolist()
    assert set(marks) == {0, 1, 2}


def test_batches_made_ahead_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = Inputs(TinyCt(card()), TinyUs(card()), 2)
    ahead, direct = (list(inputs.stream(3, 9, ahead)) for ahead in (2, 0))
    assert len(ahead) == len(direct) == 6
    for (a, b), (c, d) in zip(ahead, direct, strict=True):
        assert torch.equal(a.hu, c.hu)
        assert torch.equal(b.image, d.image)


def test_a_fault_in_the_background_reaches_the_loop() -> None:
    class Broken(TinyCt):
        def batch(self, indices: Sequence[int], epoch: int = 0) -> CtBatch:
            raise ConfigError("this slice is gone")

    with pytest.raises(ConfigError, match="this slice is gone"):
        next(Inputs(Broken(card()), TinyUs(card()), 2).stream(0, 5, 2))


def test_a_sample_that_is_not_finite_is_named() -> None:
    class Broken(TinyUs):
        def batch(self, indices: Sequence[int], epoch: int = 0) -> UsBatch:  # type: ignore[override]
            us = super().batch(indices, epoch)
            us.image[1, 3, 4] = float("nan")
            return us

    with pytest.raises(DataError, match=r"step 2: image of UsBatch is not finite in rows \[1\]"):
        Inputs(TinyCt(card()), Broken(card()), 2).at(2)


def test_every_sample_of_an_epoch_is_seen_once() -> None:
    asked: list[tuple[int, int]] = []

    class Counted(TinyCt):
        def batch(self, indices: Sequence[int], epoch: int = 0) -> CtBatch:
            asked.extend((epoch, index) for index in indices)
            return super().batch(indices, epoch)

    inputs = Inputs(Counted(card(), 5), TinyUs(card(), 5), 2)
    for step in range(5):
        inputs.at(step)
    assert asked == [(epoch, index) for epoch in range(2) for index in range(5)]


def test_repeated_samples_are_made_once_and_come_in_another_order() -> None:
    made: list[tuple[int, int]] = []

    class Counted(TinyCt):
        def batch(self, indices: Sequence[int], epoch: int = 0) -> CtBatch:
            made.extend((epoch, index) for index in indices)
            return super().batch(indices, epoch)

    source = Repeated(Counted(card(), 8), 2, seed=0)
    seen = [source.batch(range(8), epoch).hu for epoch in range(4)]
    assert sorted(made) == [(epoch, index) for epoch in range(2) for index in range(8)]
    for first, again in ((0, 2), (1, 3)):
        assert not torch.equal(seen[first], seen[again])
        assert torch.equal(seen[first].sum((1, 2)).sort().values, seen[again].sum((1, 2)).sort().values)
    fresh = Repeated(TinyCt(card(), 8), 2, seed=0)
    assert torch.equal(fresh.batch([5], 3).hu, source.batch([5], 3).hu)


def test_paths_take_variables_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_DATA", "/data")
    assert expanded("${SOME_DATA}/us") == Path("/data/us")
    monkeypatch.delenv("SOME_DATA")
    with pytest.raises(ConfigError, match=r"path '\$\{SOME_DATA\}/us': a variable in it is not set"):
        expanded("${SOME_DATA}/us")


REAL_FRAMES = {"kind": "frames", "path": "x"}


@pytest.mark.parametrize(
    ("ct", "us", "message"),
    [
        ({**CT, "kind": "frames"}, US, r"kind 'frames' gives no CT; expected phantoms, patient or prepared"),
        (
            CT,
            {"kind": "prepared"},
            r"kind 'prepared' gives no ultrasound; expected phantoms, patient, frames, aus",
        ),
        ({"kind": "nothing"}, US, r"kind is 'nothing'; expected one of phantoms, patient"),
        ({**CT, "weight": -1}, US, r"weight is -1.0; expected 0 to 1000000"),
        (
            CT,
            {**REAL_FRAMES, "seeds": [0, 5]},
            r"us\[0\]: kind frames does not read seeds; it reads augment, fit, frames",
        ),
        ({**CT, "path": "a.nii"}, US, r"ct\[0\]: kind phantoms does not read path; it reads at_once, augment, liver"),
        ({**CT, "scanner": "drawn"}, US, r"ct\[0\]: scanner is drawn, and the paired physics frames are those of one"),
        ({**CT, "randomised": True}, US, r"ct\[0\]: kind phantoms does not read randomised"),
    ],
)
def test_a_source_of_the_wrong_kind_or_with_a_key_that_it_does_not_read_is_refused(
    ct: dict[str, Any], us: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_sources(from_mapping(Config, {"data": {"ct": [ct], "us": [us]}}, "test"))


@pytest.mark.parametrize(
    ("method", "us", "message"),
    [
        ({"critics": [{}, {"source": "real"}]}, US, r"critics\[1\] uses real frames as real, but no ultra"),
        (
            {"critics": [{"source": "physics"}]},
            REAL_FRAMES,
            r"critics\[0\] uses physics frames as real, but",
        ),
        ({"style": 2}, US, r"style is 2, but no ultrasound source provides real frames; add one, or set style: 0"),
        ({"critics": [{}, {"source": "real", "weight": [0, 0]}]}, US, None),
        ({"style": 2, "critics": [{"source": "real"}]}, REAL_FRAMES, None),
    ],
)
def test_a_loss_whose_frames_never_come_is_refused(method: dict[str, Any], us: dict[str, Any], message: str) -> None:
    config = from_mapping(Config, {"method": method, "data": {"us": [us]}}, "test")
    if message is None:
        check_sources(config)
        return
    with pytest.raises(ConfigError, match=message):
        check_sources(config)


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_sources_of_every_shipped_configuration_suit_its_method(file: Path) -> None:
    check_sources(load_config(file.name))


def test_a_folder_of_frames_takes_masks_and_a_method_with_s_us_needs_some(frames: Path, tmp_path: Path) -> None:
    mask = np.zeros((80, 90), np.uint8)
    mask[30:50, 30:60] = 1
    Image.fromarray(mask).save(tmp_path / "3.png")
    source = {"kind": "frames", "path": str(frames)}
    bare, masked = opened([CT], [source]), opened([CT], [{**source, "masks": str(tmp_path)}])
    assert (bare.masked, masked.masked, opened([CT], [source, US]).masked) == (False, True, True)
    assert sorted(masked.us.batch(range(6)).has_mask.tolist()) == [False] * 5 + [True]
    check_masks(MethodConfig(), masked.masked)
    check_masks(load_config("two_stage.yaml").method, bare.masked)
    with pytest.raises(ConfigError, match=r"segmentation is 0.5 and fake_mask predicted, but no frame of"):
        check_masks(MethodConfig(), bare.masked)


def test_frames_that_the_folder_has_not_are_refused(frames: Path, tmp_path: Path) -> None:
    source = {"kind": "frames", "path": str(frames)}
    for wanted in ([2, 9], [6, 7]):
        with pytest.raises(DataError, match=rf"holds 6 frames; frames are \[{wanted[0]}, {wanted[1]}\], expected at"):
            opened([CT], [{**source, "frames": wanted}])
    with pytest.raises(DataError, match="no such folder of frames"):
        opened([CT], [{**source, "path": str(tmp_path / "gone")}])


def test_a_method_of_pairs_needs_physics_frames_of_the_slices() -> None:
    for section, value, name in (("schedule", {"warm_up": 2}, "schedule: warm_up"), ("method", {"pair": 5}, "method:")):
        made = from_mapping(Config, {section: value}, "test")
        check_pairs(made, paired=True)
        with pytest.raises(ConfigError, match=f"{name}.* needs a physics frame of each slice, which transverse"):
            check_pairs(made, paired=False)
    with pytest.raises(ConfigError, match="source is physics, and transverse slices have no physics frames"):
        check_pairs(load_config("two_stage.yaml"), paired=False)


def test_an_epoch_is_the_longer_domain_however_many_sources_it_has(frames: Path) -> None:
    real = {"kind": "frames", "path": str(frames)}
    assert opened([CT], [real]).steps_of_epoch() == 3  # 4 slices, 6 frames, batches of 2
    mixed = opened([CT, {**CT, "samples": 5}], [real])
    assert (len(mixed.ct), mixed.steps_of_epoch()) == (9, 4)
    both = opened([CT, {**CT, "samples": 5}], [real, {**real, "frames": [0, 5]}])
    assert len(both.ct) == len(both.us) == 11

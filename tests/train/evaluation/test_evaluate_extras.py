"""What a report can go into beyond generators and phantoms: cycles of a run, FID, the use of the frames."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.train.data.test_frames import LIVER, annotation, disc, frame, save
from tests.train.synthetic import config

from scyclegan_train import evaluate
from scyclegan_train.config_file import to_yaml
from scyclegan_train.data.faults import DataError
from scyclegan_train.evaluation import criteria, cycle, downstream, masked, report
from scyclegan_train.evaluation.fid import Inception, fid_table
from scyclegan_train.evaluation.intervals import Interval
from scyclegan_train.evaluation.masked import Masked
from scyclegan_train.evaluation.measure import Findings
from scyclegan_train.method.scyclegan import SCycleGan
from scyclegan_train.run.checkpoint import CheckpointError, save_checkpoint
from us_sim.core.errors import ConfigError
from us_sim.core.tissue import TissueClass as T

# -- cycles of a run ---------------------------------------------------------------------------------------


def run_of(folder: Path, **method: object) -> Path:
    """A run that has just begun: generators whose heads are zero, so that every picture is middle grey."""
    made = config(method=method)
    model = SCycleGan(made)
    for average in model.averages.values():
        torch.nn.init.zeros_(average.network.head.weight)  # type: ignore[arg-type,union-attr]
        torch.nn.init.zeros_(average.network.head.bias)  # type: ignore[arg-type,union-attr]
    save_checkpoint(folder / "checkpoints", 1, model, {}, to_yaml(made), 1)
    lines = [{"phase": phase, "seconds_per_step": s} for phase, s in (("warm_up", 9), ("adversarial", 0.5),
                                                                      ("adversarial", 0.7))]  # fmt: skip
    (folder / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_a_cycle_through_grey_pictures_loses_the_mean_distance_from_grey(tmp_path: Path) -> None:
    """|0 − image|: at most 1, which is 200 HU of the window −150 to 250 and 127.5 grey levels."""
    (found,) = cycle.cycle_errors(run_of(tmp_path), [2000], 2)
    assert set(found) == {"cycle CT, HU", "cycle US, grey levels"}
    assert 20 < found["cycle CT, HU"] < 200
    assert 60 < found["cycle US, grey levels"] < 127.5  # most of a frame is darker than the middle


def test_a_run_that_does_not_go_back_has_no_cycle(tmp_path: Path) -> None:
    assert cycle.cycle_errors(run_of(tmp_path, cycle_ct=0, cycle_us=0, ct_critic=0), [2000], 2) == []


def test_time_of_a_step_is_the_median_of_adversarial_training(tmp_path: Path) -> None:
    assert cycle.milliseconds_of_a_step(run_of(tmp_path)) == pytest.approx(600)
    assert cycle.milliseconds_of_a_step(tmp_path / "checkpoints" / "step_0000001") == pytest.approx(600)
    assert np.isnan(cycle.milliseconds_of_a_step(tmp_path / "none"))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint; give the folder of a run"):
        cycle.cycle_errors(tmp_path, [2000], 2)


# -- FID ---------------------------------------------------------------------------------------------------


class Corners(torch.nn.Module):
    """In the place of Inception: means of the four quarters."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x.float().mean(dim=1), (2, 2)).flatten(1)


@pytest.fixture
def inception(tmp_path: Path) -> Inception:
    torch.jit.script(Corners()).save(str(tmp_path / "corners.pt"))
    return Inception(tmp_path / "corners.pt")


def test_features_are_of_whole_frames(inception: Inception) -> None:
    quarters = np.kron(np.array([[10.0, 20], [30, 40]]), np.ones((64, 80))).astype(np.float64)
    np.testing.assert_allclose(inception.features(quarters[None]), np.array([[10, 20, 30, 40]]), atol=0.5)
    rng = np.random.default_rng(0)
    real, near, far = (rng.normal(level, 5, (12, 32, 40)) for level in (100, 100, 160))
    found = fid_table(inception, real, {"near": list(near), "far": list(far), "none": []})
    assert found["near"] < 50 < 10_000 < found["far"]
    assert set(found) == {"near", "far"}


def test_other_files_than_an_inception_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.pt: no such file; give the TorchScript file"):
        Inception(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ConfigError, match=r"text.pt: cannot be used as an Inception network"):
        Inception(tmp_path / "text.pt")
    torch.jit.script(torch.nn.Flatten(0)).save(str(tmp_path / "flat.pt"))
    with pytest.raises(ConfigError, match=r"flat.pt: answers with shape \(536406,\); expected \(N, features\)"):
        Inception(tmp_path / "flat.pt")


# -- use of the frames -------------------------------------------------------------------------------------


def blocks(seed: int, count: int = 12) -> Masked:
    """Bright liver of a drawn place in dark frames of four people, as the reference segmenter reads them."""
    rng, size = np.random.default_rng(seed), (32, 24)
    grey, tissue = np.full((count, *size), -0.9, np.float32), np.zeros((count, *size), np.uint8)
    for k in range(count):
        row, column = rng.integers(0, 16), rng.integers(0, 10)
        grey[k, row : row + 14, column : column + 12], tissue[k, row : row + 14, column : column + 12] = 0.5, T.LIVER
    image = torch.from_numpy(grey)[:, None].expand(-1, 3, -1, -1).contiguous()
    people = tuple("abcd"[k % 4] for k in range(count))
    return Masked(image, torch.from_numpy(tissue), torch.ones(count, *size, dtype=torch.bool), people)


def test_frames_like_the_real_ones_teach_a_segmenter_and_others_do_not() -> None:
    like, empty = blocks(1), blocks(2)
    empty = replace(empty, tissue=torch.where(empty.tissue == T.LIVER, T.KIDNEY, T.LIVER).to(torch.uint8))
    found = downstream.experiment(blocks(3), {"good": like, "bad": empty}, 40, say=lambda line: None)
    liver = {name: of[T.LIVER] for name, of in found.dice.items()}
    assert list(liver) == ["real frames alone", *(f"{name}: {how}" for name in ("good", "bad")
                                                  for how in ("synthetic alone", "synthetic, then real"))]  # fmt: skip
    assert liver["real frames alone"].value > 0.7
    assert liver["good: synthetic alone"].value > 0.7 > 0.2 > liver["bad: synthetic alone"].value
    assert liver["good: synthetic, then real"].value > 0.7
    assert (found.people, found.frames[T.LIVER], liver["real frames alone"].clusters) == (4, 12, 4)
    assert found.absent == [T.KIDNEY, T.SPLEEN, T.PANCREAS, T.VESSEL, T.FLUID]


def test_nobody_is_in_two_folds_and_folds_are_about_as_large() -> None:
    people = ("a",) * 5 + ("b",) * 3 + ("c",) * 3 + ("d",) * 1
    np.testing.assert_array_equal(downstream.fold_of(people), [0] * 5 + [1] * 3 + [2] * 3 + [1])


def test_a_segmenter_is_tested_on_people_whom_it_has_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real, trained = blocks(3), []

    def remembered(start: object, frames: Masked, steps: int, say: object) -> set[str]:
        trained.append((set(frames.people), steps))
        return set(frames.people)

    def seen(known: set[str], frames: Masked) -> np.ndarray:
        assert not known & set(frames.people)
        return np.asarray(frames.tissue.numpy())

    monkeypatch.setattr(downstream, "_trained", remembered)
    monkeypatch.setattr(downstream, "_seen", seen)
    synthetic = replace(blocks(1), people=("",) * 12)
    found = downstream.experiment(real, {"physics": synthetic}, 100)
    assert {of[T.LIVER].value for of in found.dice.values()} == {1.0}
    others = [{"b", "c"}, {"a", "c", "d"}, {"a", "b", "d"}]
    assert trained == [*((o, 100) for o in others), ({""}, 100), ({""}, 50), *((o, 50) for o in others)]


def test_synthetic_frames_come_with_their_masks() -> None:
    found = masked.synthetic_frames(None, 2, seeds=[2000])
    assert found.image.shape == (2, 3, 128, 96)
    assert found.tissue.shape == found.where.shape == (2, 128, 96)
    assert (found.tissue == T.LIVER).sum() > 100  # the first is a liver view
    assert set(found.tissue.unique().tolist()) <= {0, *masked.ORGANS}  # what annotations name, nothing else


def test_frames_of_invented_scanners_come_with_their_masks() -> None:
    found = masked.drawn_frames(3, seeds=[2000])
    assert found.image.shape == (3, 3, 128, 96)
    assert set(found.tissue.unique().tolist()) <= {0, *masked.ORGANS}
    assert not torch.equal(found.tissue[0], found.tissue[1])


def dataset(root: Path, names: Sequence[str], *, train: Sequence[str] = ()) -> Path:
    """Frames with a liver each; those of one name's letter are of one person."""
    for split, some in (("train", train), ("test", names)):
        for name in some:
            grey = frame(int.from_bytes(name.encode(), "big"))
            save(root / "RUS" / "images" / split / f"{name}.png", grey)
            save(root / "RUS" / "annotations" / split / f"{name}.png", annotation(liver=(LIVER, disc(150, 0))))
    save(root / "RUS" / "images" / "test" / "z9.png", frame(99))  # without a mask
    return root


def test_real_frames_of_both_splits_are_read_once_by_person(tmp_path: Path) -> None:
    root = dataset(tmp_path, ["a1", "a2", "b1"], train=["c7"])
    save(root / "RUS" / "images" / "test" / "d1.png", frame(int.from_bytes(b"b1", "big")))  # the frame b1 again
    save(root / "RUS" / "annotations" / "test" / "d1.png", annotation(liver=(LIVER, disc(150, 0))))
    found = masked.masked_frames(root)
    assert found.people == ("c", "a", "a", "b")
    assert (found.tissue == T.LIVER).flatten(1).any(dim=1).all()


def test_too_few_people_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="RUS has 3 frames with masks, by their names of 2 people or series"):
        masked.masked_frames(dataset(tmp_path, ["a1", "a2", "b1"]))
    with pytest.raises(DataError, match="no folder RUS/images"):
        masked.masked_frames(tmp_path / "none")


# -- in the report -----------------------------------------------------------------------------------------


def test_the_report_says_what_the_extras_found(tmp_path: Path) -> None:
    own = Findings()
    for metric in ("shuffled labels: dice to shuffled map", "flicker"):
        own.add("phantom-2000", metric, 0.1)
    physics = Findings(list(own.rows))
    for metric in ("dice organs", "hallucinated structures"):
        physics.add("phantom-2000", metric, 0.1)
    found = criteria.Report({"physics": physics, "own": own}, {})
    before = report.untested(found)
    assert [line.split(":")[0] for line in before[2:]] == [
        "Cycle L1 and the time of a training step", "FID", "Segmenters trained on real and on synthetic frames",
        "Realism against real frames",
    ]  # fmt: skip
    evaluate.add_run(found, "own", run_of(tmp_path), [2000], 2)
    dice = {T.LIVER: Interval(0.5, 0.4, 0.6, 3), T.PANCREAS: Interval(math.nan, math.nan, math.nan, 0)}
    found.use = downstream.Use({"real frames alone": dice}, {T.LIVER: 7, T.PANCREAS: 0}, 3)
    found.fid = {"own": 12.34}
    text = report.markdown(found)
    assert "| own | 600 |" in text
    assert "| own | 12.3 |" in text
    assert "|  | liver, 7 frames |" in text
    assert "| real frames alone | 0.5 (0.4 to 0.6) |" in text
    assert "No real frame shows: pancreas." in text
    assert report.as_json(found)["use"]["frames"] == {"liver": 7, "pancreas": 0}
    assert "| cycle CT, HU | — |" in text  # physics has none
    assert len(report.untested(found)) == len(before) - 3

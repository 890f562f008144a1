"""The documented three lines, in small: the paper's set, a run whose header states its numbers, the augmented set."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from tests.core.patients import box_patient

from scyclegan_train import export, prepare, synthesise, train
from scyclegan_train.config_file import load_config, to_yaml
from scyclegan_train.data.slices import about_slices
from us_sim.core.tissue import TissueClass as T

ROOT = Path(__file__).resolve().parents[2]
COMMANDS: dict[str, Any] = {"prepare": prepare, "train": train, "export": export, "synthesise": synthesise}
SMALL = [
    "generator.width=0.05", "method.critic_width=0.05", "method.segmenter_width=0.05", "generator.pixels=64",
    "schedule.pretrain=0.25", "schedule.constant=0.125", "schedule.decay=0.125", "prepare.scans=2", "prepare.slices=4",
    "loop.log_every=1", "loop.validate_every=2", "loop.validation=1",
]  # fmt: skip


def abdomen_ct(folder: Path) -> None:
    """Five scans in the layout of AbdomenCT-1K; by seed 0 the first is `val`, the last `test`, the others `train`."""
    volume = box_patient().volume
    for n in (17, 19, 20, 21, 25):
        for part, name, data in (("images", f"Case_{n:05d}_0000", volume.hu + np.int16(n)),
                                 ("masks", f"Case_{n:05d}", (volume.tissue == T.LIVER).astype(np.uint8))):  # fmt: skip
            (folder / part).mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(data, volume.ct_from_voxel), folder / part / f"{name}.nii.gz")


def ultrasound(folder: Path) -> None:
    """Two parts with two splits of three frames, in the layout of US simulation & segmentation."""
    rng = np.random.default_rng(0)
    y, x = np.indices((128, 128))
    radius, angle = np.hypot(y + 20, x - 64), np.arctan2(x - 64, y + 20)
    fan = (radius > 40) & (radius < 140) & (np.abs(angle) < 0.5)
    for part in ("AUS", "RUS"):
        for split in ("train", "test"):
            images = folder / "abdominal_US" / "abdominal_US" / part / "images" / split
            masks = folder / "abdominal_US" / "abdominal_US" / part / "annotations" / split
            images.mkdir(parents=True)
            for n in range(3):
                Image.fromarray((fan * rng.uniform(60, 200, fan.shape)).astype(np.uint8)).save(images / f"{n}.png")
                if part == "AUS":
                    masks.mkdir(parents=True, exist_ok=True)
                    colours = np.where((fan & (radius < 100))[..., None], (100, 0, 100), (0, 0, 0)).astype(np.uint8)
                    Image.fromarray(colours).save(masks / f"{n}.png")


def documented() -> list[list[str]]:
    """The commands of the block, each without `python -m scyclegan_train` and its variables."""
    text = (ROOT / "docs" / "training.md").read_text()
    [block] = re.findall(r"The paper's set, its run and its augmented set.*?```bash\n(.*?)```", text, re.DOTALL)
    assert len(block.splitlines()) == 3
    assert f"```bash\n{block}```" in (ROOT / "ros2_ws/src/scyclegan_train/README.md").read_text()
    return [
        shlex.split(part.split("scyclegan_train ", 1)[1]) for line in block.splitlines() for part in line.split("&&")
    ]


def test_the_papers_numbers_are_those_of_its_configuration() -> None:
    config = load_config("paper.yaml")
    assert (config.prepare.scans * config.prepare.slices, config.schedule.constant, config.schedule.decay) == (
        2000, 100, 200,
    )  # fmt: skip


def test_the_documented_lines_make_the_papers_set_its_run_and_the_augmented_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    abdomen_ct(tmp_path / "AbdomenCT-1K")
    ultrasound(tmp_path / "us_data")
    (tmp_path / "small.yaml").write_text(to_yaml(load_config("paper.yaml", SMALL)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABDOMENCT", "slices")
    monkeypatch.setenv("USSIM", "us_data")
    lines = documented()
    assert [line[0] for line in lines] == ["prepare", "train", "export", "synthesise"]
    for command, *given in lines:
        small = ["small.yaml" if word == "paper.yaml" else word for word in given]
        assert COMMANDS[command].main(small + (["--device", "cpu"] if command == "synthesise" else [])) == 0

    about = [about_slices(path) for path in sorted((tmp_path / "slices").glob("*.safetensors"))]
    assert {a["slices"] for a in about} == {"4"}
    trained = [a for a in about if a["split"] == "train"]
    assert len(trained) == 2
    said = capsys.readouterr().err
    assert "CT: 8 slices; ultrasound: 8 frames; grid cartesian 64 by 64" in said
    assert "8 steps an epoch, batch 1; epochs: pretrain 0.25, warm_up 0, constant 0.125, decay 0.125; 4 steps" in said
    assert re.search(r"adversarial: [\d.]+ GFLOP a step", said)
    assert re.search(r"about \d+:\d\d:\d\d for all 4 steps", said)
    assert (tmp_path / "runs" / "paper" / "best" / "weights.safetensors").is_file()
    assert "## Intended use" in (tmp_path / "paper.md").read_text()

    images = sorted((tmp_path / "augmented" / "images").rglob("*.png"))
    masks = sorted((tmp_path / "augmented" / "masks").rglob("*.png"))
    assert len(images) == len(masks) == 4 * len(about)
    assert {int(v) for path in masks for v in np.unique(np.asarray(Image.open(path)))} == {0, T.LIVER}

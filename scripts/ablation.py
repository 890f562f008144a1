"""What each part of our variant adds: from one warm-up, equal steps each on the same samples, then one report.

US_SIM_DATA=<folder of us_liver_sweep and ct_abdomen> python scripts/ablation.py OUT [arm ...]

`cpu.yaml` on the grid of `abdomen_lite`. Small on purpose, an hour on one core. Started again, it goes on where it
stopped; what it has trained is not trained again.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric

from scyclegan_train import evaluate
from scyclegan_train.config import Config
from scyclegan_train.config_file import load_config
from scyclegan_train.data.inputs import Inputs, open_inputs
from scyclegan_train.run.checkpoint import checkpoints
from scyclegan_train.run.export import export, latest
from scyclegan_train.run.loop import train

GRID = ["generator.scan_lines=128", "generator.samples=320", "generator.fold=2", "schedule.epoch=50",
        "loop.checkpoint_every=250", "loop.panel_every=250", "loop.keep=1"]  # fmt: skip
PLAIN = ["generator.architecture=unet"]
BACK = ["method.cycle_ct=10", "method.cycle_us=2", "method.ct_critic=1"]
WARM_UP = [*GRID, *BACK, "schedule.pretrain=3", "schedule.warm_up=10", "schedule.constant=0", "schedule.decay=0"]
ARM = [*GRID, "schedule.pretrain=0", "schedule.warm_up=0", "schedule.constant=3", "schedule.decay=2"]
NO_STYLE, NO_SEGMENTATION = ["method.style=0"], ["method.segmentation=0", "method.fake_mask=source"]
NO_CRITIC = ["method.critics=[{source: real, features: filters, field: 34, crops: 4, depth_channel: true, "
             "weight: [0, 0]}]"]  # fmt: skip
ARMS = {  # all but the last add one part each to the one before; the last has another in place of the cycle
    "plain": [*ARM, *NO_STYLE, *NO_CRITIC, *NO_SEGMENTATION, *PLAIN],
    "pair": [*ARM, *NO_STYLE, *NO_CRITIC, *NO_SEGMENTATION],
    "style": [*ARM, *NO_CRITIC, *NO_SEGMENTATION],
    "critic": [*ARM, *NO_SEGMENTATION],
    "segmentation": ARM,
    "cycle": [*ARM, *BACK],
    "contrast": [*ARM, "method.contrast=1"],
}
SAMPLES, KEPT = 64, 2  # of an epoch of a source, and the epochs that are kept and repeated


def small(config: Config) -> Config:
    """The configuration with fewer different samples: making them would take longer than the training."""

    def fewer(sources: Sequence) -> tuple:
        return tuple(replace(s, samples=SAMPLES, repeat=KEPT if s.kind != "frames" else 0) for s in sources)

    return replace(config, data=replace(config.data, ct=fewer(config.data.ct), us=fewer(config.data.us)))


def trained(folder: Path, changes: Sequence[str], inputs: Inputs, fabric: Fabric, start: Sequence[Path]) -> None:
    """Train a run to its end, from where it is."""
    print(f"== {folder.name}", flush=True)
    config = small(load_config("cpu.yaml", changes))
    if not train(config, inputs, folder, fabric, bool(checkpoints(folder / "checkpoints")), start):
        raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("arms", nargs="*", default=list(ARMS), help=f"of {', '.join(ARMS)}; default: all")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    fabric.launch()
    config = small(load_config("cpu.yaml", WARM_UP))
    inputs = open_inputs(config.data, config.generator.card(), config.schedule.batch, fabric.device, config.loop.seed)
    files = []
    for name in given.arms:
        folder, file = given.out / "runs" / name, given.out / f"{name}.safetensors"
        warm_up = given.out / "runs" / ("plain_warm_up" if name == "plain" else "warm_up")
        trained(warm_up, [*WARM_UP, *(PLAIN if name == "plain" else [])], inputs, fabric, [])
        trained(folder, ARMS[name], inputs, fabric, [latest(warm_up)])
        export(folder, file)
        files += ["--generator", str(file)]
    frames = Path(os.environ["US_SIM_DATA"]) / "us_liver_sweep" / "frames"
    return evaluate.main([*files, "--out", str(given.out / "report"), "--frames", str(frames)])


if __name__ == "__main__":
    raise SystemExit(main())

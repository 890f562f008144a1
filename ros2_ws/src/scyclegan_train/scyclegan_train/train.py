# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""`scyclegan_train train`: start a run, or resume one."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric

from scyclegan_train.config import Config
from scyclegan_train.config_file import load_config
from scyclegan_train.data.checks import check_masks, check_pairs, check_sources
from scyclegan_train.data.held_out import held_out
from scyclegan_train.data.inputs import open_inputs
from scyclegan_train.run.checkpoint import checkpoints
from scyclegan_train.run.export import latest
from scyclegan_train.run.loop import CONFIG, outlook_of, train
from scyclegan_train.run.outlook import costs_of
from scyclegan_train.run.schedule import Schedule
from us_sim.core.command import as_command, given_path
from us_sim.core.errors import ConfigError
from us_sim.core.generator.shipped import artifact_of

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(prog="scyclegan_train train", description=__doc__)
    what = found.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", help="YAML file, or a shipped one: paper.yaml, ours.yaml, lite.yaml, smoke.yaml ...")
    what.add_argument("--resume", type=Path, metavar="RUN",
                      help="folder of a run: resume from its latest checkpoint; or one of its checkpoints")  # fmt: skip
    found.add_argument("--start", action="append", default=[], metavar="RUN",
                       help="initialise the networks of a new run from this one, or from an artifact, such as a "
                       "shipped generator; may be repeated")  # fmt: skip
    found.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE", help="change the config")
    found.add_argument("--out", type=given_path, help="folder of the run; default runs/<config>-<time>")
    found.add_argument("--dry-run", action="store_true", help="say sizes, steps, memory and time, and train nothing")
    found.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "cuda"))
    found.add_argument("--devices", type=int, default=_told("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE"),
                       help="processes on a machine; torchrun and Slurm tell by themselves")  # fmt: skip
    found.add_argument("--nodes", type=int, default=_told("GROUP_WORLD_SIZE", "SLURM_NNODES"),
                       help="machines")  # fmt: skip
    return found


def _told(*names: str) -> int:
    """What torchrun or Slurm says of its tasks; 1 where neither has started this one."""
    here = "LOCAL_WORLD_SIZE" in os.environ or "SLURM_PROCID" in os.environ
    return next((int(os.environ[name]) for name in names if here and os.environ.get(name, "").isdigit()), 1)


def check_together(world: int) -> None:
    """Refuse to train alone where several tasks were started: each would write the same run.

    Raises:
        ConfigError: naming how many were started, and how many train together.
    """
    started = os.environ.get("WORLD_SIZE") or ("SLURM_PROCID" in os.environ and os.environ.get("SLURM_NTASKS")) or "1"
    if int(started) not in (1, world):
        raise ConfigError(f"{started} tasks were started and {world} train together; give --devices and --nodes whose "
                          "product they are, or --ntasks-per-node to srun")  # fmt: skip


@as_command("scyclegan_train train")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 at the end of the run, 130 after Ctrl-C, 2 for a user error."""
    given = parser().parse_args(arguments)
    try:
        config, folder, resume = _config_and_folder(given)
        start = [path if path.is_file() else latest(path) for path in map(artifact_of, given.start)]
        ended = run(config, folder, given.accelerator, given.devices, given.nodes, resume, start, given.dry_run)
        return 0 if ended else 130
    except KeyboardInterrupt:  # before the first step, or the second time
        print("scyclegan_train train: stopped without a new checkpoint", file=sys.stderr)
        return 130


def run(config: Config, folder: Path, accelerator: str = "auto", devices: int = 1, nodes: int = 1,
        resume: bool | Path = False, start: Sequence[Path] = (), dry: bool = False) -> bool:  # fmt: skip
    """Launch the processes and train, or only say what that will cost; returns and raises as `train`."""
    check_sources(config)
    strategy = "ddp" if devices * nodes > 1 else "auto"
    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy,
                    precision=PRECISIONS[config.loop.precision])  # type: ignore[arg-type] # fmt: skip
    fabric.launch()
    torch.backends.cudnn.benchmark = True  # sizes never change
    check_together(fabric.world_size)
    folder = Path(fabric.broadcast(str(folder)))  # its name may hold the second at which a process started
    card, schedule = config.generator.card(), config.schedule
    inputs = open_inputs(config.data, card, schedule.batch, fabric.device, config.loop.seed, fabric.global_rank,
                         fabric.world_size)  # fmt: skip
    check_masks(config.method, inputs.masked)
    check_pairs(config, inputs.paired)
    held = open_inputs(held_out(config.data), card, schedule.batch, fabric.device, config.loop.seed) \
        if config.loop.validate_every else None  # fmt: skip
    if dry:
        if fabric.is_global_zero:
            print(*outlook_of(config, inputs, fabric), sep="\n")
        return True
    found = costs_of(config, Schedule.of(schedule, inputs.steps_of_epoch())) if fabric.is_global_zero else None
    return train(config, inputs, folder, fabric, resume, start, held, found)


def _config_and_folder(given: argparse.Namespace) -> tuple[Config, Path, bool | Path]:
    """What to train, where, and whether to go on there, or from which checkpoint."""
    folder: Path
    if given.resume:
        named = given.resume.name.startswith("step_")
        folder = given.resume.resolve().parents[1] if named else given.resume
        if not (folder / CONFIG).is_file():
            raise ConfigError(f"{given.resume}: no run; expected a folder with {CONFIG} and checkpoints/")
        if named and not given.resume.is_dir():
            there = ", ".join(path.name for path in checkpoints(folder / "checkpoints")) or "none"
            raise ConfigError(f"{given.resume}: no such checkpoint; the run holds {there}")
        return load_config(folder / CONFIG, given.set), folder, given.resume if named else True
    config = load_config(given.config, given.set)
    name = f"{Path(given.config).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = given.out or Path("runs") / name
    if checkpoints(folder / "checkpoints"):
        raise ConfigError(f"{folder}: holds checkpoints already; use --resume {folder}, or choose another --out")
    return config, folder, False


if __name__ == "__main__":
    raise SystemExit(main())

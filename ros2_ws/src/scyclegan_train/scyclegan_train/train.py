"""`scyclegan_train train`: start a run, or resume one."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lightning_fabric import Fabric

from scyclegan_train.config import Config
from scyclegan_train.config_file import load_config, to_yaml
from scyclegan_train.data.checks import check_masks, check_sources
from scyclegan_train.data.inputs import open_inputs
from scyclegan_train.run.checkpoint import checkpoints
from scyclegan_train.run.export import latest
from scyclegan_train.run.loop import train
from us_sim.core.command import as_command
from us_sim.core.errors import ConfigError, UsSimError

CONFIG = "config.yaml"
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(prog="scyclegan_train train", description=__doc__)
    what = found.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", help="YAML file, or a shipped one: paper.yaml, ours.yaml, lite.yaml, smoke.yaml ...")
    what.add_argument("--resume", type=Path, metavar="RUN", help="folder of a run: resume from its latest checkpoint")
    found.add_argument("--start", type=Path, metavar="RUN", help="initialise the networks of a new run from this one")
    found.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE", help="change the config")
    found.add_argument("--out", type=Path, help="folder of the run; default runs/<config>-<time>")
    found.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "cuda"))
    found.add_argument("--devices", type=int, default=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
                       help="processes on this machine; set by torchrun itself")  # fmt: skip
    found.add_argument("--nodes", type=int, default=int(os.environ.get("GROUP_WORLD_SIZE", "1")), help="machines")
    return found


@as_command("scyclegan_train train")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 at the end of the run, 130 after Ctrl-C, 2 for a user error."""
    given = parser().parse_args(arguments)
    try:
        config, folder = _config_and_folder(given)
        start = latest(given.start) if given.start else None
        ended = run(config, folder, given.accelerator, given.devices, given.nodes, bool(given.resume), start)
        return 0 if ended else 130
    except UsSimError as error:
        print(f"scyclegan_train train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the first step, or the second time
        print("scyclegan_train train: stopped without a new checkpoint", file=sys.stderr)
        return 130


def run(config: Config, folder: Path, accelerator: str = "auto", devices: int = 1, nodes: int = 1,
        resume: bool = False, start: Path | None = None) -> bool:  # fmt: skip
    """Launch the processes and train; returns and raises as `train`."""
    check_sources(config)
    strategy = "ddp" if devices * nodes > 1 else "auto"
    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy,
                    precision=PRECISIONS[config.loop.precision])  # type: ignore[arg-type] # fmt: skip
    fabric.launch()
    folder = Path(fabric.broadcast(str(folder)))  # its name may hold the second at which a process started
    if fabric.is_global_zero:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(to_yaml(config))
    fabric.barrier()
    card, schedule = config.generator.card(), config.schedule
    inputs = open_inputs(config.data, card, schedule.batch, fabric.device, config.loop.seed, fabric.global_rank,
                         fabric.world_size)  # fmt: skip
    check_masks(config.method, inputs.masked)
    return train(config, inputs, folder, fabric, resume, start)


def _config_and_folder(given: argparse.Namespace) -> tuple[Config, Path]:
    if given.resume:
        if not (given.resume / CONFIG).is_file():
            raise ConfigError(f"{given.resume}: no run; expected a folder with {CONFIG} and checkpoints/")
        return load_config(given.resume / CONFIG, given.set), given.resume
    config = load_config(given.config, given.set)
    name = f"{Path(given.config).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder: Path = given.out or Path("runs") / name
    if checkpoints(folder / "checkpoints"):
        raise ConfigError(f"{folder}: holds checkpoints already; use --resume {folder}, or choose another --out")
    return config, folder


if __name__ == "__main__":
    raise SystemExit(main())

"""`scyclegan_train export`: a checkpoint's averaged generator, or its segmenter, as an artifact for the simulator."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from scyclegan_train.checkpoint import CheckpointError, checkpoints, read_weights
from scyclegan_train.config import Config, from_mapping
from us_sim.core.artifact import build, load_generator, save_generator
from us_sim.core.card import Card
from us_sim.core.errors import ConfigError, UsSimError
from us_sim.core.segmenter import load_segmenter


def export(checkpoint: Path, target: Path, training_data: Sequence[dict[str, str]] = (),
           metrics: dict[str, float] | None = None, half: bool = False, segmenter: bool = False) -> Card:  # fmt: skip
    """Write the generator of a checkpoint, or its segmenter of ultrasound.

    Args:
        checkpoint: folder of one checkpoint, or of a run: its latest is taken.
        target: the artifact, `.safetensors`.
        training_data: name and licence of every source.
        metrics: what was measured.
        half: round the weights to half precision.
        segmenter: write S_us, which finds the organs in a frame, instead.

    Returns:
        The card.

    Raises:
        CheckpointError: no checkpoint there, a damaged one, or one without a trained segmenter.
    """
    weights, text = read_weights(latest(checkpoint))
    config = from_mapping(Config, yaml.safe_load(text), str(checkpoint))
    card = replace(config.generator.card(), training_data=tuple(training_data), metrics=metrics or {},
                   git_commit=commit())  # fmt: skip
    if segmenter:
        if not config.method.segments:
            raise CheckpointError(f"{checkpoint}: its method trains no segmenter; set method: segmentation above 0")
        card = replace(card, kind="segmenter", width=config.method.segmenter_width)
    network = build(card)
    prefix = "S_us." if segmenter else "average.G_ct2us."
    network.load_state_dict({n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)})
    if half:
        network.half()
    save_generator(target, network, card)
    (load_segmenter if segmenter else load_generator)(target)  # what the simulator would refuse is not handed out
    return card


def latest(path: Path) -> Path:
    """Return a checkpoint's folder, given it or its run's.

    Raises:
        CheckpointError: neither.
    """
    if path.name.startswith("step_"):
        return path
    found = checkpoints(path / "checkpoints")
    if not found:
        raise CheckpointError(f"{path}: holds no checkpoint; give the folder of a run or of a checkpoint")
    return found[-1]


def commit() -> str:
    """The commit of the code that trains, or nothing outside a checkout."""
    command = ["git", "rev-parse", "HEAD"]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return found.stdout.strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="scyclegan_train export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder of a checkpoint, or of a run: its latest is taken")
    parser.add_argument("target", type=Path, help="artifact to write, .safetensors")
    parser.add_argument("--data", action="append", default=[], metavar="NAME:LICENCE", help="a source trained on")
    parser.add_argument("--half", action="store_true", help="round the weights to half precision")
    parser.add_argument("--segmenter", action="store_true", help="write the segmenter of ultrasound, S_us, instead")
    given = parser.parse_args(arguments)
    try:
        data = [_source(entry) for entry in given.data]
        card = export(given.checkpoint, given.target, data, half=given.half, segmenter=given.segmenter)
    except UsSimError as error:
        print(f"scyclegan_train export: {error}", file=sys.stderr)
        return 2
    print(f"{given.target}: {card.grid}, {card.encoding}, width {card.width:g}, {card.kind}")
    return 0


def _source(entry: str) -> dict[str, str]:
    name, found, licence = entry.rpartition(":")
    if not found:
        raise ConfigError(f"--data {entry}: expected NAME:LICENCE")
    return {"name": name, "licence": licence}


if __name__ == "__main__":
    raise SystemExit(main())

"""A checkpoint's averaged generator, or its segmenter, as an artifact for the simulator."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from scyclegan_train.config import Config
from scyclegan_train.config_file import from_mapping
from scyclegan_train.run.checkpoint import CheckpointError, checkpoints, read_weights
from us_sim.core.analysis.segmenter import load_segmenter
from us_sim.core.generator.artifact import build, load_generator, save_generator
from us_sim.core.generator.card import Card


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

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Networks of a checkpoint as artifacts: the averaged generator and S_us for the simulator, the others for research."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scyclegan_train.config_file import config_of
from scyclegan_train.run.checkpoint import WEIGHTS, CheckpointError, checkpoints, read_weights
from us_sim.core.errors import ConfigError
from us_sim.core.generator.artifact import build, load_network, save_generator
from us_sim.core.generator.card import Card

KINDS = {"G_ct2us": "generator", "G_us2ct": "us2ct", "S_us": "segmenter", "S_ct": "ct_segmenter"}
UNTRAINED = {"S": "set method: segmentation above 0", "G": "set method: cycle_ct, cycle_us or ct_critic above 0"}


def export(checkpoint: Path, target: Path, training_data: Sequence[dict[str, str]] = (),
           metrics: dict[str, float] | None = None, half: bool = False, network: str = "G_ct2us") -> Card:  # fmt: skip
    """Write a network of a checkpoint; of the generators, the averaged weights.

    Args:
        checkpoint: folder of one checkpoint, or of a run: its latest is taken.
        target: the artifact, `.safetensors`.
        training_data: name and licence of every source.
        metrics: what was measured.
        half: round the weights to half precision.
        network: one of KINDS.

    Returns:
        The card.

    Raises:
        CheckpointError: no checkpoint there, a damaged one, or one whose method does not train that network.
    """
    weights, text = read_weights(latest(checkpoint))
    config = config_of(text, str(checkpoint))
    card = replace(config.generator.card(), training_data=tuple(training_data), metrics=metrics or {},
                   git_commit=commit())  # fmt: skip
    trained = {"G_ct2us": True, "G_us2ct": config.method.goes_back, "S_us": config.method.segments,
               "S_ct": config.method.segments and config.method.goes_back}  # fmt: skip
    if not trained[network]:
        raise CheckpointError(f"{checkpoint}: its method does not train {network}; {UNTRAINED[network[0]]}")
    width = config.method.segmenter_width if network.startswith("S") else card.width
    card = card if network == "G_ct2us" else card.beside(KINDS[network], width)
    built = build(card)
    prefix = f"{network}." if network.startswith("S") else f"average.{network}."
    built.load_state_dict({n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)})
    if half:
        built.half()
    save_generator(target, built, card)
    load_network(target, card.kind)  # what the simulator would refuse is not handed out
    return card


def latest(path: Path) -> Path:
    """Return a checkpoint's folder, given it or its run's.

    Raises:
        CheckpointError: neither.
    """
    if path.name.startswith("step_") or (path / WEIGHTS).is_file():
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


def source_of(entry: str) -> dict[str, str]:
    """Return name and licence of a source from the command line.

    Raises:
        ConfigError: no colon between them.
    """
    name, found, licence = entry.rpartition(":")
    if not found:
        raise ConfigError(f"--data {entry}: expected NAME:LICENCE")
    return {"name": name, "licence": licence}

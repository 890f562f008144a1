# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""`scyclegan_train segmenter`: a segmenter of ultrasound alone, on physics frames of invented scanners, as an artifact
for ~/analysis; and its accuracy on frames of held-out phantoms, through the node's own code path."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from scyclegan_train.data.grid_renderer import DRAWN
from scyclegan_train.data.patient_source import Case, phantom_cases, physics_frames
from scyclegan_train.data.samples import UsBatch, joined
from scyclegan_train.evaluation import reference_segmenter
from scyclegan_train.evaluation.held_out import PROBE
from scyclegan_train.evaluation.reference_segmenter import ANY_SCANNER
from scyclegan_train.evaluation.segmenter_scores import Found, score, table
from scyclegan_train.method.appearance import appearance
from scyclegan_train.method.networks import segmenter
from scyclegan_train.run.export import commit, source_of
from us_sim.core.analysis.segmenter import load_segmenter
from us_sim.core.assembly import open_generator
from us_sim.core.command import as_command
from us_sim.core.errors import ConfigError
from us_sim.core.generator.artifact import save_generator
from us_sim.core.generator.unet import UNet
from us_sim.core.patient.patient import load_patient
from us_sim.core.tissue import TissueClass

HELD_OUT = range(2000, 2006)  # phantoms that no generator and no segmenter is trained on
SEEDS = range(3000, 3072)  # phantoms to train on; generators never see them
FROM_DRAWN = 2 / 3  # share of the frames that are each of an invented scanner; the others are of ours
FROM_SCANS = 0.25  # share of the frames that are of real scans, where there are any
# One cell of its grid for each block of samples and scan lines that the training averages.
_SAMPLES, _LINES = reference_segmenter.SHRUNK
_COARSE = replace(
    PROBE, width=256, height=256, scan_lines=PROBE.scan_lines // _LINES, samples=PROBE.samples // _SAMPLES
)
CARD = replace(ANY_SCANNER, probe=_COARSE, kind="segmenter")
DATA = ({"name": "procedural phantoms, physics frames", "licence": "Apache-2.0"},)


def save(
    target: Path, network: UNet, scores: dict[TissueClass, Found] | None = None, scans: Sequence[dict[str, str]] = ()
) -> None:
    """Write a segmenter in half precision, its scores on the card, and name and licence of the scans it has seen."""
    metrics = {f"Dice of {tissue.name.lower()}": round(found.dice, 3) for tissue, found in (scores or {}).items()}
    card = replace(CARD, training_data=(*DATA, *scans), metrics=metrics, git_commit=commit())
    save_generator(target, network.half(), card)


def train(steps: int, frames: int, scans: Sequence[Case], say: Callable[[str], None] = print) -> UNet:
    """Return a network trained on frames of invented scanners, altered anew whenever they are seen.

    Args:
        steps: of the training.
        frames: different ones, two of three of invented scanners, the others of ours with other settings.
        scans: patients with labels for a quarter of the frames; none: phantoms only.
        say: called with lines of progress.
    """
    of_scans = round(FROM_SCANS * frames) if scans else 0
    parts = [
        _frames(cases, round(share * count), scanner, say)
        for cases, count in ((phantom_cases(SEEDS), frames - of_scans), (scans, of_scans))
        for scanner, share in ((DRAWN, FROM_DRAWN), ("", 1 - FROM_DRAWN))
        if count > 1
    ]
    batch = joined(parts)
    torch.manual_seed(0)
    network = segmenter(ANY_SCANNER, reference_segmenter.WIDTH)
    reference_segmenter.train(network, *reference_segmenter.prepared(batch), steps, say, appearance)
    return network


def _frames(cases: Sequence[Case], count: int, scanner: str, say: Callable[[str], None]) -> UsBatch:
    say(f"segmenter: {count} frames of {len(cases)} patients, {scanner or 'default'} scanner")
    return physics_frames(cases, count, ANY_SCANNER, randomised=not scanner, scanner=scanner)


@as_command("scyclegan_train segmenter")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for a user error."""
    parser = argparse.ArgumentParser(prog="scyclegan_train segmenter", description=__doc__)
    parser.add_argument("artifact", type=Path, help="to write, or if it exists to score, .safetensors")
    parser.add_argument("--steps", type=int, default=8500, help="of the training; default 8500")
    parser.add_argument("--frames", type=int, default=2400, help="different frames to train on; default 2400")
    parser.add_argument("--scan", nargs=2, action="append", default=[], metavar=("CT", "LABELS"),
                        help="a CT with labels to take a quarter of the frames from; may be repeated")  # fmt: skip
    parser.add_argument("--data", action="append", default=[], metavar="NAME:LICENCE", help="what those scans are of")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(HELD_OUT), help="held-out phantoms")
    parser.add_argument("--count", type=int, default=9, help="poses on each; default 9")
    parser.add_argument("--generator", help="score on frames of a generator (artifact or shipped) instead of physics")
    given = parser.parse_args(arguments)
    if min(given.steps, given.count) < 1 or given.frames < 16:
        raise ConfigError("expected --steps and --count of 1 or more, --frames of 16 or more")
    if given.artifact.suffix != ".safetensors":
        raise ConfigError(f"{given.artifact}: expected a name that ends in .safetensors")
    new = not given.artifact.exists()
    sources = [source_of(entry) for entry in given.data]
    generator = open_generator(given.generator, "cpu") if given.generator else None
    if new:
        print(f"{given.artifact} is not there: a segmenter is trained for it, {given.steps} steps")
        given.artifact.parent.mkdir(parents=True, exist_ok=True)  # rather than after the training
        scans = [partial(load_patient, ct, labels) for ct, labels in given.scan]
        save(given.artifact, train(given.steps, given.frames, scans))
    segmenter = load_segmenter(given.artifact)
    scores = score(segmenter, given.seeds, given.count, generator)
    if new and generator is None:
        save(given.artifact, segmenter.network, scores, sources)
    print(table(scores))
    return 0

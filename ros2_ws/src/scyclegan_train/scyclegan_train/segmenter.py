# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""`scyclegan_train segmenter`: a segmenter of ultrasound alone, on physics frames of phantoms, as an artifact for
~/analysis; and its accuracy on frames of held-out phantoms, through the node's own code path."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scyclegan_train.data.patient_source import phantom_cases
from scyclegan_train.data.poses import aims, draw_pose
from scyclegan_train.evaluation import reference_segmenter
from scyclegan_train.evaluation.held_out import PROBE
from scyclegan_train.run.export import commit
from us_sim.core.analysis.organ_views import shadow
from us_sim.core.analysis.segmenter import Segmenter, load_segmenter, segment
from us_sim.core.assembly import open_generator
from us_sim.core.command import as_command
from us_sim.core.errors import ConfigError
from us_sim.core.generator.artifact import Generator, save_generator
from us_sim.core.generator.unet import UNet
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TissueClass

HELD_OUT = range(2000, 2006)  # phantoms that no generator and no segmenter is trained on
SHOWS = 250.0  # mm²: a frame with less of an organ does not count as showing it
AIMS = (None, TissueClass.KIDNEY, TissueClass.LIVER)  # what the poses look at, in turn; None: any organ
# One cell of its grid for each block of samples and scan lines that the training averages.
_SAMPLES, _LINES = reference_segmenter.SHRUNK
_COARSE = replace(
    PROBE, width=256, height=256, scan_lines=PROBE.scan_lines // _LINES, samples=PROBE.samples // _SAMPLES
)
CARD = replace(reference_segmenter.LINES, probe=_COARSE, kind="segmenter")
DATA = ({"name": "procedural phantoms, physics frames", "licence": "Apache-2.0"},)


@dataclass(frozen=True, eq=False)
class Found:
    """Accuracy for one class; frames are those that show it.

    Attributes:
        dice: over all pixels of all frames, in the fan and not in shadow.
        frames: how many show it.
        found: in how many of these something was found.
        off: (found,) distance of the found centroid from the true one, mm.
    """

    dice: float
    frames: int
    found: int
    off: NDArray[np.float64]


def save(target: Path, network: UNet, scores: dict[TissueClass, Found] | None = None) -> None:
    """Write a segmenter in half precision, its scores on the card."""
    metrics = {f"Dice of {tissue.name.lower()}": round(found.dice, 3) for tissue, found in (scores or {}).items()}
    save_generator(target, network.half(), replace(CARD, training_data=DATA, metrics=metrics, git_commit=commit()))


def score(
    segmenter: Segmenter, seeds: Sequence[int], count: int, generator: Generator | None = None
) -> dict[TissueClass, Found]:
    """Return how well each class of the card is found in frames of phantoms, `count` poses on each.

    The physics renderer draws the frames, or a generator.
    """
    views = [view for seed in seeds for view in _views(segmenter, seed, count, generator)]
    return {TissueClass(c): _found(c, views) for c in segmenter.card.classes[1:]}


@dataclass(frozen=True, eq=False)
class _View:
    """Classes of one frame, (H, W) uint8, background where nothing counts; `pixel`: height and width, mm."""

    found: NDArray[np.uint8]
    true: NDArray[np.uint8]
    pixel: NDArray[np.float64]


def _views(segmenter: Segmenter, seed: int, count: int, generator: Generator | None) -> Iterator[_View]:
    """Render poses on the phantom of a seed, and look for organs as the node does."""
    patient, rng = phantom_cases([seed])[0](), np.random.default_rng(seed)
    renderer = "physics" if generator is None else "generator"
    simulator = Simulator(patient, renderer=renderer, generator=generator, device="cpu")
    probe, frequency = simulator.probe, simulator.settings.frequency
    wanted = [aims(patient, aim) for aim in AIMS]
    for place in range(count):
        frame = simulator.render(draw_pose(rng, wanted[place % len(AIMS)], probe), ct_slice=False)
        assert frame.image is not None
        assert frame.labels is not None
        coupling = frame.contact.line_coupling
        counts = probe.fan_mask & ~shadow(frame.labels, coupling, probe, frequency)
        found = segment(segmenter, frame.image, coupling, probe)
        yield _View(found * counts, frame.labels * counts, np.array(probe.pixel_spacing[::-1]))


def _found(number: int, views: Sequence[_View]) -> Found:
    both = total = frames = 0
    off = []
    for view in views:
        found, true = view.found == number, view.true == number
        both += np.count_nonzero(found & true)
        total += np.count_nonzero(found) + np.count_nonzero(true)
        if np.count_nonzero(true) * view.pixel.prod() >= SHOWS:
            frames += 1
            if found.any():
                off.append(np.linalg.norm((_middle(found) - _middle(true)) * view.pixel))
    return Found(2 * both / max(1, total), frames, len(off), np.array(off))


def _middle(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.argwhere(mask).mean(axis=0)


def table(scores: dict[TissueClass, Found]) -> str:
    """Return the scores as a table."""
    lines = ["| class | Dice | detected | median centroid error, mm |", "|---|---|---|---|"]
    for tissue, found in scores.items():
        off = f"{np.median(found.off):.1f}" if found.found else "-"
        lines.append(f"| {tissue.name.lower()} | {found.dice:.2f} | {found.found} of {found.frames} | {off} |")
    return "\n".join(lines)


@as_command("scyclegan_train segmenter")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for a user error."""
    parser = argparse.ArgumentParser(prog="scyclegan_train segmenter", description=__doc__)
    parser.add_argument("artifact", type=Path, help="to write, or if it exists to score, .safetensors")
    parser.add_argument("--steps", type=int, default=2000, help="of the training; default 2000")
    parser.add_argument("--frames", type=int, default=384, help="different frames to train on; default 384")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(HELD_OUT), help="held-out phantoms")
    parser.add_argument("--count", type=int, default=9, help="poses on each; default 9")
    parser.add_argument("--generator", help="score on frames of a generator (artifact or shipped) instead of physics")
    given = parser.parse_args(arguments)
    if min(given.steps, given.count) < 1 or given.frames < 16:
        raise ConfigError("expected --steps and --count of 1 or more, --frames of 16 or more")
    new = not given.artifact.exists()
    generator = open_generator(given.generator, "cpu") if given.generator else None
    if new:
        given.artifact.parent.mkdir(parents=True, exist_ok=True)  # rather than after the training
        save(given.artifact, reference_segmenter.trained(given.steps, given.frames))
    segmenter = load_segmenter(given.artifact)
    scores = score(segmenter, given.seeds, given.count, generator)
    if new and generator is None:
        save(given.artifact, segmenter.network, scores)
    print(table(scores))
    return 0

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""How well a segmenter of ultrasound finds organs in frames of held-out phantoms, through the node's own code path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scyclegan_train.data.patient_source import phantom_cases
from scyclegan_train.data.poses import aims, draw_pose
from us_sim.core.analysis.organ_views import shadow
from us_sim.core.analysis.segmenter import Segmenter, segment
from us_sim.core.generator.artifact import Generator
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TissueClass

SHOWS = 250.0  # mm²: a frame with less of an organ does not count as showing it
AIMS = (None, TissueClass.KIDNEY, TissueClass.LIVER)  # what the poses look at, in turn; None: any organ


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

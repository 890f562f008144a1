# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Metrics of one renderer on one held-out patient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scyclegan_train.evaluation import held_out, metrics, radiomics, stability
from scyclegan_train.evaluation.held_out import ORGANS, PHYSICS, SPACING, Scene
from scyclegan_train.evaluation.intervals import Features
from scyclegan_train.evaluation.likeness import Blocks, blocks_of, pooled
from scyclegan_train.evaluation.reference_segmenter import ReferenceSegmenter, shrunk
from us_sim.core.generator.artifact import Generator
from us_sim.core.tissue import TissueClass as T

BORDERS = ((T.LIVER, T.VESSEL), (T.LIVER, T.FLUID), (T.LIVER, T.KIDNEY), (T.KIDNEY, T.FAT), (T.LIVER, T.LUNG))
DICE = (*ORGANS, T.VESSEL, T.FLUID)
LIVER_LEVEL = -8.0  # dB, above which liver is bright enough to be compared with insonified real liver
DEPTH_BINS = np.arange(0.0, 181.0, 15.0)  # mm

Row = dict[str, str | float]
Frames = NDArray[np.float64]


@dataclass
class Findings:
    """Metrics of one renderer over all patients.

    Attributes:
        rows: patient, metric, value.
        blocks: liver, by depth.
        features: of the liver views, one array a frame.
        radiomics: of the liver views, (d,) a frame.
        liver_views: (H, W) frames of the poses like those of the real frames.
        greys: for each depth bin, grey levels of visible pixels.
    """

    rows: list[Row] = field(default_factory=list)
    blocks: Blocks = field(default_factory=dict)
    features: list[Features] = field(default_factory=list)
    radiomics: list[NDArray[np.float64]] = field(default_factory=list)
    liver_views: list[Frames] = field(default_factory=list)
    greys: list[list[NDArray[np.float32]]] = field(default_factory=lambda: [[] for _ in DEPTH_BINS[1:]])

    def metrics(self) -> list[str]:
        """Names of what was noted."""
        return list(dict.fromkeys(str(row["metric"]) for row in self.rows))

    def greys_by_depth(self) -> list[NDArray[np.float32]]:
        """Grey levels of all frames together, for each depth bin."""
        return [np.concatenate([*pieces, np.empty(0, np.float32)]) for pieces in self.greys]

    def add(self, patient: str, metric: str, value: float) -> None:
        """Note a number."""
        self.rows.append({"patient": patient, "metric": metric, "value": float(value)})


def measure(
    one: Scene, generator: Generator | None, reference: ReferenceSegmenter, into: Findings, physics: Frames
) -> Frames:
    """Measure a generator, or with None the physics renderer, on a patient; returns its (B, H, W) frames."""
    frames = physics if generator is None else held_out.drawn(one.simulator, one.poses, generator)
    lines = held_out.along_lines(frames)
    note: Callable[[str, float], None] = lambda metric, value: into.add(one.name, metric, value)  # noqa: E731
    note("correlation of different poses", metrics.pose_correlation(frames, one.visible))
    _anatomy(one, frames, reference.classes(lines), note)
    if generator is not None:
        _against_physics(one, frames, physics, note)
        _shuffled(one, generator, reference, note)
    _stability(one, generator, note)
    _likeness(one, lines, reference, into)
    into.liver_views += list(frames[one.liver_view].astype(np.float32))
    return frames


def _anatomy(one: Scene, frames: Frames, seen: NDArray[np.uint8], note: Callable[[str, float], None]) -> None:
    wanted, where = shrunk(one.line_tissue), shrunk(one.line_visible)
    for organ in DICE:
        note(f"dice {organ.name.lower()}", _overlap(seen, wanted, where, organ))
    note("dice organs", _mean_overlap(seen, wanted, where))
    for frame, tissue, visible in zip(frames, one.tissue, one.visible, strict=True):
        for pair in BORDERS:
            name = f"gCNR {pair[0].name.lower()}/{pair[1].name.lower()}"
            note(name, metrics.border_gcnr(frame, tissue, visible, (int(pair[0]), int(pair[1])), SPACING))
        note("hallucinated structures", metrics.hallucinated(frame, tissue, visible, SPACING))


def _against_physics(one: Scene, frames: Frames, physics: Frames, note: Callable[[str, float], None]) -> None:
    for frame, reference, visible in zip(frames, physics, one.visible, strict=True):
        if np.count_nonzero(visible) > metrics.ENOUGH:
            note("SSIM", metrics.ssim(frame, reference, visible))
            note("PSNR", metrics.psnr(frame, reference, visible))
            note("correlation", metrics.correlation(frame, reference, visible))


def _shuffled(
    one: Scene, generator: Generator, reference: ReferenceSegmenter, note: Callable[[str, float], None]
) -> None:
    """With permuted labels as input: does the image follow them, or the CT?"""
    lines = held_out.along_lines(held_out.drawn_shuffled(one, generator, range(len(one.poses))))
    seen, where = reference.classes(lines), shrunk(one.line_visible)
    true = shrunk(one.line_tissue)
    fed = held_out.shuffle_table()[true]
    for name, wanted in (("shuffled map", fed), ("true map", true)):
        note(f"shuffled labels: dice to {name}", _mean_overlap(seen, wanted, where))


def _overlap(seen: NDArray[np.uint8], wanted: NDArray[np.uint8], where: NDArray[np.bool_], organ: T) -> float:
    """Dice of an organ over all pixels of a patient's frames together."""
    return metrics.dice(seen, wanted, where, int(organ))


def _mean_overlap(seen: NDArray[np.uint8], wanted: NDArray[np.uint8], where: NDArray[np.bool_]) -> float:
    """Mean Dice of the paper's organs that are in view; NaN without any."""
    found = [_overlap(seen, wanted, where, organ) for organ in ORGANS]
    kept = [value for value in found if math.isfinite(value)]
    return float(np.mean(kept)) if kept else math.nan


def _stability(one: Scene, generator: Generator | None, note: Callable[[str, float], None]) -> None:
    probe = one.simulator.probe
    poses = stability.slow_sweep(one.simulator.patient)
    sweep = held_out.scene(one.simulator.patient, poses, np.ones(len(poses), bool))
    frames = held_out.drawn(one.simulator, poses, generator)
    note("flicker", stability.flicker(frames, poses, sweep.visible, probe))
    follows, stays = stability.texture_follows(frames, poses, sweep.visible, probe)
    note("tissue-locked texture", follows)
    note("screen-locked texture", stays)


def _likeness(one: Scene, lines: Frames, reference: ReferenceSegmenter, into: Findings) -> None:
    probe, chosen = one.simulator.probe, np.flatnonzero(one.liver_view)
    liver = (one.line_tissue == T.LIVER) & (one.level > LIVER_LEVEL)
    into.blocks = pooled([into.blocks, *(blocks_of(lines[i].T, liver[i].T, probe) for i in range(len(lines)))])
    coupled = np.isfinite(one.level)
    into.features += reference.features(lines[chosen], coupled[chosen])
    into.radiomics += [radiomics.features(lines[i], coupled[i]) for i in chosen if coupled[i].any()]
    add_greys(into, lines[chosen], one.line_visible[chosen], probe.sample_depths)


def add_greys(into: Findings, lines: Frames, where: NDArray[np.bool_], depths: NDArray[np.float32]) -> None:
    """Sort (B, S, L) grey levels by depth."""
    bins = np.digitize(depths, DEPTH_BINS) - 1
    for k, kept in enumerate(into.greys):
        rows = bins == k
        kept.append(lines[:, rows][where[:, rows]].astype(np.float32))


def is_deterministic(one: Scene, generator: Generator | None) -> bool:
    """Whether the same pose gives the same frame, bit for bit, drawn again and after another pose."""
    poses = one.poses[[0, len(one.poses) - 1, 0]]
    frames = held_out.drawn(one.simulator, poses, generator)
    again = held_out.drawn(one.simulator, poses[:1], generator)
    return bool((frames[0] == frames[2]).all() and (frames[0] == again[0]).all())


def name_of(generator: Generator | None) -> str:
    """The renderer's name in the report."""
    return PHYSICS if generator is None else generator.name

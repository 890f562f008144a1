# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Slices out of CT scans: of which scans, where, and on which grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from scyclegan_train.data.cases import CtCase
from scyclegan_train.data.grid_renderer import GridRenderer
from scyclegan_train.data.poses import aims, draw_pose
from scyclegan_train.data.samples import CtBatch
from scyclegan_train.data.slices import Recipe, recipe_of, write_slices
from scyclegan_train.data.splits import SPLITS
from us_sim.core.errors import UsSimError
from us_sim.core.generator.card import Card
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix, apply, rigid
from us_sim.core.patient.patient import Patient, load_patient
from us_sim.core.sampling.sampler import sampler_on
from us_sim.core.tissue import TissueClass

ORGANS = (TissueClass.LIVER, TissueClass.KIDNEY, TissueClass.SPLEEN, TissueClass.PANCREAS)


@dataclass(frozen=True)
class Cut:
    """What is cut out of each scan.

    Attributes:
        card: grid and fan.
        poses: `skin` or `transverse`.
        slices: of each scan.
        seed: of the poses.
        out: folder of the slices.
        label_scheme: meaning of the label values; None to take what the labels say.
        labels_map: YAML file with label values or names and their classes.
        whole_slice: transverse: the frame covers the whole slice, whatever its size in mm.
    """

    card: Card
    poses: str
    slices: int
    seed: int
    out: Path
    label_scheme: str | None = None
    labels_map: Path | None = None
    whole_slice: bool = False

    @property
    def recipe(self) -> Recipe:
        """What the folder of the slices says of them."""
        return recipe_of(self.card, self.poses, self.slices, self.seed, self.whole_slice)


def drawn_cases(cases: Sequence[CtCase], count: int, seed: int) -> list[CtCase]:
    """At most `count` cases of each split, drawn by seed; 0 for all. Their order stays."""
    if not count:
        return list(cases)
    kept = set()
    for split in SPLITS:
        members = [case.name for case in cases if case.split == split]
        kept |= set(np.random.default_rng(seed).permutation(members)[:count].tolist())
    return [case for case in cases if case.name in kept]


def prepare_case(case: CtCase, cut: Cut) -> tuple[str, tuple[str, ...]]:
    """Write the slices of one scan; return why that was impossible, or nothing, and what its loading had to tell.

    The paper's encoding sees the CT as it is; `rich` sees it with the detail that the simulator draws into it.
    """
    detail = cut.card.encoding == "rich"
    try:
        patient = load_patient(case.ct, case.labels, cut.label_scheme, cut.labels_map, detail=detail)
    except UsSimError as error:
        return str(error), ()
    told = (*patient.labelling, *patient.warnings)
    if not np.isin(patient.volume.tissue, ORGANS).any() and cut.poses == "transverse":
        return f"{case.labels}: labels no organ; expected an abdomen", told
    batch = slices_of(patient, cut.card, cut.poses, cut.slices, cut.seed, cut.whole_slice)
    about = {"patient": case.patient, "split": case.split, "ct": case.ct.name, "sha256": patient.sha256}
    write_slices(cut.out / f"{case.name}.safetensors", batch, about)
    return "", told


def slices_of(patient: Patient, card: Card, poses: str, count: int, seed: int, whole_slice: bool = False) -> CtBatch:
    """Return the slices of a patient on a card's grid; the same seed and patient give the same slices."""
    renderer = GridRenderer(card, torch.device("cpu"), seed=seed)
    sampler = sampler_on(renderer.device, patient, 0)
    rng = np.random.default_rng([seed, int(patient.sha256[:8], 16)])
    if poses == "transverse":
        scale = slice_scale(patient, card.probe) if whole_slice else 1.0
        return renderer.plain(sampler, transverse_poses(patient, card.probe, count, rng, scale), scale)
    where = aims(patient)
    drawn = np.stack([draw_pose(rng, where, card.probe) for _ in range(count)])
    return renderer.ct(sampler, sampler, patient, drawn, list(range(count)))


def slice_scale(patient: Patient, probe: ProbeGeometry) -> float:
    """How much larger than the probe's frame the CT's transverse slice is, along the longer of its sides."""
    low, high = patient.volume.bounds
    voxel = np.abs(patient.volume.ct_from_voxel[:2, :3]).sum(axis=1)
    frame = np.array(probe.pixel_spacing) * (probe.width, probe.height)
    return float(((high - low)[:2] + voxel).max() / frame.max())


def transverse_poses(
    patient: Patient, probe: ProbeGeometry, count: int, rng: np.random.Generator, scale: float = 1.0
) -> Matrix:
    """(count, 4, 4) poses of transverse slices, seen from the feet, anterior on top.

    They are drawn among the CT's slices that show an organ, as the paper draws 10 of a scan: none twice, as long as
    there are enough. The middle of the frame, `scale` times the probe's, lies on the middle of the CT.
    """
    low, high = patient.volume.bounds
    organs = apply(patient.volume.ct_from_voxel, np.argwhere(np.isin(patient.volume.tissue, ORGANS)))
    levels = np.unique(organs[:, 2].round(3))
    heights = np.sort(rng.choice(levels, count, replace=count > len(levels)))
    (dx, dz), (x, z) = probe.pixel_spacing, probe.first_pixel
    top = 0.5 * (low[1] + high[1]) + scale * (0.5 * (probe.height - 1) * dz + z)
    across = 0.5 * (low[0] + high[0]) + scale * (0.5 * (probe.width - 1) * dx + x)
    axes = np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]]).T  # columns to the patient's left, beam to the back
    return np.stack([rigid(axes, [across, top, z]) for z in heights])

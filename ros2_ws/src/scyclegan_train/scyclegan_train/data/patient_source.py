# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Samples made on the fly: patients, a few at a time, with drawn poses on the skin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import ClassVar, TypeVar

import numpy as np
import torch

from scyclegan_train.data.degraded import clinical
from scyclegan_train.data.grid_renderer import GridRenderer
from scyclegan_train.data.patient_pool import PatientPool
from scyclegan_train.data.poses import Aims, aims, draw_pose
from scyclegan_train.data.samples import CtBatch, UsBatch, joined
from scyclegan_train.data.teacher import Teacher
from us_sim.core.generator.card import Card
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.patient import Patient, builtin_patient
from us_sim.core.sampling.sampler import Sampler, sampler_on
from us_sim.core.tissue import TissueClass as T

Case = Callable[[], Patient]
AnyBatch = TypeVar("AnyBatch", CtBatch, UsBatch)


def phantom_cases(seeds: Sequence[int]) -> list[Case]:
    """Procedural abdomens by seed."""
    return [partial(_phantom, int(seed)) for seed in seeds]


# Sources that look at the same phantoms, one of them for liver views, share them while they are new.
_phantom = lru_cache(maxsize=16)(partial(builtin_patient, keep=False))


@dataclass(frozen=True, eq=False)
class _Ready:
    """A patient with all that sampling needs."""

    patient: Patient
    body: Sampler
    scanned: Sampler
    aims: Aims


class PatientSource:
    """Which patient and which pose a sample has; what is drawn of them is up to the two sources below.

    An epoch sees `at_once` patients; from one epoch to the next, `fresh` of them are replaced. So patients are
    made now and then, not for every batch, and sample i of epoch e is still a matter of (seed, e, i) alone.

    `stream` keeps the two kinds of source apart: the same seed draws other poses for them.

    Args:
        cases: what makes each patient.
        card: the grid.
        length: samples of an epoch.
        device: where batches are made.
        seed: of everything drawn.
        at_once, fresh: patients in an epoch, and how many of them the next epoch replaces.
        liver_view: poses of the real frames' kind only.
        degrade: feed the CT at clinical resolution and noise; for phantoms.
        prefetch: make the next epoch's patients in a background thread.
        randomised, scanner: of the physics frames, as for `GridRenderer`.
    """

    stream: ClassVar[int]

    def __init__(
        self,
        cases: Sequence[Case],
        card: Card,
        *,
        length: int = 256,
        device: torch.device | str = "cpu",
        seed: int = 0,
        at_once: int = 4,
        fresh: int = 1,
        liver_view: bool = False,
        degrade: bool = True,
        prefetch: bool = True,
        randomised: bool = False,
        scanner: str = "",
    ) -> None:
        if not cases:
            raise ValueError("a source needs at least one patient")
        self._cases, self._length, self._seed = list(cases), length, seed
        self._device, self._liver_view, self._degrade = torch.device(device), liver_view, degrade
        self._at_once = min(at_once, len(self._cases))
        self._fresh = min(fresh, self._at_once) if self._at_once < len(self._cases) else 0
        self._order = np.random.default_rng(seed).permutation(len(self._cases))
        self._renderer = GridRenderer(card, self._device, randomised, seed, scanner)
        self._pool = PatientPool(self._ready, self._at_once + self._fresh, prefetch)

    def __len__(self) -> int:
        return self._length

    def patients_of(self, epoch: int) -> list[int]:
        """Numbers of the cases that an epoch sees."""
        first = epoch * self._fresh
        return [int(self._order[(first + j) % len(self._order)]) for j in range(self._at_once)]

    def _ready(self, number: int) -> _Ready:
        patient = self._cases[number]()
        only = T.LIVER if self._liver_view else None
        body = sampler_on(self._device, patient, 0, self._renderer.tissues)
        scanned = body
        if self._degrade:
            rng = np.random.default_rng([self._seed, number])
            scanned = sampler_on(self._device, Patient(clinical(patient.volume, rng), patient.skin), 0)
        return _Ready(patient, body, scanned, aims(patient, only))

    def _drawn(
        self, indices: Sequence[int], epoch: int, draw: Callable[[_Ready, Matrix, list[int]], AnyBatch]
    ) -> AnyBatch:
        """Draw the samples patient by patient; return them in the order asked for."""
        here: list[int] = self.patients_of(epoch)
        rows: dict[int, list[int]] = {}
        for row, index in enumerate(indices):
            rows.setdefault(here[index % len(here)], []).append(row)
        self._pool.expect([*here, *self.patients_of(epoch + 1)])
        parts, order = [], []
        for number, members in rows.items():
            ready = self._pool[number]
            rngs = [np.random.default_rng([self._seed, self.stream, epoch, indices[row]]) for row in members]
            draws = [int(rng.integers(2**31)) for rng in rngs]
            poses = np.stack([draw_pose(rng, ready.aims, self._renderer.probe, self._liver_view) for rng in rngs])
            parts.append(draw(ready, poses, draws))
            order += members
        return joined(parts).pick(np.argsort(order).tolist())


class PatientCt(PatientSource):
    """CT slices with paired physics frames, or a teacher's frames instead."""

    stream = 0
    teacher: Teacher | None = None

    def batch(self, indices: Sequence[int], epoch: int = 0) -> CtBatch:
        def draw(ready: _Ready, poses: Matrix, draws: list[int]) -> CtBatch:
            made = self._renderer.ct(ready.scanned, ready.body, ready.patient, poses, draws)
            return made if self.teacher is None else replace(made, physics=self.teacher.draw(ready.scanned, poses))

        return self._drawn(indices, epoch, draw)


class PatientUs(PatientSource):
    """Frames of the physics renderer with masks."""

    stream = 1

    def batch(self, indices: Sequence[int], epoch: int = 0) -> UsBatch:
        def draw(ready: _Ready, poses: Matrix, draws: list[int]) -> UsBatch:
            return self._renderer.us(ready.body, ready.patient, poses, draws)

        return self._drawn(indices, epoch, draw)


def physics_frames(
    cases: Sequence[Case], count: int, card: Card, *, at_once: int = 4, randomised: bool = False, scanner: str = ""
) -> UsBatch:
    """Frames with masks for what is trained or tried on a fixed set: as many of each patient as of any other.

    Args:
        cases: patients.
        count: frames at least; rounded up to the same number for every group of patients.
        card: the grid.
        at_once: patients that are kept at a time.
        randomised, scanner: as for `PatientSource`.
    """
    source = PatientUs(cases, card, length=count, at_once=at_once, fresh=at_once, degrade=False, prefetch=False,
                       randomised=randomised, scanner=scanner)  # fmt: skip
    groups = -(-len(cases) // at_once)
    share = -(-count // groups)
    return joined([source.batch(range(share), epoch) for epoch in range(groups)])

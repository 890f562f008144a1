# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""From a run's configuration to its batches: which samples each step of each process sees."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch

from scyclegan_train.config import DataConfig, SourceConfig
from scyclegan_train.data.augment import Augmented
from scyclegan_train.data.aus_rus import AusRus
from scyclegan_train.data.fans import LIVER_SWEEP, FanGeometry, fan_beside
from scyclegan_train.data.faults import DataError, Faults
from scyclegan_train.data.frame_files import images_in
from scyclegan_train.data.frames import FrameFolder, Frames
from scyclegan_train.data.patient_source import Case, PatientCt, PatientUs
from scyclegan_train.data.phantom_source import PhantomCt
from scyclegan_train.data.physics_source import PhysicsUs
from scyclegan_train.data.repeated import Repeated
from scyclegan_train.data.samples import CtBatch, CtSource, UsBatch, UsSource, joined
from scyclegan_train.data.slices import PreparedCt
from scyclegan_train.data.sources import Mixed, Source
from scyclegan_train.data.teacher import Teacher
from us_sim.core.errors import ConfigError
from us_sim.core.generator.artifact import load_generator
from us_sim.core.generator.card import Card
from us_sim.core.patient.patient import load_patient

Given = TypeVar("Given", CtBatch, UsBatch)


class Inputs:
    """Both domains. Position p of the run is sample p mod N of epoch p div N in each of them.

    Args:
        ct, us: the sources.
        batch: samples of a step and process.
        rank, world: this process and their number; processes take turns in the positions.
        masked: whether any frame of ultrasound has a mask.
        paired: whether every slice of CT has a physics frame.
    """

    def __init__(
        self, ct: CtSource, us: UsSource, batch: int, rank: int = 0, world: int = 1, masked: bool = True,
        paired: bool = True,
    ) -> None:  # fmt: skip
        self.ct, self.us, self.masked, self.paired = ct, us, masked, paired
        self.batch, self._rank, self._world = batch, rank, world

    def at(self, step: int) -> tuple[CtBatch, UsBatch]:
        """Return what this process sees in a step; a matter of step, rank and seed alone."""
        first = (step * self._world + self._rank) * self.batch
        positions = range(first, first + self.batch)
        return _finite(_at(self.ct, positions), step), _finite(_at(self.us, positions), step)

    def steps_of_epoch(self) -> int:
        """Steps in which the domain with more samples is seen once."""
        return max(1, max(len(self.ct), len(self.us)) // (self.batch * self._world))

    def stream(self, first: int, end: int, ahead: int) -> Iterator[tuple[CtBatch, UsBatch]]:
        """Yield the batches of steps `first` to `end` − 1, made `ahead` steps early in a background thread."""
        if ahead == 0:
            yield from (self.at(step) for step in range(first, end))
            return
        coming: deque[Future[tuple[CtBatch, UsBatch]]] = deque()
        with ThreadPoolExecutor(1, "batches") as worker:
            try:
                for step in range(first, end + ahead):
                    if step < end:
                        coming.append(worker.submit(self._pinned, step))
                    if step >= first + ahead and coming:
                        yield coming.popleft().result()
            finally:
                worker.shutdown(wait=False, cancel_futures=True)

    def _pinned(self, step: int) -> tuple[CtBatch, UsBatch]:
        ct, us = self.at(step)
        return (ct.pin(), us.pin()) if ct.hu.device.type == "cpu" else (ct, us)


def _at(source: Source[Given], positions: Sequence[int]) -> Given:
    epochs: dict[int, list[int]] = {}
    for position in positions:
        epochs.setdefault(position // len(source), []).append(position % len(source))
    parts = [source.batch(indices, epoch) for epoch, indices in epochs.items()]
    return joined(parts) if len(parts) > 1 else parts[0]


def _finite(batch: Given, step: int) -> Given:
    """The batch itself; on a GPU it is not looked at, which would wait for it.

    Raises:
        DataError: a value that is not finite, which no change of rates fixes.
    """
    for field in fields(batch):
        value = getattr(batch, field.name)
        floats = value is not None and value.is_floating_point() and value.device.type == "cpu"
        if floats and not bool(value.isfinite().all()):
            rows = [row for row, one in enumerate(value) if not bool(one.isfinite().all())]
            raise DataError(f"step {step}: {field.name} of {type(batch).__name__} is not finite in rows {rows}")
    return batch


def open_inputs(
    config: DataConfig, card: Card, batch: int, device: torch.device | str, seed: int, rank: int = 0, world: int = 1
) -> Inputs:
    """Open the sources of a configuration.

    Several sources are mixed with the same draws in both domains: where the weights agree, sample i comes from the
    n-th source of both, so that poses can be chosen to suit the frames.

    Raises:
        UsSimError: a file or folder that cannot be used.
    """
    opened = [_Opener(card, torch.device(device), seed + i, Faults(config.strict)) for i in (0, 1)]
    slices = [opened[0].ct(source) for source in config.ct]
    ct = [_shaped(given, source, card, seed) for given, source in zip(slices, config.ct, strict=True)]
    frames = [opened[1].us(source) for source in config.us]
    us = [_shaped(given, source, card, seed) for given, source in zip(frames, config.us, strict=True)]
    for opener in opened:
        opener.faults.report()
    # Mixed sources are drawn alike in both domains: an epoch of either is as long as that of the longer one.
    length = max(sum(map(len, ct)), sum(map(len, us)))
    return Inputs(
        ct[0] if len(ct) == 1 else Mixed(ct, _weights(ct, config.ct), length=length, seed=seed),
        us[0] if len(us) == 1 else Mixed(us, _weights(us, config.us), length=length, seed=seed),
        batch, rank, world, any(not isinstance(given, Frames) or given.masked for given in frames),
        all(not isinstance(given, PreparedCt) or given.paired for given in slices),
    )  # fmt: skip


def _weights(sources: Sequence[Source[Any]], configs: Sequence[SourceConfig]) -> list[float]:
    """How often each is drawn from: by its weight, or without weights by its number of samples."""
    return [config.weight or float(len(source)) for source, config in zip(sources, configs, strict=True)]


class _Opener:
    def __init__(self, card: Card, device: torch.device, seed: int, faults: Faults) -> None:
        self._card, self._device, self._seed, self.faults = card, device, seed, faults

    def ct(self, source: SourceConfig) -> CtSource:
        if source.kind == "phantoms":
            return self._distilled(PhantomCt(range(*source.seeds), self._card, **self._drawn(source)), source)
        if source.kind == "patient":
            return self._distilled(PatientCt(_cases(source), self._card, degrade=False, **self._drawn(source)), source)
        if source.kind == "prepared":
            folder = expanded(source.path)
            return PreparedCt(
                folder, self._card, split=source.split, fold=source.fold, seed=self._seed, device=self._device
            )
        raise ConfigError(f"kind {source.kind!r} gives no CT")

    def us(self, source: SourceConfig) -> UsSource:
        if source.kind == "phantoms":
            return PhysicsUs(range(*source.seeds), self._card, randomised=source.randomised, **self._drawn(source))
        if source.kind == "patient":
            return PatientUs(_cases(source), self._card, degrade=False, randomised=source.randomised,
                             **self._drawn(source))  # fmt: skip
        if source.kind == "frames":
            folder = expanded(source.path)
            places = _places(source.frames, len(images_in(folder)), folder)
            return FrameFolder(
                folder, self._card, known_fan(folder), masks=expanded(source.masks) if source.masks else None,
                places=places, faults=self.faults, seed=self._seed, whole=source.fit == "whole", device=self._device,
            )  # fmt: skip
        if source.kind in ("aus", "rus"):
            return AusRus(
                expanded(source.path), source.split, self._card, part=source.kind.upper(), faults=self.faults,
                seed=self._seed, whole=source.fit == "whole", device=self._device,
            )  # fmt: skip
        raise ConfigError(f"kind {source.kind!r} gives no ultrasound")

    def _distilled(self, patients: PatientCt, source: SourceConfig) -> PatientCt:
        if source.teacher:
            patients.teacher = Teacher(load_generator(expanded(source.teacher), self._device), self._card)
        return patients

    def _drawn(self, source: SourceConfig) -> dict[str, Any]:
        return {
            "length": source.samples, "at_once": source.at_once, "liver_view": source.liver_view,
            "device": self._device, "seed": self._seed, "scanner": _scanner(source.scanner),
        }  # fmt: skip


def _cases(source: SourceConfig) -> list[Case]:
    """The one patient of a source."""
    path, labels = expanded(source.path), expanded(source.labels) if source.labels else None
    return [lambda: load_patient(path, labels)]


def _scanner(name: str) -> str:
    return str(expanded(name)) if name.endswith((".yaml", ".yml")) else name


def _places(frames: tuple[int, int], count: int, folder: Path) -> range:
    """Places of a folder's frames; an end that nobody gave is that of the folder."""
    first, end = frames
    if first >= count or (end > count and end != SourceConfig().frames[1]):
        raise DataError(f"{folder}: holds {count} frames; frames are [{first}, {end}], expected at most [0, {count}]")
    return range(first, min(end, count))


def _shaped(source: Source[Given], config: SourceConfig, card: Card, seed: int) -> Source[Given]:
    """A source with what its configuration adds: repeats from memory, then flips and rotations."""
    if config.repeat:
        source = Repeated(source, config.repeat, seed)
    return Augmented(source, card, seed=seed) if config.augment else source


def known_fan(folder: Path) -> FanGeometry | None:
    """The fan of a folder of frames: `fan.json` in it or beside it; the public liver sweep's; None: found in them."""
    return fan_beside(folder, folder.parent) or (LIVER_SWEEP if folder.parent.name == "us_liver_sweep" else None)


def expanded(path: str) -> Path:
    """Return a path with ${NAME} and ~ replaced.

    Raises:
        ConfigError: a variable that is not set.
    """
    text = os.path.expanduser(os.path.expandvars(path))
    if "$" in text:
        raise ConfigError(f"path {path!r}: a variable in it is not set; export it or give the path itself")
    return Path(text)

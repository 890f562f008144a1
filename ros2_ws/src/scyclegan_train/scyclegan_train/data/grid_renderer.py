# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A patient on a card's grid: CT slice, classes, scatterers, and the physics renderer's frame of the same pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from scyclegan_train.data.drawn_scanner import altered, draw_scanner
from scyclegan_train.data.samples import PHYSICS, CtBatch, UsBatch, joined
from us_sim.core.config import ImageSettings
from us_sim.core.contact.contact import contact
from us_sim.core.generator.card import Card
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.patient import Patient
from us_sim.core.physics import speckle
from us_sim.core.physics.b_mode import polar_frame, transmission
from us_sim.core.physics.gel import with_gel
from us_sim.core.physics.imaging import Formation, formation
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert
from us_sim.core.physics.scanner_file import ScannerPreset, load_scanner
from us_sim.core.sampling.anatomy import Anatomy
from us_sim.core.sampling.reslice import elevation_beam
from us_sim.core.sampling.sampler import Sampler

PENETRATED = -20.0  # dB below the TGC-compensated level, down to which tissue is visible
DRAWN = "drawn"  # in place of a scanner's name: another scanner for each frame
NOISES = 8  # different electronic noises: one alone would be a pattern that stays with the screen


class GridRenderer:
    """Everything of a card's grid that no pose changes.

    Args:
        card: grid, probe.
        device: where batches are made.
        randomised: ultrasound with drawn focus, frequency, gain, dynamic range, TGC and number of looks, for
            segmenters that should not depend on them; otherwise the settings that the node starts with.
        seed: of noise and settings.
        scanner: preset or YAML file whose settings, constants and acoustic table the frames have; `drawn`: frames of
            ultrasound are each from an invented one, fan and depth too; empty: the simulator's own.

    Raises:
        ConfigError: an unknown scanner.
    """

    def __init__(
        self, card: Card, device: torch.device, randomised: bool = False, seed: int = 0, scanner: str = ""
    ) -> None:
        self.card, self.probe, self.device, self.randomised = card, card.probe, device, randomised
        self._polar = card.grid == "polar"
        self._lines = torch.tensor(self.probe.polar_points).to(device)
        points = self.probe.polar_points.transpose(1, 0, 2) if self._polar else self.probe.pixel_points
        self._points = torch.tensor(points).to(device)
        self._grid, fan = conversion_grid(self.probe, device)
        self.fan = torch.ones(card.size, dtype=torch.bool, device=device) if self._polar else fan
        self._beam = elevation_beam(self.probe.slice_thickness, self.probe.elevation_planes)
        rng, self._drawn = np.random.default_rng(seed), scanner == DRAWN
        preset = load_scanner(scanner) if scanner and not self._drawn else ScannerPreset()
        self.tissues = preset.tissues
        settings = [_settings(rng, preset.image) if randomised else preset.image for _ in range(NOISES)]
        self._forms = [formation(self.probe, s, seed + i, device, preset.constants) for i, s in enumerate(settings)]
        # A generator is fed the texture that our own scanner gives, with the noise of the frame that it learns.
        self._fed = [formation(self.probe, ImageSettings(), seed + i, device) for i in range(NOISES)]

    def coupling(self, patient: Patient, poses: Matrix) -> Tensor:
        """(B, L) coupling of the scan lines."""
        lines = [contact(patient.skin, self.probe, pose).line_coupling for pose in poses]
        return torch.from_numpy(np.stack(lines)).to(self.device)

    @torch.no_grad()
    def ct(self, scanned: Sampler, body: Sampler, patient: Patient, poses: Matrix, draws: Sequence[int]) -> CtBatch:
        """What a generator is fed, and the paired physics frame.

        Args:
            scanned: the CT as it is fed.
            body: the same patient as sound meets it; finer than the CT for phantoms.
            patient: for the contact.
            poses: (B, 4, 4).
            draws: one seed a pose.
        """
        hu, tissue = scanned.slice(self._points, poses, self._beam)
        anatomy = body.anatomy(self._lines, poses, self._beam)
        coupling = self.coupling(patient, poses)
        valid = self._valid(coupling)
        penetrated = self._on_grid(_penetrated(anatomy, self._forms[0]).float()) > 0.5
        twins, textures = [], []
        for one, draw in zip(_singles(anatomy), draws, strict=True):
            twins.append(polar_frame(one, torch.ones_like(coupling[:1]), self._forms[draw % NOISES]))
            textures.append(speckle.texture(one, self._fed[draw % NOISES]))
        twin, scatter = self._on_grid(torch.cat(twins)), self._on_grid(torch.cat(textures))
        return CtBatch(hu, tissue, valid, valid & penetrated, scatter, twin)

    @torch.no_grad()
    def plain(self, scanned: Sampler, poses: Matrix, scale: float = 1.0) -> CtBatch:
        """Slices through the whole fan, wherever the skin lies: no contact, no shadows, no paired physics frame.

        Scatterers are given where the card reads them. `scale` makes a fan larger than the probe's.
        """
        hu, tissue = scanned.slice(self._points * scale, poses, self._beam)
        valid = self.fan.expand(len(poses), -1, -1)
        if self.card.encoding == "paper":
            return CtBatch(hu, tissue, valid, valid)
        anatomy = scanned.anatomy(self._lines * scale, poses, self._beam)
        return CtBatch(hu, tissue, valid, valid, self._on_grid(speckle.texture(anatomy, self._fed[0])))

    @torch.no_grad()
    def us(self, body: Sampler, patient: Patient, poses: Matrix, draws: Sequence[int]) -> UsBatch:
        """Frames of the physics renderer with their masks; arguments as for `ct`."""
        if self._drawn:
            return joined([self._by_drawn_scanner(body, patient, *one) for one in zip(poses, draws, strict=True)])
        _, tissue = body.slice(self._points, poses, self._beam)
        anatomy = body.anatomy(self._lines, poses, self._beam)
        coupling = self.coupling(patient, poses)
        frames = []
        for one, line_coupling, draw in zip(_singles(anatomy), coupling, draws, strict=True):
            form = self._forms[draw % NOISES]
            if self.randomised:
                form = _randomised(form, draw)
            frames.append(polar_frame(one, line_coupling[None], form))
        return self._with_masks(torch.cat(frames), tissue, coupling)

    def _by_drawn_scanner(self, body: Sampler, patient: Patient, pose: Matrix, draw: int) -> UsBatch:
        """One frame; its outermost scan lines and its depth become those of the grid, as those of real frames do."""
        rng = np.random.default_rng(draw)
        scanner = draw_scanner(rng, self.probe)
        beam = elevation_beam(scanner.probe.slice_thickness, scanner.probe.elevation_planes)
        anatomy = body.anatomy(torch.tensor(scanner.probe.polar_points).to(self.device), pose[None], beam)
        line_coupling = contact(patient.skin, scanner.probe, pose).line_coupling
        coupling = torch.from_numpy(line_coupling[None]).to(self.device)
        form = formation(scanner.probe, scanner.image, draw % NOISES, self.device, scanner.constants)
        polar = polar_frame(altered(anatomy, rng), coupling, form)
        return self._with_masks(polar, self._classes_on_grid(anatomy.tissue), coupling)

    def _with_masks(self, polar: Tensor, tissue: Tensor, coupling: Tensor) -> UsBatch:
        known = torch.ones(len(polar), dtype=torch.bool, device=self.device)
        source = torch.full((len(polar),), PHYSICS, device=self.device)
        return UsBatch(self._on_grid(polar), tissue * self.fan, known, self._valid(coupling), source)

    def _classes_on_grid(self, polar: Tensor) -> Tensor:
        """(B, L, S) classes on the card's grid, nearest neighbour."""
        if self._polar:
            return polar.transpose(1, 2).contiguous()
        most = self.probe.scan_lines - 1, self.probe.samples - 1
        line, sample = np.clip(np.rint(self.probe.polar_of_pixel), 0, most).astype(np.int64).transpose(2, 0, 1)
        return polar[:, torch.from_numpy(line).to(self.device), torch.from_numpy(sample).to(self.device)]

    def _on_grid(self, polar: Tensor) -> Tensor:
        """(B, L, S) on the card's grid."""
        return polar.transpose(1, 2).contiguous() if self._polar else scan_convert(polar, self._grid, self.fan)

    def _valid(self, coupling: Tensor) -> Tensor:
        lines = (coupling > 0.5).float()[..., None].expand(-1, -1, self.probe.samples)
        return (self._on_grid(lines) > 0.5) & self.fan


def _penetrated(anatomy: Anatomy, form: Formation) -> Tensor:
    """(B, L, S) where enough of the sound comes back."""
    left = transmission(*with_gel(anatomy, form), form)
    return 20 * torch.log10(left.clamp(min=1e-9)) + form.tgc > PENETRATED


def _singles(anatomy: Anatomy) -> list[Anatomy]:
    """The batch one by one, each as a batch of 1."""
    parts = [getattr(anatomy, name) for name in Anatomy.__dataclass_fields__]
    return [Anatomy(*(part[b : b + 1] for part in parts)) for b in range(len(parts[0]))]


def _settings(rng: np.random.Generator, usual: ImageSettings) -> ImageSettings:
    return replace(usual, frequency=float(rng.uniform(3.0, 4.2)), focus=float(rng.uniform(45, 110)))


def _randomised(form: Formation, draw: int) -> Formation:
    """Other gain, dynamic range and TGC sliders, and fewer looks compounded."""
    rng = np.random.default_rng(draw)
    settings = replace(form.settings, gain=float(rng.uniform(-6, 6)), dynamic_range=float(rng.uniform(50, 80)))
    sliders = torch.from_numpy(rng.normal(0, 2.0, 6).astype(np.float32)).to(form.tgc.device)
    tgc = torch.nn.functional.interpolate(sliders[None, None], len(form.tgc), mode="linear", align_corners=True)
    looks = form.scanner.looks
    kept = 1 + int(rng.integers(looks))
    pick = [*range(kept), *range(looks, looks + kept)]
    return replace(
        form,
        settings=settings,
        scanner=replace(form.scanner, looks=kept),
        tgc=form.tgc + tgc[0, 0],
        noise=form.noise[..., pick].contiguous(),
        clutter=form.clutter[..., pick].contiguous(),
    )

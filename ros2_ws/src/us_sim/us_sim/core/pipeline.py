# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""From poses to image, HU and classes: what one simulator samples and draws with, on one device."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from us_sim.core.compute.device import Device, on_host
from us_sim.core.compute.graphs import Graphs
from us_sim.core.compute.grids import placed_by_axis
from us_sim.core.config import SOFT_WINDOW, ImageSettings
from us_sim.core.contact.deformation import nodes_of, sources
from us_sim.core.generator.artifact import Generator
from us_sim.core.generator.encoding import window
from us_sim.core.generator.renderer import LearnedRenderer
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.patient import Patient
from us_sim.core.physics.b_mode import polar_frame
from us_sim.core.physics.imaging import formation
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert
from us_sim.core.physics.scanner_file import ScannerPreset
from us_sim.core.sampling.moved_sampler import MovedSampler
from us_sim.core.sampling.reslice import elevation_beam
from us_sim.core.sampling.sampler import Sampler, Slice, sampler_on


class Wanted(NamedTuple):
    """What to make of every pose.

    Attributes:
        renderer: of the image; one that `Simulator.check_renderer` accepts.
        image, ct_slice, labels: the outputs.
        uncertainty: of the image, where a generator that knows it draws that.
    """

    renderer: str
    image: bool
    ct_slice: bool
    labels: bool
    uncertainty: bool = False


class Drawn(NamedTuple):
    """The image, (B, H, W) grey levels, and what a generator tells of it: (B, H, W) grey levels, (B,) score."""

    image: Tensor | None
    uncertainty: Tensor | None = None
    score: Tensor | None = None


class Pipeline:
    """Sampler, image formation and generator of one simulator; all that does not depend on the pose is made once.

    Args:
        patient: to sample.
        probe: whose frames they are.
        settings: gain and the like.
        generator: of the renderer of that name; None, or one that does not fit the probe, leaves that renderer out.
        device: where all of it lies.
        seed: of scatterers and noise.
        scanner: whose constants and acoustic table form the image; None for the generic ones.
        like: an earlier pipeline, whose parts are shared where nothing has changed for them.
    """

    sampler: Sampler
    _learned: LearnedRenderer | None

    def __init__(
        self,
        patient: Patient,
        probe: ProbeGeometry,
        settings: ImageSettings,
        generator: Generator | None,
        device: Device,
        seed: int,
        scanner: ScannerPreset | None,
        like: Pipeline | None = None,
    ) -> None:
        self._patient, self._probe, self._generator = patient, probe, generator
        self._device, self._seed, self._scanner = device, seed, scanner
        if like is not None and not (like._device.same_place(device) and like._seed == seed):
            like = None
        on, acoustics = device.torch_device, scanner or ScannerPreset()
        if like is not None and like._patient is patient and like._scanner == scanner:
            self.sampler = like.sampler
        else:
            self.sampler = sampler_on(on, patient, seed, acoustics.tissues)
        self._beam = elevation_beam(probe.slice_thickness, probe.elevation_planes)
        self._pixels = torch.from_numpy(placed_by_axis(probe.pixel_points)).to(on)
        self._lines = torch.from_numpy(placed_by_axis(probe.polar_points)).to(on)
        self._nodes = nodes_of(probe)
        self._grid, self._fan = conversion_grid(probe, on)
        self._formation = formation(probe, settings, seed, on, acoustics.constants)
        self._learned = self._learned_renderer(settings, like)
        self._graphs = Graphs(self.drawn, on) if on.type == "cuda" else None

    def _learned_renderer(self, settings: ImageSettings, like: Pipeline | None) -> LearnedRenderer | None:
        """What the generator renders with; None if there is none that fits this probe."""
        generator, probe = self._generator, self._probe
        if generator is None or generator.card.refusal(probe) is not None:
            return None
        if like is not None and like._learned is not None and like._generator is generator and like._probe == probe:
            return like._learned.with_settings(settings)
        return LearnedRenderer(generator, probe, settings, self._seed)

    def render(
        self, wanted: Wanted, poses: Matrix, lines: NDArray[np.float32], tables: NDArray[np.float32] | None,
        caudal: NDArray[np.float64] | None,
    ) -> list[tuple[Any, Any, Any, Any, Any]]:  # fmt: skip
        """Return image, slice, labels, uncertainty and out-of-distribution score of every pose; None: not wanted.

        Args:
            wanted: what to make.
            poses: (B, 4, 4) rigid, mm.
            lines: (B, L) coupling of the scan lines.
            tables: (B, NODES, COLUMNS) displacements under the probe, from `deformation.tables_of`; None: none.
            caudal: (B,) respiratory motion, mm; None: none.
        """
        given = [None if one is None else torch.from_numpy(one) for one in (poses, lines, tables, caudal)]
        if self._graphs is not None:
            arrays = self._graphs(wanted, *given)
        else:
            there = [None if one is None else one.to(self._device.torch_device) for one in given]
            arrays = on_host(*self.drawn(wanted, *there))  # type: ignore[arg-type]
        none = [None] * len(poses)
        return list(zip(*(none if array is None else list(array) for array in arrays), strict=True))

    def drawn(
        self, wanted: Wanted, poses: Tensor, lines: Tensor, tables: Tensor | None, caudal: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
        """Return the same as tensors on the device, where all that is given lies; nothing is read back."""
        sampler = self._moved(poses, tables, caudal)
        cut = classes = None
        if wanted.ct_slice or (wanted.image and self._reads_slice(wanted.renderer)):
            cut = sampler.slice(self._pixels, poses, self._beam)
        if wanted.labels:
            classes = cut[1] if cut else sampler.classes(self._pixels, poses)
        drawn = Drawn(None) if not wanted.image else self._draw(wanted, sampler, poses, lines, cut)
        return (
            _bytes(drawn.image),
            cut[0].round().to(torch.int16) if cut and wanted.ct_slice else None,
            classes,
            _bytes(drawn.uncertainty),
            drawn.score,
        )

    def _moved(self, poses: Tensor, tables: Tensor | None, caudal: Tensor | None) -> Sampler:
        """The sampler, through the displacements of the tissue at each pose."""
        if tables is None and caudal is None:
            return self.sampler

        def source(points: Tensor) -> Tensor:
            still = points.expand(len(poses), *points.shape)
            moved = still if tables is None else sources(self._nodes, tables, points)
            return moved if caudal is None else self._patient.mobility.sources(moved, poses, caudal)

        return MovedSampler(self.sampler, source)

    def _reads_slice(self, renderer: str) -> bool:
        """Whether a renderer reads the slice at the frame's own pixels."""
        return renderer == "ct" or (renderer == "generator" and self._learned is not None and self._learned.reads_frame)

    def _draw(self, wanted: Wanted, sampler: Sampler, poses: Tensor, coupling: Tensor, cut: Slice | None) -> Drawn:
        if wanted.renderer == "ct":
            assert cut is not None
            return Drawn((window(cut[0], *SOFT_WINDOW) + 1) * 127.5 * self._fan)
        if wanted.renderer == "physics":
            anatomy = sampler.anatomy(self._lines, poses, self._beam)
            polar = polar_frame(anatomy, coupling, self._formation)
            return Drawn(scan_convert(polar, self._grid, self._fan))
        assert self._learned is not None
        read = self._learned.read(sampler, poses, self._beam, cut)
        image, score = self._learned.shown(read, coupling)
        return Drawn(image, self._learned.uncertainty(read, coupling) if wanted.uncertainty else None, score)


def _bytes(grey: Tensor | None) -> Tensor | None:
    return None if grey is None else grey.round().to(torch.uint8)

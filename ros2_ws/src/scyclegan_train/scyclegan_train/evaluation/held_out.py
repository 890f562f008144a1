# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Held-out patients for the evaluation: poses, tissue classes and acoustic visibility."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scyclegan_train.data.grid_renderer import PENETRATED
from scyclegan_train.data.patient_source import phantom_cases
from scyclegan_train.data.poses import aims, draw_pose
from us_sim.core.config import ImageSettings
from us_sim.core.generator.artifact import Generator
from us_sim.core.generator.renderer import LearnedRenderer
from us_sim.core.geometry.probe import ProbeGeometry, preset
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.patient import Patient
from us_sim.core.physics.b_mode import transmission
from us_sim.core.physics.gel import with_gel
from us_sim.core.physics.imaging import formation
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert
from us_sim.core.sampling.anatomy import Anatomy
from us_sim.core.sampling.reslice import Beam, Poses, elevation_beam
from us_sim.core.sampling.sampler import Sampler, Slice, sampler_on
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import CLASS_COUNT
from us_sim.core.tissue import TissueClass as T

# The default fan in pixels of 0.315 mm, those of the real frames: no renderer is favoured by its pixel size.
PROBE = replace(preset("c5_2"), width=732, height=594)
SPACING = PROBE.pixel_spacing[::-1]  # mm between rows, between columns
PHYSICS = "physics"
ORGANS = (T.LIVER, T.KIDNEY, T.SPLEEN, T.PANCREAS)


@dataclass(frozen=True, eq=False)
class Scene:
    """Poses on one held-out patient; B poses, H × W pixels, S samples of L scan lines.

    Attributes:
        name: of the patient.
        simulator: renderer `physics`.
        poses: (B, 4, 4) mm.
        liver_view: (B,) bool, poses like those of the real frames.
        tissue, visible: (B, H, W) classes; on coupled lines and insonified.
        line_tissue: (B, S, L) classes.
        level: (B, S, L) dB of two-way transmission relative to the TGC-compensated level; −inf on lines not coupled.
    """

    name: str
    simulator: Simulator
    poses: Matrix
    liver_view: NDArray[np.bool_]
    tissue: NDArray[np.uint8]
    visible: NDArray[np.bool_]
    line_tissue: NDArray[np.uint8]
    level: NDArray[np.float32]

    @property
    def line_visible(self) -> NDArray[np.bool_]:
        """(B, S, L) as `visible`."""
        return self.level > PENETRATED


def phantom_scene(seed: int, count: int, probe: ProbeGeometry = PROBE) -> Scene:
    """Poses on the phantom of a seed, every second one like those of the real frames."""
    patient, rng = phantom_cases([seed])[0](), np.random.default_rng(seed)
    where, liver = aims(patient), aims(patient, T.LIVER)
    views = np.arange(count) % 2 == 0
    poses = np.stack([draw_pose(rng, liver if view else where, probe, bool(view)) for view in views])
    return scene(patient, poses, views, probe)


@torch.no_grad()
def scene(patient: Patient, poses: Matrix, liver_view: NDArray[np.bool_], probe: ProbeGeometry = PROBE) -> Scene:
    """Sample the patient at the poses."""
    simulator = Simulator(patient, probe, device="cpu")
    sampler, beam = sampler_on(torch.device("cpu"), patient, 0), beam_of(probe)
    lines = torch.tensor(probe.polar_points)
    points = torch.tensor(probe.pixel_points)
    tissue = sampler.slice(points, poses, beam)[1].numpy()
    coupled = torch.from_numpy(np.stack([simulator.contact(pose).line_coupling for pose in poses])) > 0.5
    form = formation(probe, ImageSettings(), 0, torch.device("cpu"))
    left = transmission(*with_gel(sampler.anatomy(lines, poses, beam), form), form)
    level = 20 * torch.log10(left.clamp(min=1e-9)) + form.tgc
    level = level.masked_fill(~coupled[..., None], -torch.inf)
    seen = scan_convert((level > PENETRATED).float(), *conversion_grid(probe, torch.device("cpu"))) > 0.5
    line_tissue = sampler.slice(lines, poses, beam)[1].transpose(1, 2)
    return Scene(patient.name, simulator, poses, liver_view, tissue, seen.numpy(), line_tissue.numpy(),
                 level.transpose(1, 2).numpy())  # fmt: skip


def beam_of(probe: ProbeGeometry) -> Beam:
    """The simulator's elevational beam."""
    return elevation_beam(probe.slice_thickness, probe.elevation_planes)


def drawn(simulator: Simulator, poses: Matrix, generator: Generator | None) -> NDArray[np.float64]:
    """(B, H, W) grey levels as the node shows them: of a generator, or of the physics renderer."""
    if generator is not None:
        simulator = simulator.replace(generator=generator, renderer="generator")
    frames = [simulator.render(pose, ct_slice=False, labels=False).image for pose in poses]
    return np.stack([frame for frame in frames if frame is not None]).astype(np.float64)


def along_lines(frames: NDArray[np.float64], probe: ProbeGeometry = PROBE) -> NDArray[np.float64]:
    """(B, H, W) pixels -> (B, S, L) samples of the scan lines, bilinear."""
    x, _, z = (torch.from_numpy(probe.polar_points[..., i].T.astype(np.float64)) for i in range(3))
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    column, row = (2 * (x - x0) / dx + 1) / probe.width - 1, (2 * (z - z0) / dz + 1) / probe.height - 1
    grid = torch.stack([column, row], dim=-1)[None].expand(len(frames), -1, -1, -1)
    found = torch.nn.functional.grid_sample(
        torch.from_numpy(frames)[:, None], grid, padding_mode="border", align_corners=False
    )
    return np.asarray(found[:, 0].numpy())


# -- permuted labels ------------------------------------------------------------------


def shuffle_table() -> NDArray[np.uint8]:
    """(classes,) uint8: liver becomes kidney, kidney spleen, spleen pancreas, pancreas liver; the rest stays."""
    table = np.arange(CLASS_COUNT, dtype=np.uint8)
    table[list(ORGANS)] = [*ORGANS[1:], ORGANS[0]]
    return table


class Shuffled:
    """A sampler whose labels are permuted; HU, acoustic properties and scatterers are the patient's."""

    def __init__(self, sampler: Sampler) -> None:
        self.device, self._sampler = sampler.device, sampler
        self._table = torch.from_numpy(shuffle_table()).to(sampler.device)

    def slice(self, points: Tensor, ct_from_probe: Poses, beam: Beam) -> Slice:
        hu, tissue = self._sampler.slice(points, ct_from_probe, beam)
        return hu, self._table[tissue.long()]

    def classes(self, points: Tensor, ct_from_probe: Poses) -> Tensor:
        return self._table[self._sampler.classes(points, ct_from_probe).long()]

    def anatomy(self, points: Tensor, ct_from_probe: Poses, beam: Beam) -> Anatomy:
        anatomy = self._sampler.anatomy(points, ct_from_probe, beam)
        return replace(anatomy, tissue=self._table[anatomy.tissue.long()])


@torch.inference_mode()
def drawn_shuffled(one: Scene, generator: Generator, chosen: Sequence[int]) -> NDArray[np.float64]:
    """(B, H, W) grey levels of a generator that is fed permuted labels, of some of the poses."""
    probe = one.simulator.probe
    learned = LearnedRenderer(generator, probe, ImageSettings(), 0)
    sampler = Shuffled(sampler_on(generator.device, one.simulator.patient, 0))
    poses = one.poses[list(chosen)]
    coupling = np.stack([one.simulator.contact(pose).line_coupling for pose in poses])
    found = learned.draw(sampler, poses, torch.from_numpy(coupling).to(generator.device), beam_of(probe))
    return found.double().cpu().numpy()

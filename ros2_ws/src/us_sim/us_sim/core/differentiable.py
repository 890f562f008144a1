# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The physics frame as a function that torch differentiates: in pose, acoustic parameters, gain and dynamic range."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from us_sim.core.physics.b_mode import log_compress, received
from us_sim.core.physics.imaging import Formation, formation
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert_by_tensors
from us_sim.core.physics.scanner_file import ScannerPreset
from us_sim.core.sampling.reslice import elevation_beam
from us_sim.core.sampling.tensor_sampler import TensorSampler
from us_sim.core.simulator import Simulator


class DifferentiableRenderer:
    """Renders as the simulator's renderer `physics` does, by tensors alone, without rounding to grey levels.

    The patient is rigid and holds its breath. A gradient with respect to the pose follows the anatomy through the
    trilinear weights of the voxels; it knows nothing of class borders that the label map does not blend, and of the
    first sample of gas or bone on a line.

    Args:
        simulator: patient, probe, settings, scanner, seed and device.
        dtype: of the arithmetic; `torch.float64` for `torch.autograd.gradcheck`.

    Attributes:
        table: (classes, columns) of the tissues, columns as in `anatomy.Properties`; leave it, and pass another.
    """

    def __init__(self, simulator: Simulator, dtype: torch.dtype = torch.float32) -> None:
        probe, device = simulator.probe, simulator.device.torch_device
        scanner = simulator.scanner or ScannerPreset()
        self._sampler = TensorSampler(simulator.patient, simulator.seed, device, scanner.tissues)
        self._beam = elevation_beam(probe.slice_thickness, probe.elevation_planes)
        self._lines = torch.tensor(probe.polar_points).to(device, dtype)
        grid, self._fan = conversion_grid(probe, device)
        self._grid = grid.to(dtype)
        self._formation = _in(formation(probe, simulator.settings, simulator.seed, device, scanner.constants), dtype)
        self.table = self._sampler.table.to(dtype)

    def __call__(
        self,
        ct_from_probe: Tensor,
        *,
        table: Tensor | None = None,
        gain: Tensor | float | None = None,
        dynamic_range: Tensor | float | None = None,
        coupling: Tensor | None = None,
    ) -> Tensor:
        """Return (B, H, W) grey levels, 0 to 255, not rounded.

        Args:
            ct_from_probe: (B, 4, 4) rigid poses, mm; they are not checked.
            table: acoustic properties in place of `table`.
            gain, dynamic_range: dB, in place of the settings'.
            coupling: (B, L), 0 to 1, of the scan lines; None: all of them touch the skin.
        """
        sampler = self._sampler.with_table(self.table if table is None else table)
        anatomy = sampler.anatomy(self._lines, ct_from_probe, self._beam)
        touching = torch.ones(anatomy.impedance.shape[:2]).to(anatomy.impedance) if coupling is None else coupling
        envelope = received(anatomy, touching, self._formation)
        polar = log_compress(envelope, self._formation, gain, dynamic_range)
        return scan_convert_by_tensors(polar, self._grid, self._fan)


def twisted(ct_from_probe: Tensor, twist: Tensor) -> Tensor:
    """Return (B, 4, 4) poses moved by (B, 6) twists in `probe`: translation, mm, and rotation vector, rad."""
    x, y, z, a, b, c = twist.to(torch.float64).unbind(-1)
    zero = torch.zeros_like(x)
    rows = [zero, -c, b, x, c, zero, -a, y, -b, a, zero, z, zero, zero, zero, zero]
    return ct_from_probe @ torch.linalg.matrix_exp(torch.stack(rows, dim=-1).reshape(-1, 4, 4))


def _in(form: Formation, dtype: torch.dtype) -> Formation:
    """The same with its tensors in another type."""
    tensors: dict[str, Any] = {
        one.name: value.to(dtype) for one in fields(form) if torch.is_tensor(value := getattr(form, one.name))
    }
    return replace(form, **tensors)

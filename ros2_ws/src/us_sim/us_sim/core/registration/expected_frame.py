# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The frame that is to be expected at a pose, smooth in it, to register real frames to the CT by gradient descent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn.functional import grid_sample

from us_sim.core.compute.lattice import mapped_by
from us_sim.core.geometry.transforms import inverse
from us_sim.core.patient.volume import CtVolume
from us_sim.core.physics.b_mode import log_compress, transmission
from us_sim.core.physics.imaging import NEPER, formation
from us_sim.core.physics.interfaces import interface_echo
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert_by_tensors
from us_sim.core.physics.scanner_file import ScannerPreset
from us_sim.core.physics.sheen import HARDEST, SOFTEST
from us_sim.core.sampling.anatomy import AIR, ECHO_STEP, Anatomy, Float, Properties, Tissues, property_table
from us_sim.core.simulator import Simulator

FAINTEST = -30.0  # dB of backscatter that is distinguished from none
REACH = 2.5  # standard deviations to which the anatomy is blurred


class ExpectedFrame:
    """Renders what the renderer `physics` does, without speckle and fascia, of an anatomy blurred by a Gaussian.

    Speckle and voxel borders give a gradient that points to the next grain; this one points to where the anatomy fits
    from as far as it is blurred. Attenuation, shadows and interfaces are those of the physics renderer. The patient is
    rigid and holds its breath, and all scan lines touch the skin.

    Args:
        simulator: patient, probe, settings, scanner and device.
        blur: standard deviation in the CT, mm.
        interfaces: factor on the echoes of interfaces, which blurring spreads.
        dtype: of the arithmetic; `torch.float64` for `torch.autograd.gradcheck`.
    """

    def __init__(
        self, simulator: Simulator, blur: float, interfaces: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> None:
        probe, device = simulator.probe, simulator.device.torch_device
        scanner = simulator.scanner or ScannerPreset()
        self._interfaces, self._shape = interfaces, (probe.scan_lines, probe.samples)
        maps, step = blurred_properties(simulator.patient.volume, blur, scanner.tissues)
        self._maps = torch.from_numpy(maps)[None].to(device, dtype)
        self._last = torch.tensor([step * (n - 1) for n in maps.shape[1:]]).to(device, dtype)
        self._voxel_from_ct = torch.tensor(inverse(simulator.patient.volume.ct_from_voxel)).to(device)
        self._points = torch.tensor(probe.polar_points).to(device, dtype).reshape(1, -1, 3)
        grid, self._fan = conversion_grid(probe, device)
        self._grid = grid.to(dtype)
        form = formation(probe, simulator.settings, simulator.seed, device, scanner.constants)
        parts = ("depths", "line_spacing", "penumbra", "evenness", "aperture", "tgc")
        self._form = replace(form, **{name: getattr(form, name).to(dtype) for name in parts})

    def __call__(self, ct_from_probe: Tensor) -> Tensor:
        """Return (B, H, W) grey levels, 0 to 255, not rounded, of (B, 4, 4) rigid poses, mm, which are not checked."""
        form, scanner = self._form, self._form.scanner
        impedance, attenuation, level, specularity, layering, body = self._sampled(ct_from_probe)
        none = torch.zeros_like(impedance)
        given = impedance, attenuation, specularity, layering, none, none, none, none[..., None], none, none
        anatomy = Anatomy(*given, known=torch.ones_like(impedance))
        mirror, rough = interface_echo(anatomy, impedance, form)
        scatter = body * torch.exp(NEPER * (level + scanner.speckle_level))
        echo = scatter.square() + (self._interfaces * (mirror + rough)).square()
        left = transmission(impedance, attenuation, form) * form.aperture
        envelope = (left.square() * echo + 10 ** (scanner.noise_level / 10)).sqrt()
        return scan_convert_by_tensors(log_compress(envelope, form), self._grid, self._fan)

    def _sampled(self, ct_from_probe: Tensor) -> tuple[Tensor, ...]:
        """The maps of `blurred_properties` along the scan lines, each (B, L, S)."""
        voxels = mapped_by(self._voxel_from_ct @ ct_from_probe, self._points)
        grid = (2 * voxels / self._last - 1).flip(-1).reshape(1, -1, self._shape[1], 1, 3)
        found = grid_sample(self._maps, grid, padding_mode="border", align_corners=True)
        return found.reshape(len(self._maps[0]), -1, *self._shape).unbind()


def blurred_properties(volume: CtVolume, blur: float, tissues: Tissues) -> tuple[Float, int]:
    """Return what a Gaussian of the body holds, (6, i, j, k), and how many voxels lie from one sample to the next.

    The maps are the mean impedance (MRayl), attenuation (dB/(cm MHz)), backscatter (dB), specularity and layering of
    what is not air, and the share that is not.
    """
    rows = Properties(*property_table(volume, tissues).T)
    level = 20 * np.log10(rows.amplitude.clip(10 ** (FAINTEST / 20)))[volume.tissue]
    if volume.echo is not None:
        level += ECHO_STEP * volume.echo
    fields = [rows.impedance.clip(SOFTEST, HARDEST)[volume.tissue], rows.attenuation[volume.tissue], level]
    fields += [rows.specularity[volume.tissue], rows.layering[volume.tissue]]
    step = max(1, int(blur / (2 * volume.spacing.max())))
    body = (volume.tissue != AIR).astype(np.float32)

    def mean(field: Float) -> Float:
        wide = gaussian_filter(field, blur / volume.spacing, mode="nearest", truncate=REACH)
        return wide[::step, ::step, ::step]

    share = mean(body)
    maps = np.stack([*(mean(field * body) / share.clip(1e-3) for field in fields), share])
    maps[0] = maps[0].clip(SOFTEST)
    return maps.astype(np.float32), step

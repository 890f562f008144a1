# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The patient as tensors: the same samples as the compiled kernels give, on any torch device, differing by rounding.

A GPU spends more time on kernel launches than on arithmetic: operations are few and large, and all that no pose
changes is on the device beforehand.
"""

from __future__ import annotations

from copy import copy
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from us_sim.core.compute.lattice import Lattice, blended, mapped_by
from us_sim.core.geometry.transforms import inverse
from us_sim.core.patient.volume import AIR_HU
from us_sim.core.sampling import anatomy as a
from us_sim.core.sampling.anatomy import Anatomy, Tissues, joined, property_table
from us_sim.core.sampling.reslice import Beam, Poses
from us_sim.core.sampling.scatterers import SCALE, TILE, scatterer_tile, tile_from_ct
from us_sim.core.tissue import TISSUES

if TYPE_CHECKING:
    from us_sim.core.patient.patient import Patient

AT_ONCE = 8  # poses: the neighbours of the samples of one take 120 MB


@lru_cache(maxsize=2)
def tile_on(seed: int, device: torch.device) -> Tensor:
    """(TILE³, 2 LOOKS) int8 scatterers on a device, the same for all patients there; nobody writes into them."""
    return torch.from_numpy(scatterer_tile(seed)).to(device).flatten(0, 2)


class TensorSampler:
    """Holds HU, classes, skin distance and scatterers on the device; poses are the only traffic per frame."""

    def __init__(self, patient: Patient, seed: int, device: torch.device, tissues: Tissues = TISSUES) -> None:
        self.device = device
        volume, skin = patient.volume, patient.skin
        self._hu = torch.from_numpy(volume.hu).to(device).flatten()
        self._tissue = torch.from_numpy(volume.tissue).to(device).flatten()
        self._border = None if volume.border is None else torch.from_numpy(volume.border).to(device).flatten()
        self._echo = None if volume.echo is None else torch.from_numpy(volume.echo).to(device).flatten()
        self._distance = torch.from_numpy(skin.distance).to(device).flatten()
        self._tile = tile_on(seed, device)
        self._table = torch.from_numpy(property_table(volume, tissues)).to(device)
        self._spacing = torch.from_numpy(volume.spacing.astype(np.float32)).to(device)
        self._voxels, self._cells = Lattice(volume.hu.shape, device), Lattice(skin.distance.shape, device)
        self._tiles = Lattice((TILE, TILE, TILE), device, periodic=True)
        self._scale = torch.tensor([a.PATCH, a.CLUSTER, a.WARP, a.STRAND], device=device)[:, None]
        self._channel = torch.arange(4, device=device)[:, None]
        systems = inverse(volume.ct_from_voxel), inverse(skin.ct_from_grid), tile_from_ct()
        self._voxel_from_ct, self._grid_from_ct, self._tile_from_ct = (torch.tensor(m).to(device) for m in systems)

    @property
    def table(self) -> Tensor:
        """(classes, columns) of `property_table`, on the device."""
        return self._table

    def with_table(self, table: Tensor) -> TensorSampler:
        """Return the same sampler of tissue with other acoustic properties; they may require a gradient."""
        other = copy(self)
        other._table = table
        return other

    def slice(self, points: Tensor, ct_from_probe: Poses, beam: Beam) -> tuple[Tensor, Tensor]:
        ct_from_probe = self._here(ct_from_probe)
        hu = torch.zeros((), device=self.device)
        for offset, weight in zip(*beam, strict=True):
            voxels = self._map(self._voxel_from_ct @ ct_from_probe, points, float(offset))
            plane = blended(self._hu, *self._voxels.corners(voxels))
            hu = hu + float(weight) * torch.where(self._voxels.hold(voxels), plane, float(AIR_HU))
        return hu, self.classes(points, ct_from_probe)

    def classes(self, points: Tensor, ct_from_probe: Poses) -> Tensor:
        voxels = self._map(self._voxel_from_ct @ self._here(ct_from_probe), points, 0.0)
        return torch.where(self._voxels.hold(voxels), self._tissue[self._voxels.nearest(voxels)], 0)

    def anatomy(self, points: Tensor, ct_from_probe: Poses, beam: Beam) -> Anatomy:
        ct_from_probe = self._here(ct_from_probe)
        starts = range(0, len(ct_from_probe), AT_ONCE)
        of_each = points.dim() == 4
        return joined([
            self._anatomy(points[n : n + AT_ONCE] if of_each else points, ct_from_probe[n : n + AT_ONCE], beam)
            for n in starts
        ])  # fmt: skip

    def _here(self, ct_from_probe: Poses) -> Tensor:
        return torch.as_tensor(ct_from_probe, dtype=torch.float64, device=self.device)

    def _anatomy(self, points: Tensor, ct_from_probe: Tensor, beam: Beam) -> Anatomy:
        grid = self._cells.kept(self._map(self._grid_from_ct @ ct_from_probe, points, 0.0))
        distance = blended(self._distance, *self._cells.corners(grid))
        in_skin = (-distance / float(a.SKIN_RAMP)).clamp(0, 1)
        planes = [self._plane(points, ct_from_probe, float(o), float(w), in_skin) for o, w in zip(*beam, strict=True)]
        properties, noises, layered, scatter, hu, known = (
            torch.stack(parts).sum(dim=0) for parts in zip(*planes, strict=True)
        )
        here = a.Properties(*properties.unbind(-1))
        warp, strand = (noises / layered.clamp(min=1e-6)[..., None]).unbind(-1)
        voxels = self._map(self._voxel_from_ct @ ct_from_probe, points, 0.0)
        tissue = self._tissue[self._voxels.nearest(voxels)]
        return Anatomy(
            here.impedance,
            here.attenuation,
            here.specularity,
            here.layering,
            distance,
            warp,
            strand,
            scatter,
            hu,
            tissue,
            known,
        )

    def _plane(
        self, points: Tensor, ct_from_probe: Tensor, offset: float, share: float, in_skin: Tensor
    ) -> tuple[Tensor, ...]:
        """Of one elevational plane, weighted: properties (…, 8), warp and strand (…, 2), the weight where tissue is
        layered, scatter (…, 2 LOOKS), HU and what is known."""
        voxels = self._map(self._voxel_from_ct @ ct_from_probe, points, offset)
        nearest = self._voxels.kept(voxels)
        index, weights = self._voxels.corners(nearest)
        beyond = ((voxels - nearest).abs() * self._spacing).sum(dim=-1)
        left = torch.exp(-beyond / float(a.FADE))
        present, known = share * in_skin * left, share * left**a.SOON
        classes = self._tissue[index].int()
        body = weights * (classes != a.AIR)
        if self._border is not None:
            body = body * self._border[index]
        total = body.sum(dim=-1, keepdim=True)
        mixed = torch.where(total < float(a.LEAST_BODY), weights, body / total.clamp(min=1e-12))
        properties = (mixed[..., None] * self._table[classes]).sum(dim=-2)
        here = a.Properties(*properties.unbind(-1))
        hu = blended(self._hu, index, weights)
        tile = self._map(self._tile_from_ct @ ct_from_probe, points, offset)
        noises = self._noises(tile)
        patch, cluster = noises[..., 0], noises[..., 1]
        span = float(a.TEXTURE_SPAN)
        lesion = float(a.HU_TEXTURE) * (hu - here.hu).clamp(-span, span)
        bright = float(a.CLUSTER_GAIN) * (cluster - float(a.CLUSTER_ONSET)).clamp(min=0)
        level = here.heterogeneity * patch + here.organ * (bright + lesion)
        if self._echo is not None:
            echo = float(a.ECHO_STEP) * blended(self._echo, index, weights)
            level = level + echo
            firm = 1 + float(a.FIRM) * echo.clamp(min=0)[..., None]
            properties = torch.cat([properties[..., :1] * firm, properties[..., 1:]], dim=-1)
        amplitude = present * here.amplitude * torch.exp(level * float(a.NEPER))
        scatter = amplitude[..., None] * self._noise(tile)
        layered = share * ((here.layering > 0) & (present > 0))
        return share * properties, layered[..., None] * noises[..., 2:], layered, scatter, share * hu, known

    def _map(self, to_from_probe: Tensor, points: Tensor, offset: float) -> Tensor:
        """(B, ..., 3) points, shared or of each pose, shifted along the elevation, in the target's index space."""
        if offset:
            to_from_probe = to_from_probe.clone()
            to_from_probe[..., 3] += offset * to_from_probe[..., 1]
        of_each = points.dim() == 4
        flat = points.reshape(len(to_from_probe) if of_each else 1, -1, 3)
        shape = points.shape[1:] if of_each else points.shape
        return mapped_by(to_from_probe, flat).reshape(len(to_from_probe), *shape)

    def _noise(self, position: Tensor) -> Tensor:
        """(..., 2 LOOKS) samples of the periodic tile, of unit variance everywhere."""
        index, weights = self._tiles.corners(position)
        return (_scaled(weights)[..., None] * self._tile[index]).sum(dim=-2)

    def _noises(self, position: Tensor) -> Tensor:
        """(..., 4) coarser noises, each of one channel: patches, clusters, warp and strand."""
        index, weights = self._tiles.corners(position[..., None, :] * self._scale)
        return (_scaled(weights) * self._tile[index, self._channel]).sum(dim=-1)


def _scaled(weights: Tensor) -> Tensor:
    """(..., 8) weights for samples of unit variance wherever between its corners a place lies."""
    # Σ of the squared weights of the eight corners is the product over the axes of u² + (1 − u)².
    return weights / (weights.square().sum(dim=-1, keepdim=True).sqrt() * float(SCALE))

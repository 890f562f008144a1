"""The patient as tensors: the same samples as the compiled kernels give, on any torch device, differing by rounding."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from us_sim.core import anatomy as a
from us_sim.core.anatomy import Anatomy, property_table
from us_sim.core.reslice import Beam
from us_sim.core.scatterers import SCALE, TILE, scatterer_tile, tile_from_ct
from us_sim.core.transforms import Matrix, inverse
from us_sim.core.volume import AIR_HU

if TYPE_CHECKING:
    from us_sim.core.patient import Patient

FAR = 1e6  # voxels from any grid: what lies beyond is outside as well, and would overflow as an index


class TensorSampler:
    """Holds HU, classes, skin distance and scatterers on the device; poses are the only traffic per frame."""

    def __init__(self, patient: Patient, seed: int, device: torch.device) -> None:
        self.device = device
        volume, skin = patient.volume, patient.skin
        self._hu = torch.from_numpy(volume.hu).to(device)
        self._tissue = torch.from_numpy(volume.tissue).to(device)
        self._distance = torch.from_numpy(skin.distance).to(device)
        self._tile = torch.from_numpy(scatterer_tile(seed)).to(device)
        self._table = torch.from_numpy(property_table(volume)).to(device)
        self._voxel_from_ct = inverse(volume.ct_from_voxel)
        self._grid_from_ct = inverse(skin.ct_from_grid)

    def slice(self, points: Tensor, ct_from_probe: Matrix, beam: Beam) -> tuple[Tensor, Tensor]:
        hu = torch.zeros((), device=self.device)
        for offset, weight in zip(*beam, strict=True):
            voxels = self._map(self._voxel_from_ct @ ct_from_probe, points, float(offset))
            plane = trilinear(self._hu, voxels)
            hu = hu + float(weight) * torch.where(inside(voxels, self._hu.shape), plane, float(AIR_HU))
        return hu, self.classes(points, ct_from_probe)

    def classes(self, points: Tensor, ct_from_probe: Matrix) -> Tensor:
        return self._nearest(self._map(self._voxel_from_ct @ ct_from_probe, points, 0.0))

    def anatomy(self, points: Tensor, ct_from_probe: Matrix, beam: Beam) -> Anatomy:
        planes = [self._plane(points, ct_from_probe, float(o), float(w)) for o, w in zip(*beam, strict=True)]
        properties, warp, scatter, hu = (torch.stack(parts).sum(dim=0) for parts in zip(*planes, strict=True))
        impedance, attenuation, _, _, specularity, layering, _, _ = properties.unbind(-1)
        grid = self._map(self._grid_from_ct @ ct_from_probe, points, 0.0)
        top = torch.tensor(self._distance.shape, device=self.device) - 1.001
        grid = torch.minimum(grid.clamp(min=0), top)
        distance = trilinear(self._distance, grid)
        tissue = self.classes(points, ct_from_probe)
        return Anatomy(impedance, attenuation, specularity, layering, distance, warp, scatter, hu, tissue)

    def _plane(
        self, points: Tensor, ct_from_probe: Matrix, offset: float, share: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weighted properties (…, 8), warp (…), scatter (…, 2 LOOKS) and HU (…) of one elevational plane."""
        voxels = self._map(self._voxel_from_ct @ ct_from_probe, points, offset)
        within = inside(voxels, self._hu.shape)[..., None]
        properties = torch.zeros((), device=self.device)
        for index, weight in corners(voxels, self._hu.shape):
            properties = properties + weight[..., None] * self._table[self._tissue.flatten()[index].long()]
        properties = torch.where(within, properties, self._table[0])
        hu = trilinear(self._hu, voxels)
        tile = self._map(tile_from_ct() @ ct_from_probe, points, offset)
        patch, cluster = self._noise(tile * a.PATCH)[..., 0], self._noise(tile * a.CLUSTER)[..., 1]
        warp = self._noise(tile * a.WARP)[..., 2]
        span = float(a.TEXTURE_SPAN)
        lesion = float(a.HU_TEXTURE) * (hu - properties[..., 7]).clamp(-span, span)
        bright = float(a.CLUSTER_GAIN) * (cluster - float(a.CLUSTER_ONSET)).clamp(min=0)
        level = properties[..., 3] * patch + properties[..., 6] * (bright + lesion)
        amplitude = share * properties[..., 2] * torch.exp(level * float(a.NEPER)) * within[..., 0]
        slice_hu = torch.where(within[..., 0], hu, float(AIR_HU))
        scatter = amplitude[..., None] * self._noise(tile)
        return share * properties, share * warp * (properties[..., 5] > 0), scatter, share * slice_hu

    def _map(self, to_from_probe: Matrix, points: Tensor, offset: float) -> Tensor:
        """(B, ..., 3) points shifted along the elevation, in the target's index space."""
        shift = to_from_probe[:, :3, 1] * offset + to_from_probe[:, :3, 3]
        shift = np.nan_to_num(shift, nan=FAR).clip(-FAR, FAR)
        matrix = torch.from_numpy(to_from_probe[:, :3, :3].astype(np.float32)).to(self.device)
        origin = torch.from_numpy(shift.astype(np.float32)).to(self.device)
        mapped = torch.einsum("bij,nj->bni", matrix, points.reshape(-1, 3)) + origin[:, None]
        return mapped.reshape(len(matrix), *points.shape)

    def _nearest(self, voxels: Tensor) -> Tensor:
        shape = torch.tensor(self._tissue.shape, device=self.device)
        i, j, k = torch.minimum((voxels + 0.5).floor().clamp(min=0).long(), shape - 1).unbind(-1)
        return torch.where(inside(voxels, self._tissue.shape), self._tissue[i, j, k], 0)

    def _noise(self, position: Tensor) -> Tensor:
        """(..., 2 LOOKS) samples of the periodic tile, of unit variance everywhere."""
        base = position.floor()
        fraction, base = position - base, base.long()
        total = torch.zeros((), device=self.device)
        for corner in product((0, 1), repeat=3):
            i, j, k = ((base + torch.tensor(corner, device=self.device)) & (TILE - 1)).unbind(-1)
            total = total + corner_weight(fraction, corner)[..., None] * self._tile[i, j, k]
        variance = (fraction.square() + (1 - fraction).square()).prod(dim=-1)
        return total / (variance.sqrt() * float(SCALE))[..., None]


def inside(position: Tensor, shape: torch.Size) -> Tensor:
    """Whether (..., 3) positions lie in the box of sample centres."""
    last = torch.tensor(shape, device=position.device) - 1
    return ((position >= 0) & (position <= last)).all(dim=-1)


def corners(position: Tensor, shape: torch.Size) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield flat index and trilinear weight, both (...), of the eight samples around (..., 3) positions."""
    limit = torch.tensor(shape, device=position.device) - 2
    base = torch.minimum(position.floor().clamp(min=0).long(), limit)
    fraction = position - base
    for corner in product((0, 1), repeat=3):
        i, j, k = (base + torch.tensor(corner, device=position.device)).unbind(-1)
        yield (i * shape[1] + j) * shape[2] + k, corner_weight(fraction, corner)


def trilinear(grid: Tensor, position: Tensor) -> Tensor:
    """Interpolate a (X, Y, Z) grid at (..., 3) positions, which the caller keeps inside it."""
    total = torch.zeros((), device=grid.device)
    for index, weight in corners(position, grid.shape):
        total = total + weight * grid.flatten()[index]
    return total


def corner_weight(fraction: Tensor, corner: tuple[int, ...]) -> Tensor:
    """Trilinear weight, (...), of one of the eight corners for (..., 3) fractions."""
    weight = torch.ones((), device=fraction.device)
    for axis, upper in enumerate(corner):
        weight = weight * (fraction[..., axis] if upper else 1 - fraction[..., axis])
    return weight

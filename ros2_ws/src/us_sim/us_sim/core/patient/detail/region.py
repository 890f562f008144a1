# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A part of the voxels around one organ, with what the painters of the detail ask of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from us_sim.core.geometry.transforms import Matrix, apply, inverse
from us_sim.core.patient.borders import tenths
from us_sim.core.patient.loops import rows_with
from us_sim.core.tissue import TissueClass

Points = NDArray[np.float64]
ECHO_LIMIT = 60  # half dB


@dataclass(frozen=True, eq=False)
class Region:
    """Views into the volume that is being painted.

    Attributes:
        hu: (I, J, K) int16.
        tissue: (I, J, K) uint8.
        echo: (I, J, K) int8, half dB.
        border: (I, J, K) uint8 as in `patient.borders`.
        ct_from_voxel: (4, 4), of this part.
    """

    hu: NDArray[np.int16]
    tissue: NDArray[np.uint8]
    echo: NDArray[np.int8]
    border: NDArray[np.uint8]
    ct_from_voxel: Matrix

    @property
    def spacing(self) -> Points:
        """(3,) mm."""
        return np.linalg.norm(self.ct_from_voxel[:3, :3], axis=0)

    def around(self, low: NDArray[np.int_], high: NDArray[np.int_], margin: float) -> Region:
        """Return the part between two voxels, (3,) each, and `margin` mm around it."""
        pad = np.ceil(margin / self.spacing).astype(int)
        low, high = np.maximum(low - pad, 0), np.minimum(high + pad, np.array(self.tissue.shape) - 1)
        box = tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
        ct_from_voxel = self.ct_from_voxel.copy()
        ct_from_voxel[:3, 3] = apply(self.ct_from_voxel, low.astype(float))
        return Region(self.hu[box], self.tissue[box], self.echo[box], self.border[box], ct_from_voxel)

    def of_class(self, tissue: int, margin: float) -> Region | None:
        """Return the part that holds a class, and `margin` mm around it; None without such voxels."""
        found = np.empty((*self.tissue.shape[:2], 2), dtype=np.intp)
        rows_with(self.tissue, np.uint8(tissue), found)
        held = found[..., 1] >= 0
        if not held.any():
            return None
        i, j = np.flatnonzero(held.any(axis=1)), np.flatnonzero(held.any(axis=0))
        low, high = (i[0], j[0], found[..., 0].min()), (i[-1], j[-1], found[..., 1].max())
        return self.around(np.array(low), np.array(high), margin)

    def add_echo(self, where: NDArray[np.bool_], half_db: NDArray | float) -> None:
        """Raise the echo of the chosen voxels; `half_db` is a number, or one for each of them in C order."""
        raised = np.rint(self.echo[where] + half_db)
        self.echo[where] = np.clip(raised, -ECHO_LIMIT, ECHO_LIMIT).astype(np.int8)

    def paint_vessels(self, distance: NDArray[np.float32], into: NDArray[np.bool_]) -> None:
        """Make vessel of the chosen voxels inside tubes, where their `distance`, (I, J, K) mm, is below 0."""
        near = into & (distance < 1.5 * self.spacing.max())
        self.border[near] = np.minimum(self.border[near], tenths(distance[near], float(self.spacing.mean())))
        near &= distance < 0
        self.tissue[near] = TissueClass.VESSEL
        self.echo[near] = 0


@dataclass(frozen=True, eq=False)
class Solid:
    """An organ at a few mm, where trees grow.

    Attributes:
        depth: (I, J, K) float32 mm to the organ's surface, 0 outside.
        ct_from_block: (4, 4).
        points: (N, 3) mm in `ct`, the centres inside.
        depths: (N,) mm, theirs.
    """

    depth: NDArray[np.float32]
    ct_from_block: Matrix
    points: Points
    depths: Points

    def inside(self, points: Points, depth: float) -> NDArray[np.bool_]:
        """Tell which of (M, 3) points in `ct` lie at least `depth` mm under the organ's surface."""
        index = np.rint(apply(inverse(self.ct_from_block), points)).astype(int)
        held = np.all((index >= 0) & (index < self.depth.shape), axis=-1)
        i, j, k = np.where(held[:, None], index, 0).T
        return held & (self.depth[i, j, k] >= depth)


def solid(region: Region, mask: NDArray[np.bool_], size: float = 3.0) -> Solid:
    """Return a region's organ at about `size` mm; thin gaps (its own vessels) are closed."""
    steps = np.maximum(1, np.rint(size / region.spacing)).astype(int)
    i, j, k = steps
    blocks = np.pad(mask[::i, ::j, ::k], 1)
    blocks = ndimage.binary_closing(blocks, iterations=2) | blocks
    ct_from_block = region.ct_from_voxel @ np.diag([*steps.astype(float), 1.0])
    ct_from_block[:3, 3] = apply(ct_from_block, np.full(3, -1.0))
    depth = ndimage.distance_transform_edt(blocks, sampling=steps * region.spacing).astype(np.float32)
    index = np.argwhere(depth > 0)
    return Solid(depth, ct_from_block, apply(ct_from_block, index.astype(float)), depth[tuple(index.T)].astype(float))


def scattered(solid_: Solid, spacing: float, depth: float, rng: np.random.Generator) -> Points:
    """Return points of the organ, at least `depth` mm deep, about `spacing` mm apart: a jittered lattice."""
    low, high = solid_.points.min(axis=0), solid_.points.max(axis=0)
    axes = [np.arange(a, b + spacing, spacing) for a, b in zip(low, high, strict=True)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    lattice += rng.uniform(-0.5, 0.5, lattice.shape) * spacing
    return lattice[solid_.inside(lattice, depth)]

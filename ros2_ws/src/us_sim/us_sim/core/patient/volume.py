# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The CT as it lies in its own voxel grid, with the full affine and a tissue class for every voxel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from us_sim.core.compute.bricks import bricked
from us_sim.core.tissue import CLASS_COUNT

AIR_HU = -1000


@dataclass(frozen=True, eq=False)
class CtVolume:
    """A CT in its own voxel grid.

    Attributes:
        hu: (I, J, K) int16 Hounsfield units, C-contiguous.
        tissue: (I, J, K) uint8 ids of `tissue.TissueClass`, C-contiguous.
        ct_from_voxel: (4, 4) float64, voxel index to mm in `ct` (RAS+).
        name: what the user calls the patient.
        sha256: hash of HU, tissue and affine.
        warnings: findings that do not stop the use, for the user.
        labelling: lines that say what the labels were taken for and how large each became; empty without labels.
        echo: (I, J, K) int8 backscatter of each voxel relative to that of its class, in half dB; None for 0 everywhere.
        border: (I, J, K) uint8 tenths of a voxel, 1 to 15, that each centre lies inside its class, as `patient.borders`
            tells; None where borders run half-way between centres.
    """

    hu: NDArray[np.int16]
    tissue: NDArray[np.uint8]
    ct_from_voxel: NDArray[np.float64]
    name: str
    sha256: str
    warnings: tuple[str, ...] = field(default=())
    labelling: tuple[str, ...] = field(default=())
    echo: NDArray[np.int8] | None = None
    border: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        # The compiled loops read the neighbours of every place in it.
        assert min(self.hu.shape) >= 2, f"{self.name}: shape {self.hu.shape}; expected 2 voxels or more along each axis"
        assert self.tissue.shape == self.hu.shape, f"{self.name}: classes {self.tissue.shape}, HU {self.hu.shape}"
        assert self.tissue.max() < CLASS_COUNT, f"{self.name}: class {self.tissue.max()}; expected below {CLASS_COUNT}"
        if self.echo is not None:
            assert self.echo.shape == self.hu.shape, f"{self.name}: echo {self.echo.shape}, HU {self.hu.shape}"
            assert self.echo.dtype == np.int8, f"{self.name}: echo is {self.echo.dtype}; expected int8"
        if self.border is not None:
            assert self.border.shape == self.hu.shape, f"{self.name}: border {self.border.shape}, HU {self.hu.shape}"
            low, high = int(self.border.min()), int(self.border.max())
            assert low > 0, f"{self.name}: border {low}; expected 1 or more"
            assert high < 16, f"{self.name}: border {high}; expected 15 or less"

    @property
    def spacing(self) -> NDArray[np.float64]:
        """(3,) voxel size in mm along the three voxel axes."""
        return np.linalg.norm(self.ct_from_voxel[:3, :3], axis=0)

    @cached_property
    def bricks(self) -> NDArray[np.int32]:
        """HU, class, border and echo in 4 bytes a voxel, as `compute.bricks` lays them; made when first asked for."""
        return bricked(self.hu, self.tissue, self.echo, self.border)

    @property
    def detail(self) -> bool:
        """Whether vessels, walls and layers that the CT is too coarse for were drawn in."""
        return self.echo is not None

    @property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Smallest and largest corner, (3,) mm in `ct`, of the box around all voxel centres."""
        last = np.array(self.hu.shape) - 1
        corners = np.array([[i, j, k] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])])
        in_ct = corners @ self.ct_from_voxel[:3, :3].T + self.ct_from_voxel[:3, 3]
        return in_ct.min(axis=0), in_ct.max(axis=0)


def content_hash(
    hu: NDArray[np.int16], tissue: NDArray[np.uint8], ct_from_voxel: NDArray[np.float64],
    echo: NDArray[np.int8] | None = None, border: NDArray[np.uint8] | None = None,
) -> str:  # fmt: skip
    """Return the SHA-256, hex, of HU, tissue, affine and, if there are any, echo and border, with their shape."""
    digest = hashlib.sha256(repr(hu.shape).encode())
    arrays = (hu.astype("<i2", copy=False), tissue, ct_from_voxel.astype("<f8", copy=False))
    for array in (*arrays, echo, border):
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()

"""The CT as it lies in its own voxel grid, with the full affine and a tissue class for every voxel."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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
        warnings: findings that do not stop the use, for the user's eyes.
    """

    hu: NDArray[np.int16]
    tissue: NDArray[np.uint8]
    ct_from_voxel: NDArray[np.float64]
    name: str
    sha256: str
    warnings: tuple[str, ...] = field(default=())

    @property
    def spacing(self) -> NDArray[np.float64]:
        """(3,) voxel size in mm along the three voxel axes."""
        return np.linalg.norm(self.ct_from_voxel[:3, :3], axis=0)

    @property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Smallest and largest corner, (3,) mm in `ct`, of the box around all voxel centres."""
        last = np.array(self.hu.shape) - 1
        corners = np.array([[i, j, k] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])])
        in_ct = corners @ self.ct_from_voxel[:3, :3].T + self.ct_from_voxel[:3, 3]
        return in_ct.min(axis=0), in_ct.max(axis=0)

"""A volume as a file holds it: voxels, their place in the patient, and what the file says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Scan:
    """A CT or a label map in its own grid.

    Attributes:
        voxels: (I, J, K), integer as stored or float with slope and intercept applied.
        ct_from_voxel: (4, 4) float64, voxel index to mm in `ct` (RAS+).
        names: label value -> structure, where the file has a table of them.
        source: what the table is, for the user.
        warnings: findings that do not stop the use.
    """

    voxels: NDArray[Any]
    ct_from_voxel: NDArray[np.float64]
    names: Mapping[int, str] = field(default_factory=dict)
    source: str = ""
    warnings: tuple[str, ...] = ()

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

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

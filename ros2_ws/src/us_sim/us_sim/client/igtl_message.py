# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A frame as OpenIGTLink has it: IMAGE with the place of its pixels in the patient. Needs the extra `igtl`."""

from __future__ import annotations

import numpy as np
import pyigtl
from numpy.typing import NDArray

from us_sim.core.geometry.transforms import Matrix

IMAGE, TRANSFORM = "us_sim", "ProbeToCt"  # names of the devices, as 3D Slicer shows them


def ct_from_ijk(
    ct_from_probe: Matrix, spacing: tuple[float, float], first_pixel: tuple[float, float], thickness: float
) -> Matrix:
    """Return the (4, 4) from column, row and slice of an image to mm in `ct`, RAS, as `ct` is.

    Slices go against y of `probe`, so that the three axes are right-handed.

    Args:
        ct_from_probe: (4, 4) mm.
        spacing, first_pixel: size of a pixel and centre of the first one, x and z in `probe`, mm.
        thickness: of the slice, mm; above 0.
    """
    probe_from_ijk = np.eye(4)
    probe_from_ijk[:3, :3] = [[spacing[0], 0, 0], [0, 0, -thickness], [0, spacing[1], 0]]
    probe_from_ijk[:3, 3] = first_pixel[0], 0, first_pixel[1]
    return np.asarray(ct_from_probe @ probe_from_ijk)


def messages(
    pixels: NDArray[np.uint8], ct_from_probe: Matrix, ct_from_image: Matrix, seconds: float
) -> tuple[pyigtl.ImageMessage, pyigtl.TransformMessage]:
    """Return IMAGE and TRANSFORM of an (H, W) frame, both with its stamp, s since 1970."""
    image = pyigtl.ImageMessage(
        pixels[None], ijk_to_world_matrix=ct_from_image, world_coordinate_system="ras", timestamp=seconds,
        device_name=IMAGE,
    )  # fmt: skip
    return image, pyigtl.TransformMessage(ct_from_probe, timestamp=seconds, device_name=TRANSFORM)

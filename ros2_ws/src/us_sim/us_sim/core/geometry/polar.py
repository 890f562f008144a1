# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A frame back on its scan lines: what a scanner holds before scan conversion, read from the picture."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from us_sim.core.geometry.probe import ProbeGeometry


def polar_image(image: NDArray[np.uint8], probe: ProbeGeometry) -> NDArray[np.uint8]:
    """Return the (L, S) grey values of a frame, (H, W), along its scan lines, by bilinear interpolation.

    Samples beyond the frame, of a probe whose frame does not hold its whole fan, are 0.
    """
    values = map_coordinates(image.astype(np.float32), _pixels(probe), order=1, cval=0.0)
    return np.rint(values).astype(np.uint8)


@lru_cache(maxsize=4)
def _pixels(probe: ProbeGeometry) -> NDArray[np.float32]:
    """(2, L, S) fractional row and column of every sample."""
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    points = probe.polar_points
    return np.stack([(points[..., 2] - z0) / dz, (points[..., 0] - x0) / dx])

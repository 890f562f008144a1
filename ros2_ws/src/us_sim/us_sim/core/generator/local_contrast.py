# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Local contrast: grey levels relative to what lies around them, which the controls of a scanner hardly change.

Gain, TGC, dynamic range and the grey map of a scanner shift and stretch the grey levels of a whole region alike. What
is left when their local mean and spread are taken out (a layer of Jarrett et al. 2009, ICCV) is of the anatomy.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

REACH = (3 / 16, 1 / 4)  # of the image's rows and columns, to either side
FLAT = 0.05  # spread, of grey levels from −1 to 1, added so that what is flat stays so
SPREADS = 3.0  # standard deviations that become ±1


def local_contrast(image: Tensor) -> Tensor:
    """(B, C, H, W) in [−1, 1] -> the same, each value relative to mean and spread of the REACH around it."""
    deviation = image - _around(image)
    spread = _around(deviation.square()).sqrt()
    return (deviation / (SPREADS * (spread + FLAT))).clamp(-1, 1)


def _around(image: Tensor) -> Tensor:
    """Mean over a box; beyond the border the image is mirrored."""
    rows, columns = (max(1, round(reach * n)) for reach, n in zip(REACH, image.shape[2:], strict=True))
    wide = F.pad(image, (columns, columns, rows, rows), mode="reflect")
    return F.avg_pool2d(F.avg_pool2d(wide, (2 * rows + 1, 1), 1), (1, 2 * columns + 1), 1)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Grey maps and tints: how the B-mode picture's grey levels are shown. The published image stays as it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.float64]  # 0 to 1

GREY_MAPS: dict[str, Callable[[Levels], Levels]] = {
    "linear": lambda level: level,
    "soft": lambda level: level**0.75,  # more of the weak echoes
    "hard": lambda level: level**1.4,
    "S-curve": lambda level: level**2 * (3 - 2 * level),  # contrast in the middle greys
}
TINTS: dict[str, tuple[float, float, float]] = {  # exponents of red, green and blue: black and white stay
    "none": (1.0, 1.0, 1.0),
    "sepia": (0.75, 1.0, 1.6),
    "blue": (1.5, 1.05, 0.75),
    "magenta": (0.85, 1.4, 0.85),
}


def table(grey_map: str = "linear", tint: str = "none") -> NDArray[np.uint8]:
    """Return (256, 3) RGB of the grey levels, by the names of a grey map and a tint; black and white stay."""
    level = GREY_MAPS[grey_map](np.linspace(0.0, 1.0, 256))
    return np.rint(255 * np.stack([level**power for power in TINTS[tint]], axis=-1)).astype(np.uint8)


PLAIN = table()

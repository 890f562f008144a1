# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Placements: the patient on the table, the probe on the arm's flange. Metres and radians, as in URDF."""

from __future__ import annotations

import math

from us_sim.core.errors import ConfigError

TABLE = "0.55 -0.04 0.15 3.14159265 0 1.57079633"  # supine, the right side and the liver towards the arm
HOLDER = "0 0 0.14 0 0 0"  # the probe in its flange, as in probe.urdf
TABLE_ORDER, HOLDER_ORDER = "x y z yaw pitch roll", "x y z roll pitch yaw"


def six_numbers(name: str, text: str, order: str) -> list[float]:
    """Return the six numbers, m and rad, of a placement given as text.

    Raises:
        ConfigError: not six finite numbers; the message names the setting and their order.
    """
    try:
        found = [float(word) for word in text.split()]
    except ValueError:
        found = []
    if len(found) != 6 or not all(map(math.isfinite, found)):
        raise ConfigError(f"{name} is {text!r}; expected six numbers: {order}")
    return found

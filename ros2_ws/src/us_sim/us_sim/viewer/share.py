# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A link to what is seen: the probe's pose and the settings, written as a query."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from us_sim.core.config import ImageSettings
from us_sim.core.errors import PoseError
from us_sim.core.geometry.transforms import Matrix, pose_from_metres, quaternion_from_rotation
from us_sim.ros.conversions import MM_PER_M

POSE = "pose"
LINKED: dict[str, type] = {  # the parameters that a link may set
    "renderer": str, "depth": float, "rows": float, "sector": float,
    **{item.name: float for item in fields(ImageSettings)},
}  # fmt: skip


class Seen(NamedTuple):
    """What a link names.

    Attributes:
        ct_from_probe: (4, 4) mm; None if it names none.
        values: of the parameters, by name.
    """

    ct_from_probe: Matrix | None
    values: dict[str, float | str]


def written(seen: Seen) -> str:
    """Return the text of a link: `pose=x,y,z,qx,qy,qz,qw&gain=6&renderer=physics`, position in m."""
    words = {name: value if isinstance(value, str) else f"{value:.6g}" for name, value in seen.values.items()}
    if seen.ct_from_probe is not None:
        numbers = [*seen.ct_from_probe[:3, 3] / MM_PER_M, *quaternion_from_rotation(seen.ct_from_probe[:3, :3])]
        words[POSE] = ",".join(f"{number:.5f}" for number in numbers)
    return urlencode(words, safe=",")


def understood(text: str) -> Seen:
    """Return what a link names, from the text that `written` gives.

    Raises:
        PoseError: the pose is not seven numbers, or none that a probe can have.
        ValueError: it names something else, or a value of the wrong kind.
    """
    pose, values = None, dict[str, float | str]()
    for name, word in parse_qsl(text, strict_parsing=True, max_num_fields=64):
        if name == POSE:
            numbers = [float(number) for number in word.split(",")]
            if len(numbers) != 7:
                raise PoseError(f"the link's pose has {len(numbers)} numbers; expected x,y,z,qx,qy,qz,qw")
            pose = pose_from_metres(numbers[:3], numbers[3:])
        elif name not in LINKED:
            raise ValueError(f"the link names {name!r}; expected some of {POSE}, {', '.join(LINKED)}")
        else:
            value = LINKED[name](word)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"the link's {name} is {word}; expected a number")
            values[name] = value
    return Seen(pose, values)

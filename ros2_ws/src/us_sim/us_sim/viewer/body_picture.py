# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The body mark as it is drawn into pictures and films; the page draws the same file of lines itself."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from us_sim.viewer.orientation import BodyMark
from us_sim.viewer.pictures import MARKER, Pixels

INK = (139, 150, 161)
SHARE = 0.17  # of the picture's height


@cache
def figure() -> dict[str, Any]:
    """Return the drawing, in units of its own.

    `size` of all; `torso` and `inside`: lines of points; `place` and `extent`: upper left corner and size of what the
    shares of a mark are of; `half` the width of the face, and the radius of the marker's `dot`.
    """
    text = (files("us_sim") / "resources" / "console" / "body.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def with_body(picture: Pixels, mark: BodyMark, above: int = 0) -> Pixels:
    """Return an (H, W, 3) picture with a body mark at its lower left, so many pixels above its edge."""
    image, body = Image.fromarray(picture), figure()
    draw = ImageDraw.Draw(image)
    scale = SHARE * image.height / body["size"][1]
    corner = np.array([10.0, image.height - 8.0 - above - scale * body["size"][1]])

    def at(points: object) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in corner + scale * np.asarray(points, dtype=np.float64)]

    for line in (body["torso"], *body["inside"]):
        draw.line(at(line), INK, 2)
    middle = np.array(body["place"]) + np.array(body["extent"]) * (mark.u, mark.v)
    left = body["half"] * np.array([math.cos(mark.angle), math.sin(mark.angle)])
    draw.line(at([middle - left, middle + left]), MARKER, max(2, round(3.4 * scale)))
    ((x, y),) = at([middle + left])
    dot = body["dot"] * scale
    draw.ellipse([x - dot, y - dot, x + dot, y + dot], MARKER, (0, 0, 0))
    return np.asarray(image)

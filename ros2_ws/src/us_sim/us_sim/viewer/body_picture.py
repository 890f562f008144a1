# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.


"""The body mark as it is drawn into pictures and films; the page draws the same itself."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from us_sim.viewer.orientation import BodyMark
from us_sim.viewer.pictures import MARKER, Pixels

INK = (139, 150, 161)
SHARE = 0.17  # of the picture's height
SIZE = (60, 84)  # of the drawing, in its own units
TORSO = ((24, 3), (21, 11), (12, 14), (6, 18), (5, 23), (8, 45), (7, 81), (53, 81), (52, 45), (55, 23), (54, 18),
         (48, 14), (39, 11), (36, 3))  # fmt: skip
INSIDE = (((30, 48), (30, 52)), ((17, 26), (21, 28), (26, 26)), ((34, 26), (38, 28), (43, 26)))
PLACE, EXTENT = (6, 16), (48, 64)  # upper left corner and size of what the shares of a mark are of
HALF, DOT = 8.0, 2.6  # half the width of the face, and the marker's radius


def with_body(picture: Pixels, mark: BodyMark, above: int = 0) -> Pixels:
    """Return an (H, W, 3) picture with a body mark at its lower left, so many pixels above its edge."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    scale = SHARE * image.height / SIZE[1]
    corner = np.array([10.0, image.height - 8.0 - above - scale * SIZE[1]])

    def at(points: object) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in corner + scale * np.asarray(points, dtype=np.float64)]

    for line in (TORSO, *INSIDE):
        draw.line(at(line), INK, 2)
    middle = np.array(PLACE) + np.array(EXTENT) * (mark.u, mark.v)
    left = HALF * np.array([math.cos(mark.angle), math.sin(mark.angle)])
    draw.line(at([middle - left, middle + left]), MARKER, max(2, round(3.4 * scale)))
    ((x, y),) = at([middle + left])
    draw.ellipse([x - DOT * scale, y - DOT * scale, x + DOT * scale, y + DOT * scale], MARKER, (0, 0, 0))
    return np.asarray(image)

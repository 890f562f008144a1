# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Stomach and bowel: the layers of the wall, and content of every kind in them.

From outside in a sonographer sees muscle (dark), submucosa (bright) and mucosa (dark), each about 1 mm: the gut
signature (Kuzmich et al. 2009, AJR 192, 1567).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us_sim.core.compute.kernels import serial
from us_sim.core.patient.detail.region import Region
from us_sim.core.patient.detail.tubes import noise_at, noise_tile, row
from us_sim.core.tissue import TissueClass as T

LAYER = 1.1  # mm, each of three
MUSCLE, SUBMUCOSA, MUCOSA = -10, 8, -8  # half dB
FLUID_HU, BUBBLE_BELOW = (-15, 25), 60  # of content that may be fluid; that may hold bubbles too small for a CT
PIECE, GRAIN = 22.0, 2.2  # mm over which the kind of content changes, and its grain
_SOFT, _FLUID, _GAS = int(T.SOFT), int(T.FLUID), int(T.GAS)


def paint_gut(whole: Region, gut: NDArray[np.bool_], seed: int) -> None:
    """Paint wall layers and content into soft tissue that is known as stomach or bowel, in place.

    Args:
        whole: the volume.
        gut: (I, J, K) where a hollow organ is, with what is in it.
        seed: of the content.
    """
    if not gut.any():
        return
    size = float(whole.spacing.mean())
    layer = depth_layers(gut, int(np.ceil(3 * LAYER / size)))
    _paint(whole.tissue, whole.hu, whole.echo, layer, size, noise_tile(seed), np.ascontiguousarray(whole.ct_from_voxel))


@serial
def depth_layers(mask, count):  # type: ignore[no-untyped-def]
    """(I, J, K) uint8: how many voxels deep in the mask each lies, up to `count`; 255 deeper, 0 outside."""
    out = np.where(mask, np.uint8(255), np.uint8(0))
    ni, nj, nk = out.shape
    front = [(0, 0, 0) for _ in range(0)]
    for i in range(1, ni - 1):
        for j in range(1, nj - 1):
            for k in range(1, nk - 1):
                if out[i, j, k] == 255 and (
                    out[i - 1, j, k] == 0 or out[i + 1, j, k] == 0 or out[i, j - 1, k] == 0
                    or out[i, j + 1, k] == 0 or out[i, j, k - 1] == 0 or out[i, j, k + 1] == 0
                ):  # fmt: skip
                    out[i, j, k] = 1
                    front.append((i, j, k))
    for layer in range(2, count + 1):
        reach = 1 if layer % 2 else 2  # of faces, then of faces and edges in turn: nearly round
        inner = [(0, 0, 0) for _ in range(0)]
        for i, j, k in front:
            for n in range(27):
                a, b, c = n // 9 - 1, n // 3 % 3 - 1, n % 3 - 1
                x, y, z = i + a, j + b, k + c
                if (
                    abs(a) + abs(b) + abs(c) <= reach and out[x, y, z] == 255
                    and 0 < x < ni - 1 and 0 < y < nj - 1 and 0 < z < nk - 1
                ):  # fmt: skip
                    out[x, y, z] = layer
                    inner.append((x, y, z))
        front = inner
    return out


@serial
def _paint(tissue, hu, echo, layer, size, tile, m):  # type: ignore[no-untyped-def]
    for i in range(tissue.shape[0]):
        for j in range(tissue.shape[1]):
            for k in range(tissue.shape[2]):
                if layer[i, j, k] == 0 or tissue[i, j, k] != _SOFT:
                    continue
                depth = (layer[i, j, k] - 0.5) * size
                if layer[i, j, k] != 255 and depth < 3 * LAYER:
                    echo[i, j, k] = MUSCLE if depth < LAYER else (SUBMUCOSA if depth < 2 * LAYER else MUCOSA)
                    continue
                x, y, z = row(m, 0, i, j, k), row(m, 1, i, j, k), row(m, 2, i, j, k)
                kind = noise_at(tile, x / PIECE, y / PIECE, z / PIECE)
                grain = noise_at(tile, x / GRAIN + 13, y / GRAIN, z / GRAIN)
                if kind > 0.7 and FLUID_HU[0] < hu[i, j, k] < FLUID_HU[1]:
                    tissue[i, j, k] = _FLUID
                elif kind > -0.3:
                    echo[i, j, k] = round(6 * grain)  # chyme
                elif grain > 1.9 and hu[i, j, k] < BUBBLE_BELOW:
                    tissue[i, j, k] = _GAS
                else:
                    echo[i, j, k] = round(8 + 9 * grain)  # food and stool

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The body wall's connective tissue: fascia between its layers, septa in fat, perimysium in muscle."""

from __future__ import annotations

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from us_sim.core.compute.kernels import kernel, serve
from us_sim.core.sampling.anatomy import Anatomy
from us_sim.core.tissue import TissueClass

# Sheets lie where (depth under the skin + tilt · warp + wave · strand) is a multiple of the period. A row for fascia,
# septa of fat and perimysium: period, mm; tilt, mm; wave, mm; standard deviation of a sheet, mm; amplitude, dB.
# Levels are judged beside the body wall of the real frames.
FASCIA, SEPTA, PERIMYSIUM = (8.3, 0.6, 0.1, 0.32, -25.0), (4.3, 1.0, 0.15, 0.26, -30.0), (2.3, 0.4, 0.06, 0.20, -32.0)
DEPTH, FADE = 42.0, 14.0  # mm under the skin to which they are followed, and over which they fade before
FAT, MUSCLE = int(TissueClass.FAT), int(TissueClass.MUSCLE)


def fascia(anatomy: Anatomy) -> Tensor:
    """Connective tissue of the body wall, (B, L, S) amplitude met squarely: uneven sheets that follow the skin."""
    if not serve(anatomy.warp):
        return fascia_by_tensors(anatomy)
    sheets = torch.empty(anatomy.warp.shape)
    maps = anatomy.layering, anatomy.skin_distance, anatomy.warp, anatomy.strand, anatomy.tissue, anatomy.known
    _fascia(*[*(part.contiguous().numpy() for part in maps), _rows(), sheets.numpy()])
    return sheets


def _rows() -> NDArray[np.float32]:
    """(3, 5) float32 of FASCIA, SEPTA and PERIMYSIUM, with amplitudes instead of dB."""
    rows = np.array([FASCIA, SEPTA, PERIMYSIUM], np.float32)
    rows[:, 4] = 10 ** (rows[:, 4] / 20)
    return rows


def fascia_by_tensors(anatomy: Anatomy) -> Tensor:
    """`fascia` on any torch device."""
    depth, warp, strand = -anatomy.skin_distance, anatomy.warp, anatomy.strand
    total = torch.zeros_like(depth)
    for row, (period, tilt, wave, width, level) in enumerate(_rows().tolist()):
        phase = (depth + tilt * warp + wave * strand) / period
        off = (phase - phase.round()) * period / width
        strength = (0.45 + 0.55 * torch.cos(3 * warp + 2.4 * phase.round() + strand)).clamp(min=0)
        sheet = level * torch.exp(-0.5 * off.square()) * strength
        if row == 1:
            sheet = sheet * (anatomy.tissue == FAT)
        if row == 2:
            sheet = sheet * (anatomy.tissue == MUSCLE)
        total = total + sheet
    return total * anatomy.layering * anatomy.known * ((DEPTH - depth) / FADE).clamp(0, 1) * (depth > 0)


@kernel
def _fascia(layering, skin_distance, warp, strand, tissue, known, rows, sheets):  # type: ignore[no-untyped-def]
    half, along, turn = np.float32(-0.5), np.float32(3), np.float32(2.4)
    mean, depth_of, fade = np.float32(0.45), np.float32(DEPTH), np.float32(FADE)
    one, zero = np.float32(1), np.float32(0)
    for r in numba.prange(warp.shape[0] * warp.shape[1]):
        b, line = r // warp.shape[1], r % warp.shape[1]
        for s in range(warp.shape[2]):
            depth = -skin_distance[b, line, s]
            sheets[b, line, s] = 0
            if layering[b, line, s] == 0 or depth <= 0 or depth >= depth_of:
                continue
            w, v, t = warp[b, line, s], strand[b, line, s], tissue[b, line, s]
            for row in range(3):
                if (row == 1 and t != FAT) or (row == 2 and t != MUSCLE):
                    continue
                phase = (depth + rows[row, 1] * w + rows[row, 2] * v) / rows[row, 0]
                nearest = np.rint(phase)
                off = (phase - nearest) * rows[row, 0] / rows[row, 3]
                strength = max(mean + (one - mean) * np.cos(along * w + turn * nearest + v), zero)
                sheets[b, line, s] += rows[row, 4] * np.exp(half * off * off) * strength
            sheets[b, line, s] *= (
                layering[b, line, s] * known[b, line, s] * min(max((depth_of - depth) / fade, zero), one)
            )

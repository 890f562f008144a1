# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Fat with its septa, the pancreas' lobules, and the diaphragm, which voxels of a CT miss."""

from __future__ import annotations

import numpy as np

from us_sim.core.compute.kernels import serial
from us_sim.core.patient.detail.region import Region
from us_sim.core.patient.detail.tubes import noise_at, noise_tile, row
from us_sim.core.patient.grid import ball_runs
from us_sim.core.patient.loops import spread
from us_sim.core.tissue import TissueClass as T

DIAPHRAGM = 2.5  # mm of muscle between lung and what lies under it
TENDON = 24  # half dB of it: tendon, pleura and peritoneum, too thin to be told apart, show as one thick line
SEPTA, LOBULES, PATCH = 16.0, 7.0, 10.0  # mm: wavelengths of the sheets in fat and pancreas, and of the fat's tone
BRIGHT, DARK = (8.0, 7.0), (-3.0, -4.0)  # half dB of a sheet and between two, in fat and pancreas
STEEP = (70.0, 40.0)  # half dB by which a sheet falls off for a standard deviation of the noise
_FAT, _PANCREAS = int(T.FAT), int(T.PANCREAS)


def paint_fat_and_pancreas(whole: Region, seed: int) -> None:
    """Paint septa into fat and between the pancreas' lobules where nothing else was painted, in place."""
    _paint(whole.tissue, whole.echo, noise_tile(seed), np.ascontiguousarray(whole.ct_from_voxel))


def paint_diaphragm(whole: Region) -> None:
    """Put muscle where liver or spleen touches lung, and make all muscle beside lung as bright as tendon, in place."""
    region = whole.of_class(T.LUNG, DIAPHRAGM)
    if region is None:
        return
    near = np.zeros(region.tissue.shape, dtype=bool)
    lung = np.ascontiguousarray(region.tissue) == T.LUNG
    spread(lung.view(np.uint8), ball_runs(whole.ct_from_voxel, DIAPHRAGM), np.uint8(1), near.view(np.uint8))
    for tissue, echo, mask in zip(region.tissue, region.echo, near, strict=True):
        tissue[mask & ((tissue == T.LIVER) | (tissue == T.SPLEEN))] = T.MUSCLE
        echo[mask & (tissue == T.MUSCLE)] = TENDON


@serial
def _paint(tissue, echo, tile, m):  # type: ignore[no-untyped-def]
    for i in range(tissue.shape[0]):
        for j in range(tissue.shape[1]):
            for k in range(tissue.shape[2]):
                kind = tissue[i, j, k]
                if (kind != _FAT and kind != _PANCREAS) or echo[i, j, k] != 0:
                    continue
                x, y, z = row(m, 0, i, j, k), row(m, 1, i, j, k), row(m, 2, i, j, k)
                n, cell = (0, SEPTA / 2) if kind == _FAT else (1, LOBULES / 2)
                # A sheet is where smooth noise changes its sign.
                sheet = BRIGHT[n] - STEEP[n] * abs(noise_at(tile, x / cell, y / cell, z / cell))
                tone = 2 * noise_at(tile, 2 * x / PATCH + 31, 2 * y / PATCH, 2 * z / PATCH)
                echo[i, j, k] = round(max(sheet, DARK[n]) + tone)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Finer voxels for a coarse CT: HU as their trilinear interpolation, classes with smooth borders.

The fine grid holds every voxel centre of the coarse one, so that HU sampled trilinearly on either agree up to rounding.
Classes are voted for by the coarse voxels around, each with the weight of a cubic B-spline about its centre: a border
then runs where the smoothed indicator functions of the classes are equal, without the steps of the voxels. A structure
thinner than the spline votes louder, so that it does not vanish.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from us_sim.core.compute.kernels import kernel
from us_sim.core.geometry.transforms import Matrix

COARSE = 1.2  # mm; larger voxels cannot hold a vessel's wall
MAX_VOXELS = 100_000_000  # 400 MB of HU, class and echo
THIN = 0.5  # share of its own class around a voxel below which it belongs to something thin
LOUD = 1.1  # what its vote then comes to over all others at its own centre


def factors(shape: tuple[int, ...], spacing: NDArray[np.float64]) -> tuple[int, int, int]:
    """Return into how many each voxel is split along each axis; the coarsest axes first where memory is short."""
    split = np.maximum(1, np.ceil(np.asarray(spacing) / COARSE - 1e-6)).astype(int)
    while split.max() > 1 and np.prod(refined_shape(shape, split), dtype=np.float64) > MAX_VOXELS:
        split[np.argmax(split)] -= 1
    i, j, k = split
    return int(i), int(j), int(k)


def refined_shape(shape: tuple[int, ...], split: NDArray[np.int_] | tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the fine grid's shape: from the first voxel centre to the last."""
    i, j, k = ((n - 1) * int(f) + 1 for n, f in zip(shape, split, strict=True))
    return i, j, k


def refined_affine(ct_from_voxel: Matrix, split: tuple[int, int, int]) -> Matrix:
    """Return `ct_from_voxel` of the fine grid; the first voxel's centre stays."""
    return ct_from_voxel @ np.diag([*(1 / np.array(split)), 1.0])


def refined_hu(hu: NDArray[np.int16], split: tuple[int, int, int]) -> NDArray[np.int16]:
    """Return HU on the fine grid, (I', J', K'), trilinear and rounded."""
    out = np.empty(refined_shape(hu.shape, split), dtype=np.int16)
    _interpolate(hu, np.array(split), out)
    return out


def refined_tissue(tissue: NDArray[np.uint8], split: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return classes on the fine grid, (I', J', K')."""
    out = np.empty(refined_shape(tissue.shape, split), dtype=np.uint8)
    padded = np.pad(tissue, 2, mode="edge")
    votes = np.ones(padded.shape, dtype=np.float32)
    _weigh(padded, votes)
    _vote(padded, votes, _spline(split[0]), _spline(split[1]), _spline(split[2]), out)
    return out


def _spline(split: int) -> NDArray[np.float32]:
    """Return (split, 4) weights of the voxels −1, 0, 1, 2 about each of the places between voxel 0 and 1."""
    t = np.arange(split)[:, None] / split
    away = np.abs(t - np.array([-1, 0, 1, 2]))
    near, far = 2 / 3 - away**2 + away**3 / 2, (2 - away) ** 3 / 6
    return np.where(away < 1, near, np.where(away < 2, far, 0)).astype(np.float32)


@kernel
def _interpolate(hu, split, out):  # type: ignore[no-untyped-def]
    ni, nj, nk = hu.shape
    for a in numba.prange(out.shape[0]):
        i = a // split[0]
        i1, u = min(i + 1, ni - 1), np.float32(a % split[0]) / np.float32(split[0])
        for b in range(out.shape[1]):
            j = b // split[1]
            j1, v = min(j + 1, nj - 1), np.float32(b % split[1]) / np.float32(split[1])
            for k in range(nk):
                k1 = min(k + 1, nk - 1)
                low = (hu[i, j, k] * (1 - v) + hu[i, j1, k] * v) * (1 - u)
                low += (hu[i1, j, k] * (1 - v) + hu[i1, j1, k] * v) * u
                high = (hu[i, j, k1] * (1 - v) + hu[i, j1, k1] * v) * (1 - u)
                high += (hu[i1, j, k1] * (1 - v) + hu[i1, j1, k1] * v) * u
                for c in range(split[2] if k < nk - 1 else 1):
                    w = np.float32(c) / np.float32(split[2])
                    out[a, b, k * split[2] + c] = np.rint(low * (1 - w) + high * w)


@kernel
def _weigh(tissue, votes):  # type: ignore[no-untyped-def]
    """Raise the votes of thin structures, so that each class holds its own voxels' centres."""
    for i in numba.prange(1, tissue.shape[0] - 1):
        for j in range(1, tissue.shape[1] - 1):
            for k in range(1, tissue.shape[2] - 1):
                own, share = tissue[i, j, k], 0.0
                for di in range(-1, 2):
                    for dj in range(-1, 2):
                        for dk in range(-1, 2):
                            if tissue[i + di, j + dj, k + dk] == own:
                                side = 0.25 ** (abs(di) + abs(dj) + abs(dk))  # B-spline: 4/6 on the voxel, 1/6 beside
                                share += 8 / 27 * side
                if share < THIN:
                    votes[i, j, k] = LOUD * (1 - share) / share


@kernel
def _vote(tissue, votes, si, sj, sk, out):  # type: ignore[no-untyped-def]
    """Fill the fine voxels of each cell between coarse voxel centres; `tissue` and `votes` are padded by 2."""
    ni, nj, nk = len(si), len(sj), len(sk)
    for i in numba.prange(tissue.shape[0] - 4):
        best, winner = np.empty((ni, nj, nk), np.float32), np.empty((ni, nj, nk), np.uint8)
        along = np.empty((4, 4, nk), np.float32)
        face = np.empty((4, nj, nk), np.float32)
        for j in range(tissue.shape[1] - 4):
            for k in range(tissue.shape[2] - 4):
                present = 0
                for di in range(1, 5):
                    for dj in range(1, 5):
                        for dk in range(1, 5):
                            present |= 1 << tissue[i + di, j + dj, k + dk]
                winner[:], best[:] = tissue[i + 2, j + 2, k + 2], 0
                for t in range(32 if present & (present - 1) else 0):
                    if present & (1 << t):
                        _votes_for(t, tissue, votes, i + 1, j + 1, k + 1, si, sj, sk, along, face, best, winner)
                for a in range(min(ni, out.shape[0] - i * ni)):
                    for b in range(min(nj, out.shape[1] - j * nj)):
                        for c in range(min(nk, out.shape[2] - k * nk)):
                            out[i * ni + a, j * nj + b, k * nk + c] = winner[a, b, c]


@numba.njit
def _votes_for(t, tissue, votes, i, j, k, si, sj, sk, along, face, best, winner):  # type: ignore[no-untyped-def]
    """Count the votes for one class in a cell, axis after axis, and note where it leads."""
    for di in range(4):
        for dj in range(4):
            for c in range(len(sk)):
                total = np.float32(0)
                for dk in range(4):
                    if tissue[i + di, j + dj, k + dk] == t:
                        total += sk[c, dk] * votes[i + di, j + dj, k + dk]
                along[di, dj, c] = total
        for b in range(len(sj)):
            for c in range(len(sk)):
                face[di, b, c] = (
                    sj[b, 0] * along[di, 0, c] + sj[b, 1] * along[di, 1, c]
                    + sj[b, 2] * along[di, 2, c] + sj[b, 3] * along[di, 3, c]
                )  # fmt: skip
    for a in range(len(si)):
        for b in range(len(sj)):
            for c in range(len(sk)):
                count = si[a, 0] * face[0, b, c] + si[a, 1] * face[1, b, c]
                count += si[a, 2] * face[2, b, c] + si[a, 3] * face[3, b, c]
                if count > best[a, b, c]:
                    best[a, b, c], winner[a, b, c] = count, t

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Passes over all voxels of a CT as compiled loops, without a copy of the volume for every step."""

from __future__ import annotations

import numba
import numpy as np

from us_sim.core.compute.kernels import kernel, serial


@kernel
def block_sums(values, steps, low, high, out):  # type: ignore[no-untyped-def]
    """Add the values, cut to low and high, to the block of `steps` voxels that each lies in; out (A, B, C) int32, 0."""
    ni, nj, nk = values.shape
    for a in numba.prange(out.shape[0]):
        for i in range(a * steps[0], min(ni, (a + 1) * steps[0])):
            for j in range(nj):
                b = j // steps[1]
                for c in range(out.shape[2]):
                    total = np.int32(0)
                    for k in range(c * steps[2], min(nk, (c + 1) * steps[2])):
                        total += np.int32(min(max(values[i, j, k], low), high))
                    out[a, b, c] += total


@kernel
def spread(mask, offsets, out):  # type: ignore[no-untyped-def]
    """Set `out` at the offsets, (N, 3), from each voxel of the mask that shares a face with one outside it."""
    ni, nj, nk = mask.shape
    for i in numba.prange(ni):  # several threads may set a voxel, all of them to the same
        for j in range(nj):
            for k in range(nk):
                if not mask[i, j, k] or (
                    (i == 0 or mask[i - 1, j, k]) and (i == ni - 1 or mask[i + 1, j, k])
                    and (j == 0 or mask[i, j - 1, k]) and (j == nj - 1 or mask[i, j + 1, k])
                    and (k == 0 or mask[i, j, k - 1]) and (k == nk - 1 or mask[i, j, k + 1])
                ):  # fmt: skip
                    continue
                for n in range(len(offsets)):
                    a, b, c = i + offsets[n, 0], j + offsets[n, 1], k + offsets[n, 2]
                    if 0 <= a < ni and 0 <= b < nj and 0 <= c < nk:
                        out[a, b, c] = True


@kernel
def mean_below(hu, size, low, high, limit, out):  # type: ignore[no-untyped-def]
    """Set (I, J, K) `out` where the mean of HU, cut to low and high, over a box of odd (3,) `size` is below a limit.

    As scipy.ndimage.uniform_filter of int16: axis after axis, cut to whole numbers in between, mirrored at the border.
    """
    ni, nj, nk = hu.shape
    ri, rj, rk = size[0] // 2, size[1] // 2, size[2] // 2
    for i in numba.prange(ni):
        first, second = np.empty((nj, nk), np.float32), np.empty((nj, nk), np.float32)
        for j in range(nj):
            first[j] = np.float32(0)
            for d in range(-ri, ri + 1):
                a = mirrored(i + d, ni)
                for k in range(nk):
                    first[j, k] += np.float32(min(max(hu[a, j, k], low), high))
            for k in range(nk):
                first[j, k] = np.trunc(first[j, k] / np.float32(size[0]))
        for j in range(nj):
            second[j] = np.float32(0)
            for d in range(-rj, rj + 1):
                b = mirrored(j + d, nj)
                for k in range(nk):
                    second[j, k] += first[b, k]
            for k in range(nk):
                second[j, k] = np.trunc(second[j, k] / np.float32(size[1]))
            for k in range(nk):
                total = np.float32(0)
                if rk <= k < nk - rk:
                    for d in range(-rk, rk + 1):
                        total += second[j, k + d]
                else:
                    for d in range(-rk, rk + 1):
                        total += second[j, mirrored(k + d, nk)]
                out[i, j, k] = np.trunc(total / np.float32(size[2])) < limit


@serial
def mirrored(index, count):  # type: ignore[no-untyped-def]
    """Index of the voxel that is seen beyond the border, where the outermost is seen twice."""
    index %= 2 * count
    return index if index < count else 2 * count - 1 - index


@serial
def values_by_class(hu, classes, limits, counts):  # type: ignore[no-untyped-def]
    """Count (C, 3) the voxels of each class, those below its limit and those above it."""
    for i in range(hu.shape[0]):
        for j in range(hu.shape[1]):
            for k in range(hu.shape[2]):
                c = classes[i, j, k]
                if c:
                    counts[c, 0] += 1
                    counts[c, 1] += hu[i, j, k] < limits[c]
                    counts[c, 2] += hu[i, j, k] > limits[c]


@serial
def counts_along(values, wanted, along_i, along_j, along_k):  # type: ignore[no-untyped-def]
    """Count the voxels of a value in every plane across each axis."""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            row = 0
            for k in range(values.shape[2]):
                one = values[i, j, k] == wanted
                along_k[k] += one
                row += one
            along_i[i] += row
            along_j[j] += row


@serial
def within(hu, ranges, counts):  # type: ignore[no-untyped-def]
    """Count the voxels between each of (N, 2) limits, both of them outside."""
    for i in range(hu.shape[0]):
        for j in range(hu.shape[1]):
            for n in range(len(ranges)):
                low, high = ranges[n, 0], ranges[n, 1]
                count = 0
                for k in range(hu.shape[2]):
                    count += (low < hu[i, j, k]) & (hu[i, j, k] < high)
                counts[n] += count


@kernel
def transposed(slab, first, out):  # type: ignore[no-untyped-def]
    """Write (K, J, I) planes of a file into (I, J, first to first + K) of a volume."""
    nk, nj, ni = slab.shape
    for j in numba.prange(nj):
        tile = np.empty((nk, ni + 8), slab.dtype)  # planes lie powers of two apart, which share few places of a cache
        for k in range(nk):
            for i in range(ni):
                tile[k, i] = slab[k, j, i]
        for i in range(ni):
            for k in range(nk):
                out[i, j, first + k] = tile[k, i]

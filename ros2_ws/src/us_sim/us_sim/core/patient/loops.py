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

# What is done with a row lies in a function of its own, which becomes vector instructions: in a parallel loop the
# compiler does not know that rows do not overlap.


@kernel
def block_sums(values, steps, low, high, out):  # type: ignore[no-untyped-def]
    """Add the values, cut to low and high, to the block of `steps` voxels that each lies in; out (A, B, C) int32, 0."""
    ni, nj, nk = values.shape
    low, high = np.int32(low), np.int32(high)
    for a in numba.prange(out.shape[0]):
        sums = np.empty(nk, np.int32)
        for b in range(out.shape[1]):
            sums[:] = 0
            for i in range(a * steps[0], min(ni, (a + 1) * steps[0])):
                for j in range(b * steps[1], min(nj, (b + 1) * steps[1])):
                    _add_cut(values[i, j], low, high, sums)
            for c in range(out.shape[2]):
                total = np.int32(0)
                for k in range(c * steps[2], min(nk, (c + 1) * steps[2])):
                    total += sums[k]
                out[a, b, c] += total


@numba.njit
def _add_cut(row, low, high, total):  # type: ignore[no-untyped-def]
    for k in range(len(row)):
        total[k] += min(max(np.int32(row[k]), low), high)


@serial
def of_blocks(blocks, steps, out):  # type: ignore[no-untyped-def]
    """Set every voxel of (I, J, K) `out` to the value of the block of `steps` voxels that it lies in."""
    ni, nj, nk = out.shape
    for a in range((ni + steps[0] - 1) // steps[0]):
        row = np.empty(nk, blocks.dtype)
        for b in range((nj + steps[1] - 1) // steps[1]):
            for k in range(nk):
                row[k] = blocks[a, b, k // steps[2]]
            for i in range(a * steps[0], min(ni, (a + 1) * steps[0])):
                for j in range(b * steps[1], min(nj, (b + 1) * steps[1])):
                    _copy(row, out[i, j])


@numba.njit
def _copy(row, out):  # type: ignore[no-untyped-def]
    for k in range(len(row)):
        out[k] = row[k]


@kernel
def spread(mask, runs, flag, out):  # type: ignore[no-untyped-def]
    """Set a flag of uint8 `out` at the offsets from each voxel of the uint8 mask that has a face to one outside it.

    The offsets are runs, (N, 4): offsets along i and j, and the first and last one along k.
    """
    ni, nj, nk = mask.shape
    for i in numba.prange(ni):  # several threads may set a voxel, all of them to the same
        border = np.empty(nk, np.uint8)
        before, after = max(i - 1, 0), min(i + 1, ni - 1)
        for j in range(nj):
            if not holds_any(mask[i, j]):
                continue
            left, right = max(j - 1, 0), min(j + 1, nj - 1)
            _at_border(mask[i, j], mask[before, j], mask[after, j], mask[i, left], mask[i, right], border)
            stop = 0 if holds_any(border) else nk
            while stop < nk:
                start = stop
                while start < nk and not border[start]:
                    start += 1
                stop = start
                while stop < nk and border[stop]:
                    stop += 1
                for n in range(len(runs) if stop > start else 0):
                    a, b = i + runs[n, 0], j + runs[n, 1]
                    if 0 <= a < ni and 0 <= b < nj:
                        for c in range(max(0, start + runs[n, 2]), min(nk, stop + runs[n, 3])):
                            out[a, b, c] |= flag


@numba.njit
def holds_any(row):  # type: ignore[no-untyped-def]
    """Whether anything of a row of a mask is set."""
    found = row[0]
    for k in range(1, len(row)):
        found |= row[k]
    return found != 0


@numba.njit
def _at_border(row, before, after, left, right, out):  # type: ignore[no-untyped-def]
    """Tell which voxels of a row lie in the mask and have a neighbour that does not."""
    last = len(row) - 1
    for k in range(1, last):
        out[k] = row[k] & ((before[k] & after[k] & left[k] & right[k] & row[k - 1] & row[k + 1]) ^ 1)
    for k in (0, last):
        beside = row[max(k - 1, 0)] & row[min(k + 1, last)]
        out[k] = row[k] & ((before[k] & after[k] & left[k] & right[k] & beside) ^ 1)


@kernel
def mean_below(hu, size, low, high, limit, where, out):  # type: ignore[no-untyped-def]
    """Set (I, J, K) `out` where the mean of HU, cut to low and high, over a box of odd (3,) `size` is below a limit.

    As scipy.ndimage.uniform_filter of int16: axis after axis, cut to whole numbers in between, mirrored at the border.
    Rows in which (I, J, K) `where` holds nothing stay as they are.
    """
    ni, nj, nk = hu.shape
    ri, rj, rk = size[0] // 2, size[1] // 2, size[2] // 2
    si, sj, sk = np.float32(size[0]), np.float32(size[1]), np.float32(size[2])
    low, high, limit = np.int32(low), np.int32(high), np.float32(limit)
    for i in numba.prange(ni):
        wanted = np.array([holds_any(where[i, j]) for j in range(nj)])
        first, total = np.zeros((nj, nk), np.float32), np.empty(nk, np.float32)
        second = np.empty(rk + nk + rk, np.float32)
        middle = second[rk : rk + nk]
        for j in range(nj):
            if not wanted[max(0, j - rj) : j + rj + 1].any():
                continue
            for d in range(-ri, ri + 1):
                _add_cut(hu[mirrored(i + d, ni), j], low, high, first[j])
            _whole(first[j], si)
        for j in range(nj):
            if not wanted[j]:
                continue
            second[:] = 0
            for d in range(-rj, rj + 1):
                _add(first[mirrored(j + d, nj)], middle)
            _whole(middle, sj)
            for k in range(rk):
                second[rk - 1 - k] = middle[mirrored(-1 - k, nk)]
                second[rk + nk + k] = middle[mirrored(nk + k, nk)]
            total[:] = 0
            for d in range(2 * rk + 1):
                _add(second[d : d + nk], total)
            _whole(total, sk)
            out[i, j] = total < limit


@numba.njit
def _add(row, total):  # type: ignore[no-untyped-def]
    for k in range(len(row)):
        total[k] += row[k]


@numba.njit
def _whole(row, size):  # type: ignore[no-untyped-def]
    """Divide a row and cut it to whole numbers."""
    for k in range(len(row)):
        row[k] = np.int32(row[k] / size)


@serial
def mirrored(index, count):  # type: ignore[no-untyped-def]
    """Index of the voxel that is seen beyond the border, where the outermost is seen twice."""
    index %= 2 * count
    return index if index < count else 2 * count - 1 - index


@serial
def values_by_class(hu, classes, body, limits, counts):  # type: ignore[no-untyped-def]
    """Count (C, 4) the voxels of each class but 0, those below its limit, those above it, and those in the body."""
    for i in range(hu.shape[0]):
        for j in range(hu.shape[1]):
            for k in range(hu.shape[2] if holds_any(classes[i, j]) else 0):
                c = classes[i, j, k]
                if c:
                    counts[c, 0] += 1
                    counts[c, 1] += hu[i, j, k] < limits[c]
                    counts[c, 2] += hu[i, j, k] > limits[c]
                    counts[c, 3] += body[i, j, k]


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
def count_values(plane, counts):  # type: ignore[no-untyped-def]
    """Add to (2**16,) counts how often each value of a uint16 plane occurs; most of them are as the one before."""
    for i in range(plane.shape[0]):
        value, run = plane[i, 0], 0
        for k in range(plane.shape[1]):
            if plane[i, k] != value:
                counts[value] += run
                value, run = plane[i, k], 0
            run += 1
        counts[value] += run


@serial
def renamed(plane, table, out):  # type: ignore[no-untyped-def]
    """Set `out` to the entry of a table for each value of a uint16 plane."""
    for i in range(plane.shape[0]):
        for k in range(plane.shape[1]):
            out[i, k] = table[plane[i, k]]


@serial
def lay_labels(tissue, classes, hu, body, hollow, gas, gas_below):  # type: ignore[no-untyped-def]
    """Set (I, J, K) tissue to the classes that are not 0, in the body; a `hollow` one below a limit is `gas`."""
    for i in range(tissue.shape[0]):
        for j in range(tissue.shape[1]):
            _lay_row(tissue[i, j], classes[i, j], hu[i, j], body[i, j], hollow, gas, gas_below)


@numba.njit
def _lay_row(tissue, classes, hu, body, hollow, gas, gas_below):  # type: ignore[no-untyped-def]
    for k in range(len(tissue)):
        label = gas if (classes[k] == hollow) & (hu[k] < gas_below) else classes[k]
        tissue[k] = label if (classes[k] != 0) & body[k] else tissue[k]


@serial
def rows_with(values, wanted, found):  # type: ignore[no-untyped-def]
    """Set (I, J, 2) `found` to the first and last k of a value in each row of (I, J, K); (K, -1) in a row without."""
    last = values.shape[2] - 1
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            found[i, j, 0], found[i, j, 1] = last + 1, -1
            if _count(values[i, j], wanted):
                first = 0
                while values[i, j, first] != wanted:
                    first += 1
                k = last
                while values[i, j, k] != wanted:
                    k -= 1
                found[i, j, 0], found[i, j, 1] = first, k


@numba.njit
def _count(row, wanted):  # type: ignore[no-untyped-def]
    count = 0
    for k in range(len(row)):
        count += row[k] == wanted
    return count


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

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Signed distance on a grid: the compiled loops behind `surface.py`.

From the share of body in every cell to the distance: across a flat border blurred by a Gaussian of any width,
u = Φ⁻¹(share) is linear, so that u/|∇u| is the distance of the cells next to it, finer than a voxel; fast
sweeping (Zhao 2005, Math. Comp. 74, 603) carries it on through the grid.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from us_sim.core.compute.grids import clamped, trilinear
from us_sim.core.compute.kernels import kernel, serial


@kernel
def share_of_blocks(hu, tissue, block_i, block_j, block_k, out):  # type: ignore[no-untyped-def]
    """Mean body share of blocks of voxels, with one empty block around them; out (A, B, C) float32, 0.

    The share of a voxel is 0 or 1, but at the border what HU says between air and soft tissue. HU never overrules the
    classes: a body voxel keeps at least half, an outer one at most half.
    """
    ni, nj, nk = tissue.shape
    for a in numba.prange(out.shape[0] - 2):
        bodies = np.empty(nk, np.uint8)  # of a voxel and its neighbours
        for i in range(a * block_i, min(ni, (a + 1) * block_i)):
            before, after = max(i - 1, 0), min(i + 1, ni - 1)
            for j in range(nj):
                left, right = max(j - 1, 0), min(j + 1, nj - 1)
                _bodies(tissue[i, j], tissue[before, j], tissue[after, j], tissue[i, left], tissue[i, right], bodies)
                within = bodies.min() == 7
                for c in range(out.shape[2] - 2 if bodies.max() > 0 else 0):
                    total = out[a + 1, j // block_j + 1, c + 1]
                    begin, end = c * block_k, min(nk, (c + 1) * block_k)
                    if within and total == np.floor(total):  # whole numbers add up to the same in any order
                        total += np.float32(end - begin)
                        begin = end
                    for k in range(begin, end):
                        if bodies[k] == 7:
                            total += np.float32(1)
                        elif bodies[k]:
                            share = (hu[i, j, k] + 1000.0) / 1000.0
                            if tissue[i, j, k] != 0:
                                total = np.float32(total + min(1.0, max(0.5, share)))
                            else:
                                total = np.float32(total + min(0.5, max(0.0, share)))
                    out[a + 1, j // block_j + 1, c + 1] = total
    out /= np.float32(block_i * block_j * block_k)


@numba.njit
def _bodies(row, before, after, left, right, out):  # type: ignore[no-untyped-def]
    """Count the body voxels among each of a row and its six neighbours; beyond the border it counts again itself."""
    last = len(row) - 1
    for k in range(len(row)):
        out[k] = np.uint8(row[k] != 0) + np.uint8(before[k] != 0) + np.uint8(after[k] != 0)
        out[k] += np.uint8(left[k] != 0) + np.uint8(right[k] != 0)
    for k in range(last):
        out[k] += np.uint8(row[k + 1] != 0)
    for k in range(1, last + 1):
        out[k] += np.uint8(row[k - 1] != 0)
    out[0] += np.uint8(row[0] != 0)
    out[last] += np.uint8(row[last] != 0)


@serial
def redistance(u):  # type: ignore[no-untyped-def]
    """Signed distance in cells, negative where u > 0, to the surface u = 0."""
    nx, ny, nz = u.shape
    # Node (x, y, z) lies at [x, y + z + 1, y + 1] amid infinities: none in a row waits for another of its row.
    diagonals = np.full((nx, ny + nz + 1, ny + 2), np.inf, dtype=np.float32)
    fixed = np.zeros(diagonals.shape, dtype=np.bool_)
    _begin(u, diagonals, fixed)
    for back in (False, True, False, True):  # the way to the surface is straight: one sweep of each direction will do
        if back:
            _turn(diagonals, nz)
            _turn(fixed, nz)
        _sweep(diagonals, fixed, nz, False, back)
        _sweep(diagonals, fixed, nz, True, back)
    distance = np.empty(u.shape, dtype=np.float32)
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                away = diagonals[x, y + z + 1, y + 1]
                distance[x, y, z] = -away if u[x, y, z] > 0 else away
    return distance


@serial
def _begin(u, diagonals, fixed):  # type: ignore[no-untyped-def]
    """Set and fix the distance of the nodes that have a neighbour across the surface."""
    nx, ny, nz = u.shape
    for x in range(1, nx - 1):
        for y in range(1, ny - 1):
            for z in range(1, nz - 1):
                x0, x1, y0, y1 = u[x - 1, y, z], u[x + 1, y, z], u[x, y - 1, z], u[x, y + 1, z]
                z0, z1, inside = u[x, y, z - 1], u[x, y, z + 1], u[x, y, z] > 0
                if (
                    (x0 > 0) != inside
                    or (x1 > 0) != inside
                    or (y0 > 0) != inside
                    or ((y1 > 0) != inside or (z0 > 0) != inside or (z1 > 0) != inside)
                ):
                    slope = 0.5 * math.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2 + (z1 - z0) ** 2)
                    # That neighbour is at most one cell away.
                    diagonals[x, y + z + 1, y + 1] = min(1.0, abs(u[x, y, z]) / max(slope, 1e-6))
                    fixed[x, y + z + 1, y + 1] = True


@serial
def _turn(diagonals, nz):  # type: ignore[no-untyped-def]
    """Count z from the other end, in place."""
    for plane in diagonals:
        before = plane.copy()
        for y in range(plane.shape[1] - 2):
            for z in range(nz):
                plane[y + z + 1, y + 1] = before[y + nz - z, y + 1]


@serial
def _sweep(d, fixed, nz, back_x, back):  # type: ignore[no-untyped-def]
    """One Gauss-Seidel pass of |∇d| = 1 with Godunov's upwind differences, unit cells; `back`: along y and z."""
    nx, ny = d.shape[0], d.shape[2] - 2
    for ix in range(nx):
        x = nx - 1 - ix if back_x else ix
        x0, x1 = max(x - 1, 0), min(x + 1, nx - 1)  # at the border a node stands for the neighbour that is missing
        for step in range(1, ny + nz):
            t = ny + nz - step if back else step
            first, last = max(1, t + 1 - nz), min(ny, t)
            here, before, after = slice(first, last + 1), slice(first - 1, last), slice(first + 1, last + 2)
            _sweep_row(
                d[x, t, here], fixed[x, t, here], d[x0, t, here], d[x1, t, here], d[x, t - 1, before],
                d[x, t + 1, after], d[x, t - 1, here], d[x, t + 1, here],
            )  # fmt: skip


@numba.njit
def _sweep_row(row, fixed, x0, x1, y0, y1, z0, z1):  # type: ignore[no-untyped-def]
    for n in range(len(row)):
        a, b, c = min(x0[n], x1[n]), min(y0[n], y1[n]), min(z0[n], z1[n])
        a, b, c = min(a, b, c), max(min(a, b), min(max(a, b), c)), max(a, b, c)
        one, total = a + 1, a + b + c  # all three cases at once: branches would be guessed wrong
        two = 0.5 * (a + b + math.sqrt(max(0.0, 2 - (b - a) ** 2)))
        three = (total + math.sqrt(max(0.0, total**2 - 3 * (a * a + b * b + c * c - 1)))) / 3
        new = (three if two > c else two) if one > b else one
        new = row[n] if fixed[n] else np.float32(new)
        row[n] = min(new, row[n])


@serial
def value_at(distance, ct_from_grid, px, py, pz):  # type: ignore[no-untyped-def]
    """Trilinear value at one point in `ct`, mm; outside the grid, the way to it is added."""
    spacing = ct_from_grid[0, 0]
    x = (px - ct_from_grid[0, 3]) / spacing
    y = (py - ct_from_grid[1, 3]) / spacing
    z = (pz - ct_from_grid[2, 3]) / spacing
    cx, cy, cz = clamped(distance, x, y, z)
    way = spacing * math.sqrt((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2)  # NaN where the point is
    return trilinear(distance, cx, cy, cz, np.float64) + way


@serial
def outward_at(distance, ct_from_grid, x, y, z):  # type: ignore[no-untyped-def]
    """Unit gradient at one point in `ct`, mm; 0 where there is none."""
    step = ct_from_grid[0, 0]
    gx = value_at(distance, ct_from_grid, x + step, y, z) - value_at(distance, ct_from_grid, x - step, y, z)
    gy = value_at(distance, ct_from_grid, x, y + step, z) - value_at(distance, ct_from_grid, x, y - step, z)
    gz = value_at(distance, ct_from_grid, x, y, z + step) - value_at(distance, ct_from_grid, x, y, z - step)
    length = math.sqrt(gx * gx + gy * gy + gz * gz)
    scale = 1 / length if length > 1e-9 or math.isnan(length) else 0.0
    return gx * scale, gy * scale, gz * scale


@serial
def distance_at(distance, ct_from_grid, points):  # type: ignore[no-untyped-def]
    out = np.empty(len(points))
    for n in range(len(points)):
        out[n] = value_at(distance, ct_from_grid, points[n, 0], points[n, 1], points[n, 2])
    return out


@serial
def normal_at(distance, ct_from_grid, points):  # type: ignore[no-untyped-def]
    out = np.empty((len(points), 3))
    for n in range(len(points)):
        out[n, 0], out[n, 1], out[n, 2] = outward_at(distance, ct_from_grid, points[n, 0], points[n, 1], points[n, 2])
    return out

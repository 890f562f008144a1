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

ROWS = 8  # swept side by side


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
                for c in range(out.shape[2] - 2):
                    total = out[a + 1, j // block_j + 1, c + 1]
                    for k in range(c * block_k, min(nk, (c + 1) * block_k)):
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
    distance = np.full(u.shape, np.inf, dtype=np.float32)
    fixed = np.zeros(u.shape, dtype=np.bool_)
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
                    # A neighbour lies across the surface, so that it is at most one cell away.
                    distance[x, y, z] = min(1.0, abs(u[x, y, z]) / max(slope, 1e-6))
                    fixed[x, y, z] = True
    for sweep in range(8):  # the way to the surface is straight: one sweep of each direction will do
        _sweep(distance, fixed, sweep & 1, sweep & 2, sweep & 4)
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                if u[x, y, z] > 0:
                    distance[x, y, z] = -distance[x, y, z]
    return distance


@serial
def _sweep(d, fixed, back_x, back_y, back_z):  # type: ignore[no-untyped-def]
    """One Gauss-Seidel pass of |∇d| = 1 with Godunov's upwind differences, unit cells.

    Rows are swept side by side, each a node behind the one before it: what a node needs is there, and the processor
    computes several at a time.
    """
    nx, ny, nz = d.shape
    for ix in range(nx):
        x = nx - 1 - ix if back_x else ix
        x0, x1 = max(x - 1, 0), min(x + 1, nx - 1)  # at the border a node stands for the neighbour that is missing
        for first in range(0, ny, ROWS):
            rows = min(ROWS, ny - first)
            for step in range(nz + rows - 1):
                for r in range(max(0, step - nz + 1), min(rows, step + 1)):
                    y = ny - 1 - first - r if back_y else first + r
                    z = nz - 1 - step + r if back_z else step - r
                    y0, y1, z0, z1 = max(y - 1, 0), min(y + 1, ny - 1), max(z - 1, 0), min(z + 1, nz - 1)
                    a, b = min(d[x0, y, z], d[x1, y, z]), min(d[x, y0, z], d[x, y1, z])
                    c = min(d[x, y, z0], d[x, y, z1])
                    a, b, c = min(a, b, c), max(min(a, b), min(max(a, b), c)), max(a, b, c)
                    one, total = a + 1, a + b + c  # all three cases at once: branches would be guessed wrong
                    two = 0.5 * (a + b + math.sqrt(max(0.0, 2 - (b - a) ** 2)))
                    three = (total + math.sqrt(max(0.0, total**2 - 3 * (a * a + b * b + c * c - 1)))) / 3
                    new = (three if two > c else two) if one > b else one
                    new = d[x, y, z] if fixed[x, y, z] else np.float32(new)
                    d[x, y, z] = min(new, d[x, y, z])


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

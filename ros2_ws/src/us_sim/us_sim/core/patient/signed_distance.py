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
        shares = np.empty(nk, np.float64)
        for i in range(a * block_i, min(ni, (a + 1) * block_i)):
            before, after = max(i - 1, 0), min(i + 1, ni - 1)
            for j in range(nj):
                left, right = max(j - 1, 0), min(j + 1, nj - 1)
                for k in range(nk):
                    bodies[k] = np.uint8(tissue[i, j, k] != 0) + np.uint8(tissue[before, j, k] != 0)
                    bodies[k] += np.uint8(tissue[after, j, k] != 0) + np.uint8(tissue[i, left, k] != 0)
                    bodies[k] += np.uint8(tissue[i, right, k] != 0)
                for k in range(nk):
                    count = bodies[k] + (tissue[i, j, max(k - 1, 0)] != 0) + (tissue[i, j, min(k + 1, nk - 1)] != 0)
                    share = (hu[i, j, k] + 1000.0) / 1000.0
                    border = min(1.0, max(0.5, share)) if tissue[i, j, k] != 0 else min(0.5, max(0.0, share))
                    shares[k] = 1.0 if count == 7 else (0.0 if count == 0 else border)
                for c in range(out.shape[2] - 2):
                    for k in range(c * block_k, min(nk, (c + 1) * block_k)):
                        out[a + 1, j // block_j + 1, c + 1] += shares[k]
    out /= np.float32(block_i * block_j * block_k)


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
    """One Gauss-Seidel pass of |∇d| = 1 with Godunov's upwind differences, unit cells."""
    nx, ny, nz = d.shape
    far = np.float32(np.inf)
    for ix in range(nx):
        x = nx - 1 - ix if back_x else ix
        for iy in range(ny):
            y = ny - 1 - iy if back_y else iy
            for iz in range(nz):
                z = nz - 1 - iz if back_z else iz
                if fixed[x, y, z]:
                    continue
                a = min(d[x - 1, y, z] if x else far, d[x + 1, y, z] if x < nx - 1 else far)
                b = min(d[x, y - 1, z] if y else far, d[x, y + 1, z] if y < ny - 1 else far)
                c = min(d[x, y, z - 1] if z else far, d[x, y, z + 1] if z < nz - 1 else far)
                a, b, c = min(a, b, c), max(min(a, b), min(max(a, b), c)), max(a, b, c)
                new = a + 1
                if new > b:
                    new = 0.5 * (a + b + math.sqrt(2 - (b - a) ** 2))
                    if new > c:
                        total = a + b + c
                        new = (total + math.sqrt(max(0.0, total**2 - 3 * (a * a + b * b + c * c - 1)))) / 3
                if new < d[x, y, z]:
                    d[x, y, z] = new


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

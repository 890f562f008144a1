# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The anatomy along the scan lines on the CPU, as compiled loops over blocks of points.

Each quantity has a loop of its own over the block, so that vectors compute it and gather what it needs from memory;
only what differs from place to place, the border between classes and what lies beyond the CT, goes point by point.
`tensor_sampler` gives the same on any torch device, differing by rounding.
"""

from __future__ import annotations

import numba
import numpy as np

from us_sim.core.compute import prefetch
from us_sim.core.compute.bricks import ask, border_of, class_of, echo_of, hu_of, places, steps, word
from us_sim.core.compute.grids import by_axis, clamped, mapped
from us_sim.core.compute.kernels import kernel
from us_sim.core.geometry.transforms import Matrix, inverse
from us_sim.core.patient.surface import Skin
from us_sim.core.patient.volume import CtVolume
from us_sim.core.sampling import anatomy as a
from us_sim.core.sampling.anatomy import Float
from us_sim.core.sampling.reslice import BLOCK, THIN, Beam, block_of, blocks
from us_sim.core.sampling.scatterers import (
    LOOKS,
    NOISES,
    SCALE,
    TILE,
    Scatterers,
    sample_scatterers,
    spread_of,
    tile_from_ct,
    wrapped,
)

ZERO, ONE, NONE = np.float32(0), np.float32(1), np.float32(-1)  # a Python float would turn the arithmetic into float64
MAPS = ("impedance", "attenuation", "specularity", "layering", "skin_distance", "warp", "strand", "hu", "known")
IMPEDANCE, ATTENUATION, SPECULARITY, LAYERING, DISTANCE, WARPED, STRANDED, VALUE, KNOWN = range(len(MAPS))
COLUMNS = a.Properties(*range(len(a.Properties._fields)))
SCALES = np.array([a.PATCH, a.CLUSTER, a.WARP, a.STRAND])  # of the noises, one channel of the tile each
PATCH, CLUSTER, WARP, STRAND, HU, ECHO, PRESENT, LAYERED = range(8)  # what the loops over a block hand on
NEAREST = 4  # row of a block's words: which neighbour is nearest, a bit along each axis
MIXED = -1  # class of a place between voxels of several classes


def sample_anatomy(
    volume: CtVolume,
    skin: Skin,
    table: Float,
    noise: Scatterers,
    points: Float,
    ct_from_probe: Matrix,
    beam: Beam = THIN,
) -> tuple[Float, ...]:
    """Sample the patient along scan lines on the CPU; returns the arrays of `Anatomy` in their order.

    Args:
        volume, skin: the patient.
        table: from `property_table`.
        noise: from `scatterers`.
        points: (L, S, 3) mm in `probe`, or (B, L, S, 3) of each pose.
        ct_from_probe: (B, 4, 4) checked poses.
        beam: elevational offsets and weights.
    """
    shape = (len(ct_from_probe), *points.shape[-3:-1])
    maps, classes = np.empty((len(MAPS), *shape), np.float32), np.empty(shape, np.uint8)
    scatter = np.empty((*shape, 2 * LOOKS), np.float32)
    assert len(beam[0]) % 2, f"{len(beam[0])} elevational planes; of an odd number the middle one gives the classes"
    of_each = points.ndim == 4
    assert not of_each or len(points) == len(ct_from_probe), f"points of {len(points)} poses for {len(ct_from_probe)}"
    flat = by_axis(points, of_each=of_each)
    amplitudes = np.empty((len(beam[0]), classes.size), np.float32)
    voxel_from_ct, grid_from_ct = inverse(volume.ct_from_voxel), inverse(skin.ct_from_grid)
    matrices = voxel_from_ct @ ct_from_probe, tile_from_ct() @ ct_from_probe, grid_from_ct @ ct_from_probe
    arrays = volume.tissue, volume.bricks, volume.spacing, table, noise.noises, skin.distance
    _sample(*arrays, *matrices, flat, *beam, maps.reshape(len(MAPS), -1), amplitudes, classes.reshape(-1))
    sample_scatterers(noise.tile.reshape(-1), matrices[1], flat, beam[0], amplitudes, scatter.reshape(-1, 2 * LOOKS))
    *properties, hu, known = maps
    return (*properties, scatter, hu, classes, known)


@kernel
def _sample(  # type: ignore[no-untyped-def]
    grid, bricks, spacing, table, noise, distance, voxel_from_probe, tile_from_probe, grid_from_probe,
    points, offsets, weights, out, amplitudes, classes,
):  # fmt: skip
    """Properties and amplitudes at the points of each pose; of `grid`, (I, J, K), only the shape is read."""
    size, flat = points.shape[2], distance.reshape(-1)
    for r in numba.prange(len(voxel_from_probe) * blocks(size)):
        n, start, stop = block_of(r, size)
        own, first, count, to = n if len(points) > 1 else 0, np.uintp(start), np.uintp(stop - start), n * size + start
        parts, within = np.empty((8, BLOCK), np.float32), np.empty(BLOCK, np.uint8)
        kinds, rows, place = np.empty(BLOCK, np.int32), np.empty((BLOCK, 8), np.float32), np.empty((3, BLOCK))
        words, shares = np.empty((8, BLOCK), np.int32), np.empty((8, BLOCK), np.float32)
        mixed = np.empty(BLOCK, np.int32)
        at = np.uintp(to)
        for m in range(len(MAPS)):
            for p in range(count):
                out[m, at + p] = ZERO
        for p in range(count):
            parts[LAYERED, p], out[KNOWN, at + p] = ZERO, ONE
        _skin_distance(distance, flat, grid_from_probe, points, n, own, first, count, words, shares, out, at)
        for plane in range(len(offsets)):
            offset, share = offsets[plane], weights[plane]
            _places(tile_from_probe, points, n, own, first, count, offset, place)
            _noises(noise, count, place, words, shares, parts)
            _places(voxel_from_probe, points, n, own, first, count, offset, place)
            _voxels(grid, bricks, count, place, parts, kinds, within, words, shares)
            for p in range(count if 2 * plane + 1 == len(offsets) else 0):
                classes[at + p] = class_of(words[0, p])
            for p in range(count):
                parts[PRESENT, p] = share * min(max(-out[DISTANCE, at + p] / a.SKIN_RAMP, ZERO), ONE)
            several = 0
            for p in range(count):
                for q in range(8):
                    rows[p, q] = table[max(kinds[p], 0), q]
                if kinds[p] == MIXED:
                    mixed[several] = p
                    several += 1
                if within[p] == 0:
                    left = _fading(grid, place[0, p], place[1, p], place[2, p], spacing)
                    parts[PRESENT, p] *= left
                    out[KNOWN, at + p] -= share * (ONE - left**a.SOON)
            _mix(grid, bricks, table, place, mixed, several, words, shares, rows)
            _add(parts, rows, count, share, out, at)
            for p in range(count):
                amplitude = parts[PRESENT, p] * rows[p, COLUMNS.amplitude]
                amplitudes[plane, at + p] = amplitude * np.exp(parts[ECHO, p] * a.NEPER) if amplitude > 0 else ZERO
        for p in range(count):
            layered = parts[LAYERED, p] if parts[LAYERED, p] > 0 else ONE
            out[WARPED, at + p] /= layered
            out[STRANDED, at + p] /= layered


@numba.njit(inline="always")
def _split(at, size):  # type: ignore[no-untyped-def]
    """Cell of a fractional index along an axis of so many samples, and how far into it, clamped to the box."""
    kept = min(at, size - 1.0) if at > 0 else 0.0  # 0 for NaN
    cell = min(np.int32(kept), np.int32(size - 2))
    return cell, np.float32(kept - np.float64(cell))


@numba.njit(inline="always")
def _trilinear(c000, c001, c010, c011, c100, c101, c110, c111, u, v, w):  # type: ignore[no-untyped-def]
    """As `grids.trilinear`, from the eight corners."""
    g00, g01 = c000 + w * (c001 - c000), c010 + w * (c011 - c010)
    g10, g11 = c100 + w * (c101 - c100), c110 + w * (c111 - c110)
    g0, g1 = g00 + v * (g01 - g00), g10 + v * (g11 - g10)
    return g0 + u * (g1 - g0)


@numba.njit(inline="always")
def _places(matrix, points, n, own, first, count, offset, place):  # type: ignore[no-untyped-def]
    """Fractional indices of the points of a block, shifted along the elevation."""
    for p in range(count):
        x, y, z = points[own, 0, first + p], points[own, 1, first + p] + offset, points[own, 2, first + p]
        place[0, p], place[1, p], place[2, p] = mapped(matrix, n, x, y, z)


@numba.njit(inline="always")
def _skin_distance(distance, flat, matrix, points, n, own, first, count, words, shares, out, at):  # type: ignore[no-untyped-def]
    along_j = np.int32(distance.shape[2])
    along_i = np.int32(distance.shape[1]) * along_j
    for p in range(count):  # places first: one loop for both takes longer
        x, y, z = mapped(matrix, n, points[own, 0, first + p], points[own, 1, first + p], points[own, 2, first + p])
        (i, u), (j, v), (k, w) = (
            _split(x, distance.shape[0]), _split(y, distance.shape[1]), _split(z, distance.shape[2]),
        )  # fmt: skip
        words[0, p] = i * along_i + j * along_j + k
        shares[0, p], shares[1, p], shares[2, p] = u, v, w
    for p in range(count):
        near = words[0, p]
        prefetch.line_of(flat, near)
        prefetch.line_of(flat, near + along_j)
        prefetch.line_of(flat, near + along_i)
        prefetch.line_of(flat, near + along_i + along_j)
    for p in range(count):
        near = words[0, p]
        far = near + along_i
        out[DISTANCE, at + p] = _trilinear(
            word(flat, near), word(flat, near + 1), word(flat, near + along_j), word(flat, near + along_j + 1),
            word(flat, far), word(flat, far + 1), word(flat, far + along_j), word(flat, far + along_j + 1),
            shares[0, p], shares[1, p], shares[2, p],
        )  # fmt: skip


@numba.njit(inline="always")
def _within(grid, i, j, k):  # type: ignore[no-untyped-def]
    """As `grids.inside`, without branches."""
    low = (i >= 0) & (j >= 0) & (k >= 0)
    return low & (i <= grid.shape[0] - 1) & (j <= grid.shape[1] - 1) & (k <= grid.shape[2] - 1)


@numba.njit(inline="always")
def _voxels(grid, bricks, count, place, parts, kinds, within, words, shares):  # type: ignore[no-untyped-def]
    """HU and echo, the class, MIXED where the neighbours are of several, and the nearest voxel's word."""
    along_i, along_j = steps(grid)
    for p in range(count):
        x, y, z = place[0, p], place[1, p], place[2, p]
        within[p] = np.uint8(_within(grid, x, y, z))
        (i, u), (j, v), (k, w) = _split(x, grid.shape[0]), _split(y, grid.shape[1]), _split(z, grid.shape[2])
        i0, j0, k0 = places(i, j, k, along_i, along_j)
        i1, j1, k1 = places(i + 1, j + 1, k + 1, along_i, along_j)
        words[0, p], words[1, p], words[2, p], words[3, p] = i0 + j0 + k0, i1 - i0, j1 - j0, k1 - k0
        words[NEAREST, p] = (4 if x >= i + 0.5 else 0) + (2 if y >= j + 0.5 else 0) + (1 if z >= k + 0.5 else 0)
        shares[0, p], shares[1, p], shares[2, p] = u, v, w
    for p in range(count):
        ask(bricks, words[0, p], words[1, p], words[2, p], words[3, p])
    for p in range(count):
        here, di, dj, dk = words[0, p], words[1, p], words[2, p], words[3, p]
        u, v, w = shares[0, p], shares[1, p], shares[2, p]
        a000, a001 = word(bricks, here), word(bricks, here + dk)
        a010, a011 = word(bricks, here + dj), word(bricks, here + dj + dk)
        a100, a101 = word(bricks, here + di), word(bricks, here + di + dk)
        a110, a111 = word(bricks, here + di + dj), word(bricks, here + di + dj + dk)
        up = words[NEAREST, p]
        up_i, up_j, up_k = up >= 4, (up & 2) != 0, (up & 1) != 0
        a0 = (a011 if up_k else a010) if up_j else (a001 if up_k else a000)
        a1 = (a111 if up_k else a110) if up_j else (a101 if up_k else a100)
        words[0, p] = a1 if up_i else a0
        parts[HU, p] = _trilinear(
            hu_of(a000), hu_of(a001), hu_of(a010), hu_of(a011), hu_of(a100), hu_of(a101), hu_of(a110), hu_of(a111),
            u, v, w,
        )  # fmt: skip
        parts[ECHO, p] = a.ECHO_STEP * _trilinear(
            echo_of(a000), echo_of(a001), echo_of(a010), echo_of(a011),
            echo_of(a100), echo_of(a101), echo_of(a110), echo_of(a111), u, v, w,
        )  # fmt: skip
        other = (a000 ^ a001) | (a000 ^ a010) | (a000 ^ a011)
        other |= (a000 ^ a100) | (a000 ^ a101) | (a000 ^ a110) | (a000 ^ a111)
        kinds[p] = np.int32(class_of(a000)) if class_of(other) == 0 else np.int32(MIXED)


@numba.njit(inline="always")
def _noises(noise, count, place, words, shares, parts):  # type: ignore[no-untyped-def]
    """Four channels of the periodic tile, each at its scale, trilinear, of unit variance everywhere.

    A word of `noise` holds the four neighbours of a place that are across i: each place takes two.
    """
    for q in range(NOISES):
        for p in range(count):  # places first: one loop for both takes longer
            (i0, i1, u), (j, _, v), (k, _, w) = (
                wrapped(place[0, p] * SCALES[q]),
                wrapped(place[1, p] * SCALES[q]),
                wrapped(place[2, p] * SCALES[q]),
            )
            across = (q * TILE * TILE + j) * TILE + k
            words[0, p], words[1, p] = across + i0 * TILE * TILE, across + i1 * TILE * TILE
            shares[0, p], shares[1, p], shares[2, p] = u, v, w
        for p in range(count):
            prefetch.line_of(noise, words[0, p])
            prefetch.line_of(noise, words[1, p])
        for p in range(count):
            near, far = word(noise, words[0, p]), word(noise, words[1, p])
            u, v, w = shares[0, p], shares[1, p], shares[2, p]
            n00 = _level(near, 0) * (ONE - w) + _level(near, 1) * w
            n01 = _level(near, 2) * (ONE - w) + _level(near, 3) * w
            n10 = _level(far, 0) * (ONE - w) + _level(far, 1) * w
            n11 = _level(far, 2) * (ONE - w) + _level(far, 3) * w
            value = (n00 * (ONE - v) + n01 * v) * (ONE - u) + (n10 * (ONE - v) + n11 * v) * u
            parts[q, p] = value / (np.sqrt(spread_of(u) * spread_of(v) * spread_of(w)) * SCALE)


@numba.njit(inline="always")
def _level(four, which):  # type: ignore[no-untyped-def]
    return np.float32(np.int8(four >> (8 * which)))


@numba.njit(inline="always")
def _fading(grid, i, j, k, spacing):  # type: ignore[no-untyped-def]
    """Share of the scattering that is left at a fractional voxel, which may lie beyond the CT."""
    x, y, z = clamped(grid, i, j, k)
    beyond = abs(i - x) * spacing[0] + abs(j - y) * spacing[1] + abs(k - z) * spacing[2]
    return np.exp(-np.float32(beyond) / a.FADE)


@numba.njit(inline="always")
def _mix(grid, bricks, table, place, mixed, several, kinds, weights, rows):  # type: ignore[no-untyped-def]
    """Write the properties at places between several classes into their rows, over what is no air.

    Trilinear weights times how far each voxel's centre lies inside its class: half-way in the sum is the border.
    """
    along_i, along_j = steps(grid)
    for m in range(np.uintp(several)):
        p = np.uintp(np.uint32(mixed[m]))
        (i, u), (j, v), (k, w) = (
            _split(place[0, p], grid.shape[0]), _split(place[1, p], grid.shape[1]), _split(place[2, p], grid.shape[2]),
        )  # fmt: skip
        body = ZERO
        for corner in range(8):
            di, dj, dk = np.int32(corner >> 2), np.int32(corner >> 1 & 1), np.int32(corner & 1)
            i0, j0, k0 = places(i + di, j + dj, k + dk, along_i, along_j)
            value = word(bricks, i0 + j0 + k0)
            kind = np.int32(class_of(value))
            share = (u if di else ONE - u) * (v if dj else ONE - v) * (w if dk else ONE - w)
            share = share * border_of(value) if kind != a.AIR else ZERO
            body += share
            kinds[corner, m], weights[corner, m] = kind, share
        for corner in range(8):
            weights[corner, m] /= max(body, a.LEAST_BODY)
        weights[0, m] = weights[0, m] if body >= a.LEAST_BODY else NONE
    for m in range(np.uintp(several)):
        p = np.uintp(np.uint32(mixed[m]))
        for q in range(8):
            rows[p, q] = table[a.AIR, q] if weights[0, m] == NONE else ZERO
        for corner in range(8 if weights[0, m] != NONE else 0):
            kind, share = np.uintp(np.uint32(kinds[corner, m])), weights[corner, m]
            for q in range(8):
                rows[p, q] += share * table[kind, q]


@numba.njit(inline="always")
def _add(parts, rows, count, share, out, at):  # type: ignore[no-untyped-def]
    """Add one elevational plane to the maps; what was its echo becomes the level of its scatterers, dB."""
    for p in range(count):
        hu, level = parts[HU, p], parts[ECHO, p]
        firm = ONE + a.FIRM * max(level, ZERO)
        level += rows[p, COLUMNS.heterogeneity] * parts[PATCH, p]
        lesion = a.HU_TEXTURE * min(max(hu - rows[p, COLUMNS.hu], -a.TEXTURE_SPAN), a.TEXTURE_SPAN)
        bright = a.CLUSTER_GAIN * max(parts[CLUSTER, p] - a.CLUSTER_ONSET, ZERO)
        parts[ECHO, p] = level + rows[p, COLUMNS.organ] * (bright + lesion)
        out[IMPEDANCE, at + p] += share * rows[p, COLUMNS.impedance] * firm
        out[ATTENUATION, at + p] += share * rows[p, COLUMNS.attenuation]
        out[SPECULARITY, at + p] += share * rows[p, COLUMNS.specularity]
        out[LAYERING, at + p] += share * rows[p, COLUMNS.layering]
        out[VALUE, at + p] += share * hu
        part = share if (rows[p, COLUMNS.layering] > 0) & (parts[PRESENT, p] > 0) else ZERO
        parts[LAYERED, p] += part
        out[WARPED, at + p] += part * parts[WARP, p]
        out[STRANDED, at + p] += part * parts[STRAND, p]

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The anatomy along the scan lines: acoustic properties and scatterers.

Classes are looked up at the eight neighbouring voxels and their properties averaged with the trilinear weights,
so that borders are smooth although the label map is not. Air outside the body takes no part where there is tissue:
a share of it would make a layer of next to no impedance in the skin. Beyond the CT the tissue at its border goes on,
without an interface, and its scatterers fade.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from us_sim.core import tissue
from us_sim.core.compute.grids import by_axis, clamped, inside, mapped, nearest, trilinear
from us_sim.core.compute.kernels import kernel
from us_sim.core.geometry.transforms import Matrix, inverse
from us_sim.core.patient.surface import Skin
from us_sim.core.patient.volume import AIR_HU, CtVolume
from us_sim.core.sampling.reslice import THIN, Beam, block_of, blocks
from us_sim.core.sampling.scatterers import LOOKS, SCALE, SPACING, TILE, sample_scatterers, tile_from_ct
from us_sim.core.tissue import TissueClass

# float32 throughout: a Python float would turn the kernel's arithmetic into float64.
ZERO, ONE, NEPER = np.float32(0), np.float32(1), np.float32(np.log(10) / 20)
PATCH = SPACING / 3.0  # tile voxels to a voxel of heterogeneity: patches of 3 mm
WARP = SPACING / 24.0  # the same for the waviness of fascia, mm
STRAND = SPACING / 6.0  # the same for the length of strands in the body wall, mm
CLUSTER = SPACING / 1.9  # the same for bright clusters (small portal triads, septa), mm
CLUSTER_ONSET = np.float32(1.5)  # standard deviations of the noise above which a cluster shows
CLUSTER_GAIN = np.float32(7.0)  # dB to a standard deviation above the onset
HU_TEXTURE = np.float32(0.05)  # dB of backscatter to a HU off the class's median, so that lesions show
TEXTURE_SPAN = np.float32(60)  # HU
ECHO_STEP = np.float32(0.5)  # dB of `CtVolume.echo`
FIRM = np.float32(0.009)  # share of its impedance that tissue gains for each dB of echo: collagen is stiff
FADE = np.float32(6)  # mm beyond the CT over which scattering falls by a factor e
SKIN_RAMP = np.float32(0.5)  # mm over which scattering begins at the skin
NO_ECHO = np.zeros((0, 0, 0), np.int8)

Float = NDArray[np.float32]
Tissues = Mapping[TissueClass, tissue.Tissue]

# Columns of `property_table`; the last is the class's median HU in this patient, contrast agent included.
Properties = namedtuple("Properties", "impedance attenuation amplitude heterogeneity specularity layering organ hu")
MAPS = ("impedance", "attenuation", "specularity", "layering", "skin_distance", "warp", "strand", "hu")
IMPEDANCE, ATTENUATION, SPECULARITY, LAYERING, DISTANCE, WARPED, STRANDED, VALUE = range(len(MAPS))  # of the kernel
LEAST_BODY = np.float32(1e-3)  # share of the eight neighbours below which a place is air
LAYERED = (TissueClass.FAT, TissueClass.MUSCLE, TissueClass.SOFT)
ORGANS = (TissueClass.LIVER, TissueClass.KIDNEY, TissueClass.SPLEEN, TissueClass.PANCREAS, TissueClass.SOFT)
AIR = int(TissueClass.BACKGROUND)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Samples along scan lines, for B poses, L lines, S samples.

    Attributes:
        impedance: (B, L, S) MRayl.
        attenuation: (B, L, S) dB/(cm MHz).
        specularity: (B, L, S), 0 to 1.
        layering: (B, L, S), 0 to 1: share of fat, muscle and connective tissue, where fascia runs.
        skin_distance: (B, L, S) mm, negative inside the body.
        warp: (B, L, S) noise of 24 mm patches, fixed in the patient, about N(0, 1), of the
            elevational planes in which tissue is layered; 0 if none is.
        strand: (B, L, S) the same of 6 mm patches.
        scatter: (B, L, S, 2 LOOKS) scattered amplitude, real parts then imaginary parts of the looks;
            tissue of 0 dB has unit variance in each.
        hu, tissue: (B, L, S) float32 and uint8, as `reslice` gives them at these points.
    """

    impedance: Tensor
    attenuation: Tensor
    specularity: Tensor
    layering: Tensor
    skin_distance: Tensor
    warp: Tensor
    strand: Tensor
    scatter: Tensor
    hu: Tensor
    tissue: Tensor


def joined(parts: Sequence[Anatomy]) -> Anatomy:
    """Return the anatomy of all poses of the parts, in their order; a single part is not copied."""
    if len(parts) == 1:
        return parts[0]
    return Anatomy(*(torch.cat(maps) for maps in zip(*(vars(part).values() for part in parts), strict=True)))


def louder(anatomy: Anatomy, decibels: Tensor) -> Anatomy:
    """Return the anatomy with scatterers louder by (CLASS_COUNT,) dB for each class."""
    factor = (10 ** (decibels.double() / 20)).float().to(anatomy.scatter.device)[anatomy.tissue.long()]
    return replace(anatomy, scatter=anatomy.scatter * factor[..., None])


def property_table(volume: CtVolume, tissues: Tissues = tissue.TISSUES) -> Float:
    """Return (classes, columns) with the columns of `Properties`, of a volume and an acoustic table."""
    thinned = tuple(slice(None, None, max(1, n // 100)) for n in volume.hu.shape)
    hu, classes = volume.hu[thinned], volume.tissue[thinned]
    median = [float(np.median(hu[classes == i])) if (classes == i).any() else 0.0 for i in range(tissue.CLASS_COUNT)]
    ids, scatters = np.arange(tissue.CLASS_COUNT), tissue.column("scatterer_density", tissues) > 0
    columns = Properties(
        impedance=tissue.column("impedance", tissues),
        attenuation=tissue.column("attenuation", tissues),
        amplitude=10 ** (tissue.column("backscatter", tissues) / 20) * scatters,
        heterogeneity=tissue.column("heterogeneity", tissues),
        specularity=tissue.column("specularity", tissues),
        layering=np.isin(ids, LAYERED),
        organ=np.isin(ids, ORGANS),
        hu=np.array(median),
    )
    return np.ascontiguousarray(np.stack(columns, axis=-1), dtype=np.float32)


def sample_anatomy(
    volume: CtVolume,
    skin: Skin,
    table: Float,
    tile: NDArray[np.int8],
    points: Float,
    ct_from_probe: Matrix,
    beam: Beam = THIN,
) -> tuple[Float, ...]:
    """Sample the patient along scan lines on the CPU; returns the arrays of `Anatomy` in their order.

    Args:
        volume, skin: the patient.
        table: from `property_table`.
        tile: from `scatterer_tile`.
        points: (L, S, 3) mm in `probe`, or (B, L, S, 3) of each pose.
        ct_from_probe: (B, 4, 4) checked poses.
        beam: elevational offsets and weights.
    """
    shape = (len(ct_from_probe), *points.shape[-3:-1])
    maps, classes = np.empty((len(MAPS), *shape), np.float32), np.empty(shape, np.uint8)
    scatter = np.empty((*shape, 2 * LOOKS), np.float32)
    of_each = points.ndim == 4
    assert not of_each or len(points) == len(ct_from_probe), f"points of {len(points)} poses for {len(ct_from_probe)}"
    flat = by_axis(points, of_each=of_each)
    amplitudes = np.empty((len(beam[0]), classes.size), np.float32)
    echo = NO_ECHO if volume.echo is None else volume.echo
    voxel_from_ct, grid_from_ct = inverse(volume.ct_from_voxel), inverse(skin.ct_from_grid)
    matrices = voxel_from_ct @ ct_from_probe, tile_from_ct() @ ct_from_probe, grid_from_ct @ ct_from_probe
    out = maps.reshape(len(MAPS), -1), amplitudes, classes.reshape(-1)
    arrays = volume.hu, volume.tissue, echo, volume.spacing, table, tile, skin.distance
    _sample(*arrays, *matrices, flat, *beam, *out)
    sample_scatterers(tile, matrices[1], flat, beam[0], amplitudes, scatter.reshape(-1, 2 * LOOKS))
    *properties, hu = maps
    return (*properties, scatter, hu, classes)


@numba.njit(inline="always")
def _noise(tile, q, a, b, c):  # type: ignore[no-untyped-def]
    """Channel q of the periodic tile at fractional voxel (a, b, c), trilinear, of unit variance everywhere."""
    i, j, k = int(np.floor(a)), int(np.floor(b)), int(np.floor(c))
    u, v, w = np.float32(a - i), np.float32(b - j), np.float32(c - k)
    i0, j0, k0 = i & (TILE - 1), j & (TILE - 1), k & (TILE - 1)
    i1, j1, k1 = (i + 1) & (TILE - 1), (j + 1) & (TILE - 1), (k + 1) & (TILE - 1)
    n00 = tile[i0, j0, k0, q] * (ONE - w) + tile[i0, j0, k1, q] * w
    n01 = tile[i0, j1, k0, q] * (ONE - w) + tile[i0, j1, k1, q] * w
    n10 = tile[i1, j0, k0, q] * (ONE - w) + tile[i1, j0, k1, q] * w
    n11 = tile[i1, j1, k0, q] * (ONE - w) + tile[i1, j1, k1, q] * w
    value = (n00 * (ONE - v) + n01 * v) * (ONE - u) + (n10 * (ONE - v) + n11 * v) * u
    variance = (u * u + (ONE - u) * (ONE - u)) * (v * v + (ONE - v) * (ONE - v)) * (w * w + (ONE - w) * (ONE - w))
    return value / (np.sqrt(variance) * SCALE)


@numba.njit(inline="always")
def _fading(grid, a, b, c, spacing):  # type: ignore[no-untyped-def]
    """Share of the scattering that is left at a fractional voxel, which may lie beyond the CT."""
    i, j, k = clamped(grid, a, b, c)
    beyond = abs(a - i) * spacing[0] + abs(b - j) * spacing[1] + abs(c - k) * spacing[2]
    return np.exp(-np.float32(beyond) / FADE)


@kernel
def _sample(  # type: ignore[no-untyped-def]
    hu,
    tissue,
    echo,
    spacing,
    table,
    tile,
    distance,
    voxel_from_probe,
    tile_from_probe,
    grid_from_probe,
    points,
    offsets,
    weights,
    out,
    amplitudes,
    classes,
):
    size = points.shape[2]
    for r in numba.prange(len(voxel_from_probe) * blocks(size)):
        n, start, stop = block_of(r, size)
        own = n if len(points) > 1 else 0
        for p in range(start, stop):
            at, x, height, z = n * size + p, points[own, 0, p], points[own, 1, p], points[own, 2, p]
            impedance = attenuation = specularity = layering = warp = strand = mean_hu = layered = ZERO
            a, b, c = mapped(grid_from_probe, n, x, height, z)
            a, b, c = clamped(distance, a, b, c)
            skin_distance = trilinear(distance, a, b, c, np.float32)
            in_skin = min(max(-skin_distance / SKIN_RAMP, ZERO), ONE)
            for plane in range(len(offsets)):
                y, share = height + offsets[plane], weights[plane]
                a, b, c = mapped(voxel_from_probe, n, x, y, z)
                within = inside(hu, a, b, c)
                present = share * in_skin * (ONE if within else _fading(hu, a, b, c, spacing))
                a, b, c = clamped(hu, a, b, c)
                value = trilinear(hu, a, b, c, np.float32)
                has = _properties(tissue, table, a, b, c)
                level = ECHO_STEP * trilinear(echo, a, b, c, np.float32) if len(echo) else ZERO
                firm = ONE + FIRM * max(level, ZERO)
                a, b, c = mapped(tile_from_probe, n, x, y, z)
                if has.heterogeneity > 0 and present > 0:
                    level += has.heterogeneity * _noise(tile, 0, a * PATCH, b * PATCH, c * PATCH)
                if has.organ > 0 and present > 0:
                    cluster = _noise(tile, 1, a * CLUSTER, b * CLUSTER, c * CLUSTER)
                    lesion = HU_TEXTURE * min(max(value - has.hu, -TEXTURE_SPAN), TEXTURE_SPAN)
                    level += has.organ * (CLUSTER_GAIN * max(cluster - CLUSTER_ONSET, ZERO) + lesion)
                impedance += share * has.impedance * firm
                attenuation += share * has.attenuation
                specularity += share * has.specularity
                layering += share * has.layering
                mean_hu += share * (value if within else np.float32(AIR_HU))
                if has.layering > 0 and present > 0:
                    layered += share
                    warp += share * _noise(tile, 2, a * WARP, b * WARP, c * WARP)
                    strand += share * _noise(tile, 3, a * STRAND, b * STRAND, c * STRAND)
                amplitude = present * has.amplitude
                amplitudes[plane, at] = amplitude * np.exp(level * NEPER) if amplitude > 0 else ZERO
            if layered > 0:
                warp, strand = warp / layered, strand / layered
            out[IMPEDANCE, at], out[ATTENUATION, at] = impedance, attenuation
            out[SPECULARITY, at], out[LAYERING, at], out[DISTANCE, at] = specularity, layering, skin_distance
            out[WARPED, at], out[STRANDED, at], out[VALUE, at] = warp, strand, mean_hu
            a, b, c = mapped(voxel_from_probe, n, x, height, z)
            classes[at] = nearest(tissue, a, b, c)


@numba.njit(inline="always")
def _row(table, t):  # type: ignore[no-untyped-def]
    """The properties of class t."""
    return Properties(
        table[t, 0], table[t, 1], table[t, 2], table[t, 3], table[t, 4], table[t, 5], table[t, 6], table[t, 7]
    )


@numba.njit(inline="always")
def _plus(total, weight, row):  # type: ignore[no-untyped-def]
    """Properties plus so much of others."""
    return Properties(
        total.impedance + weight * row.impedance,
        total.attenuation + weight * row.attenuation,
        total.amplitude + weight * row.amplitude,
        total.heterogeneity + weight * row.heterogeneity,
        total.specularity + weight * row.specularity,
        total.layering + weight * row.layering,
        total.organ + weight * row.organ,
        total.hu + weight * row.hu,
    )


@numba.njit(inline="always")
def _properties(tissue, table, a, b, c):  # type: ignore[no-untyped-def]
    """The properties at a fractional voxel, trilinear over what is no air; inside one class they are its own."""
    # Unsigned, as in `trilinear`.
    i = np.uintp(min(int(a), tissue.shape[0] - 2))
    j = np.uintp(min(int(b), tissue.shape[1] - 2))
    k = np.uintp(min(int(c), tissue.shape[2] - 2))
    t = tissue[i, j, k]
    mixed = False
    for di in range(np.uintp(2)):
        for dj in range(np.uintp(2)):
            mixed |= (tissue[i + di, j + dj, k] != t) | (tissue[i + di, j + dj, k + np.uintp(1)] != t)
    if not mixed:
        return _row(table, t)
    u, v, w = np.float32(a - np.float64(i)), np.float32(b - np.float64(j)), np.float32(c - np.float64(k))
    body = ZERO
    for di in range(np.uintp(2)):
        for dj in range(np.uintp(2)):
            for dk in range(np.uintp(2)):
                if tissue[i + di, j + dj, k + dk] != AIR:
                    body += (u if di else ONE - u) * (v if dj else ONE - v) * (w if dk else ONE - w)
    if body < LEAST_BODY:
        return _row(table, AIR)
    total = Properties(ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO)
    for di in range(np.uintp(2)):
        for dj in range(np.uintp(2)):
            for dk in range(np.uintp(2)):
                t = tissue[i + di, j + dj, k + dk]
                if t != AIR:
                    weight = (u if di else ONE - u) * (v if dj else ONE - v) * (w if dk else ONE - w)
                    total = _plus(total, weight / body, _row(table, t))
    return total

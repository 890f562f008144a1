"""The anatomy as sound meets it: acoustic properties and scatterers sampled along the scan lines.

Classes are looked up at the eight neighbouring voxels and their properties averaged with the trilinear weights,
so that borders are smooth although the label map is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from us_sim.core import tissue
from us_sim.core.compute.kernels import kernel
from us_sim.core.geometry.transforms import Matrix, inverse
from us_sim.core.patient.surface import Skin
from us_sim.core.patient.volume import AIR_HU, CtVolume
from us_sim.core.sampling.reslice import THIN, Beam, inside, mapped, nearest, trilinear
from us_sim.core.sampling.scatterers import LOOKS, SCALE, TILE, tile_from_ct
from us_sim.core.tissue import TissueClass

# float32 throughout: a Python float would turn the kernel's arithmetic into float64.
ZERO, ONE, NEPER = np.float32(0), np.float32(1), np.float32(np.log(10) / 20)
PATCH = 1 / 4  # tile voxels to a voxel of heterogeneity: patches of 3 mm
WARP = 1 / 32  # the same for the waviness of fascia: 24 mm
CLUSTER = 1 / 2.5  # the same for bright clusters (small portal triads, septa): 1.9 mm
CLUSTER_ONSET = np.float32(1.5)  # standard deviations of the noise above which a cluster shows
CLUSTER_GAIN = np.float32(7.0)  # dB to a standard deviation above the onset
HU_TEXTURE = np.float32(0.05)  # dB of backscatter to a HU off the class's median, so that lesions show
TEXTURE_SPAN = np.float32(60)  # HU
ECHO_STEP = np.float32(0.5)  # dB of `CtVolume.echo`
NO_ECHO = np.zeros((0, 0, 0), np.int8)

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What lies along scan lines, for B poses, L lines, S samples.

    Attributes:
        impedance: (B, L, S) MRayl.
        attenuation: (B, L, S) dB/(cm MHz).
        specularity: (B, L, S), 0 to 1.
        layering: (B, L, S), 0 to 1: share of fat, muscle and connective tissue, where fascia runs.
        skin_distance: (B, L, S) mm, negative inside the body.
        warp: (B, L, S) noise of 24 mm patches, fixed in the patient, about N(0, 1), of the
            elevational planes in which tissue is layered; 0 if none is.
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
    scatter: Tensor
    hu: Tensor
    tissue: Tensor


def joined(parts: Sequence[Anatomy]) -> Anatomy:
    """Return the anatomy of all poses of the parts, in their order; a single part is not copied."""
    if len(parts) == 1:
        return parts[0]
    return Anatomy(*(torch.cat(maps) for maps in zip(*(vars(part).values() for part in parts), strict=True)))


def property_table(volume: CtVolume) -> Float:
    """Return (classes, 8): impedance, attenuation, amplitude, heterogeneity, specularity, layering, organ, HU.

    The last column is the class's median HU in this patient, contrast agent included.
    """
    thinned = tuple(slice(None, None, max(1, n // 100)) for n in volume.hu.shape)
    hu, classes = volume.hu[thinned], volume.tissue[thinned]
    median = [float(np.median(hu[classes == i])) if (classes == i).any() else 0.0 for i in range(tissue.CLASS_COUNT)]
    ids = np.arange(tissue.CLASS_COUNT)
    layering = np.isin(ids, (TissueClass.FAT, TissueClass.MUSCLE, TissueClass.SOFT))
    organ = np.isin(ids, (TissueClass.LIVER, TissueClass.KIDNEY, TissueClass.SPLEEN, TissueClass.PANCREAS,
                          TissueClass.SOFT))  # fmt: skip
    amplitude = 10 ** (tissue.column("backscatter") / 20) * (tissue.column("scatterer_density") > 0)
    columns = (
        tissue.column("impedance"),
        tissue.column("attenuation"),
        amplitude,
        tissue.column("heterogeneity"),
        tissue.column("specularity"),
        layering,
        organ,
        median,
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
        points: (L, S, 3) mm in `probe`.
        ct_from_probe: (B, 4, 4) checked poses.
        beam: elevational offsets and weights.
    """
    shape = (len(ct_from_probe), *points.shape[:2])
    maps, classes = np.empty((7, *shape), np.float32), np.empty(shape, np.uint8)
    scatter = np.empty((*shape, 2 * LOOKS), np.float32)
    flat = points.reshape(-1, 3)
    amplitudes = np.empty((len(beam[0]), len(flat)), np.float32)
    echo = NO_ECHO if volume.echo is None else volume.echo
    voxel_from_ct, grid_from_ct = inverse(volume.ct_from_voxel), inverse(skin.ct_from_grid)
    for b, pose in enumerate(ct_from_probe):
        matrices = voxel_from_ct @ pose, tile_from_ct() @ pose, grid_from_ct @ pose
        out = maps[:, b].reshape(7, -1), amplitudes, classes[b].reshape(-1)
        _sample(volume.hu, volume.tissue, echo, table, tile, skin.distance, *matrices, flat, *beam, *out)
        _scatter(tile, matrices[1], flat, beam[0], amplitudes, scatter[b].reshape(-1, 2 * LOOKS))
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
def _clamped(grid, a, b, c):  # type: ignore[no-untyped-def]
    """Trilinear sample of a grid at the nearest point inside it."""
    a = min(max(a, 0.0), grid.shape[0] - 1.001)
    b = min(max(b, 0.0), grid.shape[1] - 1.001)
    c = min(max(c, 0.0), grid.shape[2] - 1.001)
    i, j, k = int(a), int(b), int(c)
    u, v, w = np.float32(a - i), np.float32(b - j), np.float32(c - k)
    g00 = grid[i, j, k] * (ONE - w) + grid[i, j, k + 1] * w
    g01 = grid[i, j + 1, k] * (ONE - w) + grid[i, j + 1, k + 1] * w
    g10 = grid[i + 1, j, k] * (ONE - w) + grid[i + 1, j, k + 1] * w
    g11 = grid[i + 1, j + 1, k] * (ONE - w) + grid[i + 1, j + 1, k + 1] * w
    return (g00 * (ONE - v) + g01 * v) * (ONE - u) + (g10 * (ONE - v) + g11 * v) * u


@kernel
def _sample(  # type: ignore[no-untyped-def]
    hu,
    tissue,
    echo,
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
    for p in numba.prange(points.shape[0]):
        x, z = points[p, 0], points[p, 2]
        for column in range(7):
            out[column, p] = 0
        layered = ZERO
        for plane in range(len(offsets)):
            y, share = points[p, 1] + offsets[plane], weights[plane]
            a, b, c = mapped(voxel_from_probe, x, y, z)
            if not inside(hu, a, b, c):
                amplitudes[plane, p] = 0
                out[0, p] += share * table[0, 0]
                out[1, p] += share * table[0, 1]
                out[2, p] += share * table[0, 4]
                out[6, p] += share * np.float32(AIR_HU)
                continue
            value = trilinear(hu, a, b, c)
            impedance, attenuation, amplitude, variability, specularity, layering, organ, usual = _properties(
                tissue, table, a, b, c
            )
            level = ECHO_STEP * trilinear(echo, a, b, c) if len(echo) else ZERO
            a, b, c = mapped(tile_from_probe, x, y, z)
            if variability > 0:
                level += variability * _noise(tile, 0, a * PATCH, b * PATCH, c * PATCH)
            if organ > 0:
                cluster = _noise(tile, 1, a * CLUSTER, b * CLUSTER, c * CLUSTER)
                lesion = HU_TEXTURE * min(max(value - usual, -TEXTURE_SPAN), TEXTURE_SPAN)
                level += organ * (CLUSTER_GAIN * max(cluster - CLUSTER_ONSET, ZERO) + lesion)
            out[0, p] += share * impedance
            out[1, p] += share * attenuation
            out[2, p] += share * specularity
            out[3, p] += share * layering
            out[6, p] += share * value
            if layering > 0:
                layered += share
                out[5, p] += share * _noise(tile, 2, a * WARP, b * WARP, c * WARP)
            amplitudes[plane, p] = share * amplitude * np.exp(level * NEPER) if amplitude > 0 else ZERO
        if layered > 0:
            out[5, p] /= layered
        a, b, c = mapped(voxel_from_probe, x, points[p, 1], z)
        classes[p] = nearest(tissue, a, b, c)
        a, b, c = mapped(grid_from_probe, x, points[p, 1], z)
        out[4, p] = _clamped(distance, a, b, c)


@numba.njit(inline="always")
def _properties(tissue, table, a, b, c):  # type: ignore[no-untyped-def]
    """The row of `property_table` at a fractional voxel, trilinear; inside one class it is that class's own."""
    i, j, k = min(int(a), tissue.shape[0] - 2), min(int(b), tissue.shape[1] - 2), min(int(c), tissue.shape[2] - 2)
    t = tissue[i, j, k]
    mixed = False
    for di in range(2):
        for dj in range(2):
            mixed |= (tissue[i + di, j + dj, k] != t) | (tissue[i + di, j + dj, k + 1] != t)
    if not mixed:
        return table[t, 0], table[t, 1], table[t, 2], table[t, 3], table[t, 4], table[t, 5], table[t, 6], table[t, 7]
    u, v, w = np.float32(a - i), np.float32(b - j), np.float32(c - k)
    r0 = r1 = r2 = r3 = r4 = r5 = r6 = r7 = ZERO
    for di in range(2):
        for dj in range(2):
            for dk in range(2):
                weight = (u if di else ONE - u) * (v if dj else ONE - v) * (w if dk else ONE - w)
                t = tissue[i + di, j + dj, k + dk]
                r0 += weight * table[t, 0]
                r1 += weight * table[t, 1]
                r2 += weight * table[t, 2]
                r3 += weight * table[t, 3]
                r4 += weight * table[t, 4]
                r5 += weight * table[t, 5]
                r6 += weight * table[t, 6]
                r7 += weight * table[t, 7]
    return r0, r1, r2, r3, r4, r5, r6, r7


@kernel
def _scatter(tile, tile_from_probe, points, offsets, amplitudes, scatter):  # type: ignore[no-untyped-def]
    """What scatters at each point; apart from `_sample`, whose loop would be too long to be vectorised."""
    for p in numba.prange(points.shape[0]):
        for q in range(2 * LOOKS):
            scatter[p, q] = 0
        for plane in range(len(offsets)):
            a, b, c = mapped(tile_from_probe, points[p, 0], points[p, 1] + offsets[plane], points[p, 2])
            if amplitudes[plane, p] > 0:
                _add_scatter(tile, a, b, c, amplitudes[plane, p], scatter, p)


@numba.njit(inline="always")
def _add_scatter(tile, a, b, c, amplitude, scatter, p):  # type: ignore[no-untyped-def]
    """Add all channels of the tile at (a, b, c): the corners' weights are shared, so this beats `_noise`."""
    i, j, k = int(np.floor(a)), int(np.floor(b)), int(np.floor(c))
    u, v, w = np.float32(a - i), np.float32(b - j), np.float32(c - k)
    i0, j0, k0 = i & (TILE - 1), j & (TILE - 1), k & (TILE - 1)
    i1, j1, k1 = (i + 1) & (TILE - 1), (j + 1) & (TILE - 1), (k + 1) & (TILE - 1)
    variance = (u * u + (ONE - u) * (ONE - u)) * (v * v + (ONE - v) * (ONE - v)) * (w * w + (ONE - w) * (ONE - w))
    gain = amplitude / (np.sqrt(variance) * SCALE)
    w00, w01 = (ONE - u) * (ONE - v) * gain, (ONE - u) * v * gain
    w10, w11 = u * (ONE - v) * gain, u * v * gain
    for q in range(2 * LOOKS):
        near = w00 * tile[i0, j0, k0, q] + w01 * tile[i0, j1, k0, q]
        near += w10 * tile[i1, j0, k0, q] + w11 * tile[i1, j1, k0, q]
        far = w00 * tile[i0, j0, k1, q] + w01 * tile[i0, j1, k1, q]
        far += w10 * tile[i1, j0, k1, q] + w11 * tile[i1, j1, k1, q]
        scatter[p, q] += (ONE - w) * near + w * far

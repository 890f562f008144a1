"""Reslice: HU by trilinear interpolation and tissue classes by nearest neighbour, at any pose.

The volume stays in its own voxel grid. Points in `probe` go to voxels by one 4×4 product,

    voxel_from_probe = voxel_from_ct @ ct_from_probe,

computed in float64. Outside the box of voxel centres there is air. A thick slice is the weighted mean of
planes shifted along the elevation (y of `probe`); its classes are those of the central plane.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from us_sim.core.compute.kernels import kernel
from us_sim.core.geometry.transforms import Matrix, check_pose, inverse
from us_sim.core.patient.volume import AIR_HU, CtVolume

Beam = tuple[NDArray[np.float64], NDArray[np.float32]]

NEXT = np.uintp(1)

THIN: Beam = (np.zeros(1), np.ones(1, np.float32))


def elevation_beam(thickness: float, planes: int) -> Beam:
    """Return offsets along the elevation, (N,) mm, and weights, (N,) of sum 1, of a raised-cosine beam.

    Args:
        thickness: full width of the beam at half its maximum, mm; it reaches zero `thickness` from the centre.
        planes: N; 1 gives the thin central plane.
    """
    if planes == 1:
        return THIN
    offsets = thickness * (2 * (np.arange(planes) + 0.5) / planes - 1)
    weights = np.cos(0.5 * np.pi * offsets / thickness) ** 2 if thickness > 0 else np.ones(planes)
    return offsets, (weights / weights.sum()).astype(np.float32)


def reslice(
    volume: CtVolume, points: NDArray[np.float32], ct_from_probe: ArrayLike, beam: Beam = THIN
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Sample the CT at points that are fixed to the probe.

    Args:
        volume: the patient.
        points: (..., 3) mm in `probe`.
        ct_from_probe: (4, 4) pose, or (B, 4, 4) for a batch.
        beam: elevational offsets and weights from `elevation_beam`.

    Returns:
        HU, (...) float32, and classes, (...) uint8, of the points' shape, with a leading B for a batch.

    Raises:
        PoseError: a pose is not finite and rigid.
    """
    voxel_from_probe, flat, shape = _prepared(volume, points, ct_from_probe)
    hu = np.empty((len(voxel_from_probe), len(flat)), np.float32)
    tissue = np.empty(hu.shape, np.uint8)
    for matrix, hu_of_pose, tissue_of_pose in zip(voxel_from_probe, hu, tissue, strict=True):
        if beam is THIN:
            _thin(volume.hu, volume.tissue, matrix, flat, hu_of_pose, tissue_of_pose)
        else:
            _thick(volume.hu, volume.tissue, matrix, flat, *beam, hu_of_pose, tissue_of_pose)
    return hu.reshape(shape), tissue.reshape(shape)


def nearest_classes(volume: CtVolume, points: NDArray[np.float32], ct_from_probe: ArrayLike) -> NDArray[np.uint8]:
    """Return the classes of `reslice` alone; arguments, shapes and errors are the same."""
    voxel_from_probe, flat, shape = _prepared(volume, points, ct_from_probe)
    tissue = np.empty((len(voxel_from_probe), len(flat)), np.uint8)
    for matrix, tissue_of_pose in zip(voxel_from_probe, tissue, strict=True):
        _nearest(volume.tissue, matrix, flat, tissue_of_pose)
    return tissue.reshape(shape)


def _prepared(
    volume: CtVolume, points: NDArray[np.float32], ct_from_probe: ArrayLike
) -> tuple[Matrix, NDArray[np.float32], tuple[int, ...]]:
    """Return (B, 4, 4) matrices from mm in `probe` to voxels, (N, 3) points, and the shape of what is sampled."""
    poses = check_pose(ct_from_probe)
    flat = np.ascontiguousarray(points, dtype=np.float32).reshape(-1, 3)
    shape = poses.shape[:-2] + points.shape[:-1]
    return inverse(volume.ct_from_voxel) @ poses.reshape(-1, 4, 4), flat, shape


@numba.njit(inline="always")
def mapped(m, x, y, z):  # type: ignore[no-untyped-def]
    """A point through a (4, 4) matrix, inside a compiled loop."""
    return (
        m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3],
        m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3],
        m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3],
    )


@numba.njit(inline="always")
def inside(hu, a, b, c):  # type: ignore[no-untyped-def]
    """Whether a fractional voxel lies in the box of voxel centres, inside a compiled loop."""
    # Written so that NaN counts as outside.
    low = a >= 0 and b >= 0 and c >= 0
    return low and a <= hu.shape[0] - 1 and b <= hu.shape[1] - 1 and c <= hu.shape[2] - 1


@numba.njit(inline="always")
def trilinear(hu, a, b, c):  # type: ignore[no-untyped-def]
    """HU at a fractional voxel inside the box, inside a compiled loop."""
    # Unsigned, or each access would ask whether an index counts from the end: a fifth of the time.
    i = np.uintp(min(int(a), hu.shape[0] - 2))
    j = np.uintp(min(int(b), hu.shape[1] - 2))
    k = np.uintp(min(int(c), hu.shape[2] - 2))
    i1, j1, k1 = i + NEXT, j + NEXT, k + NEXT
    u, v, w = np.float32(a - np.float64(i)), np.float32(b - np.float64(j)), np.float32(c - np.float64(k))
    h00 = hu[i, j, k] + w * (np.float32(hu[i, j, k1]) - hu[i, j, k])
    h01 = hu[i, j1, k] + w * (np.float32(hu[i, j1, k1]) - hu[i, j1, k])
    h10 = hu[i1, j, k] + w * (np.float32(hu[i1, j, k1]) - hu[i1, j, k])
    h11 = hu[i1, j1, k] + w * (np.float32(hu[i1, j1, k1]) - hu[i1, j1, k])
    h0, h1 = h00 + v * (h01 - h00), h10 + v * (h11 - h10)
    return h0 + u * (h1 - h0)


@numba.njit(inline="always")
def nearest(tissue, a, b, c):  # type: ignore[no-untyped-def]
    """Class of the nearest voxel, background outside the box, inside a compiled loop."""
    if inside(tissue, a, b, c):
        return tissue[np.uintp(int(a + 0.5)), np.uintp(int(b + 0.5)), np.uintp(int(c + 0.5))]
    return np.uint8(0)


@kernel
def _nearest(tissue, voxel_from_probe, points, out):  # type: ignore[no-untyped-def]
    for p in numba.prange(points.shape[0]):
        a, b, c = mapped(voxel_from_probe, points[p, 0], points[p, 1], points[p, 2])
        out[p] = nearest(tissue, a, b, c)


@kernel
def _thin(hu, tissue, voxel_from_probe, points, out_hu, out_tissue):  # type: ignore[no-untyped-def]
    for p in numba.prange(points.shape[0]):
        a, b, c = mapped(voxel_from_probe, points[p, 0], points[p, 1], points[p, 2])
        out_hu[p] = trilinear(hu, a, b, c) if inside(hu, a, b, c) else np.float32(AIR_HU)
        out_tissue[p] = nearest(tissue, a, b, c)


@kernel
def _thick(  # type: ignore[no-untyped-def]
    hu, tissue, voxel_from_probe, points, offsets, weights, out_hu, out_tissue
):
    for p in numba.prange(points.shape[0]):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        value = np.float32(0)
        for plane in range(len(offsets)):
            a, b, c = mapped(voxel_from_probe, x, y + offsets[plane], z)
            value += weights[plane] * (trilinear(hu, a, b, c) if inside(hu, a, b, c) else np.float32(AIR_HU))
        out_hu[p] = value
        a, b, c = mapped(voxel_from_probe, x, y, z)
        out_tissue[p] = nearest(tissue, a, b, c)

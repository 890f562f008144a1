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

from us_sim.core.compute.grids import inside, mapped, nearest, trilinear
from us_sim.core.compute.kernels import kernel
from us_sim.core.geometry.transforms import Matrix, check_pose, inverse
from us_sim.core.patient.volume import AIR_HU, CtVolume

Beam = tuple[NDArray[np.float64], NDArray[np.float32]]

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


@kernel
def _nearest(tissue, voxel_from_probe, points, out):  # type: ignore[no-untyped-def]
    for p in numba.prange(points.shape[0]):
        a, b, c = mapped(voxel_from_probe, points[p, 0], points[p, 1], points[p, 2])
        out[p] = nearest(tissue, a, b, c)


@kernel
def _thin(hu, tissue, voxel_from_probe, points, out_hu, out_tissue):  # type: ignore[no-untyped-def]
    for p in numba.prange(points.shape[0]):
        a, b, c = mapped(voxel_from_probe, points[p, 0], points[p, 1], points[p, 2])
        out_hu[p] = trilinear(hu, a, b, c, np.float32) if inside(hu, a, b, c) else np.float32(AIR_HU)
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
            value += weights[plane] * (
                trilinear(hu, a, b, c, np.float32) if inside(hu, a, b, c) else np.float32(AIR_HU)
            )
        out_hu[p] = value
        a, b, c = mapped(voxel_from_probe, x, y, z)
        out_tissue[p] = nearest(tissue, a, b, c)

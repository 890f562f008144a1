"""Scatterers fixed in the patient: a tile of complex Gaussian noise that repeats through `ct`.

Each voxel of the tile holds the complex amplitudes of `LOOKS` independent looks. Sampled at points of the
patient it moves with the tissue: the probe that leaves and comes back finds the same scatterers. The tile lies
obliquely in `ct`, so that no slice along an anatomical plane meets its period of 64 mm.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from us_sim.core.geometry.transforms import Matrix, rotation_from_quaternion

LOOKS = 6  # independent looks in the compounded real frames, from the grey SD of their liver
TILE = 128  # voxels along each axis, a power of two
SPACING = 0.5  # mm; with the trilinear kernel and the pulse the axial grain of the real frames
SCALE = np.float32(32)  # int8 steps to a standard deviation


@lru_cache(maxsize=2)
def scatterer_tile(seed: int) -> NDArray[np.int8]:
    """Return (TILE, TILE, TILE, 2 LOOKS) int8: real parts of all looks, then imaginary parts, SD `SCALE`."""
    noise = np.random.default_rng(seed).standard_normal((TILE, TILE, TILE, 2 * LOOKS), dtype=np.float32)
    return np.clip(np.rint(noise * SCALE), -127, 127).astype(np.int8)


def tile_from_ct() -> Matrix:
    """Return the 4×4 from mm in `ct` to voxels of the tile."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_from_quaternion(0.31, 0.22, 0.47, 0.80) / SPACING
    return matrix

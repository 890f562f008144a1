# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The patient's skin as a signed distance, and skin and organs as triangle meshes for display.

The distance is made in three steps: the share of body in every cell of a grid (partial volumes from HU), a
slight blur, and the distance to the surface where half of a cell is body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import affine_transform, gaussian_filter
from scipy.spatial import cKDTree
from scipy.special import ndtri
from skimage.measure import marching_cubes

from us_sim.core.errors import PatientError
from us_sim.core.geometry.transforms import apply, inverse
from us_sim.core.patient import signed_distance
from us_sim.core.patient.volume import CtVolume
from us_sim.core.tissue import CLASS_COLORS, TissueClass

SPACING = 2.0  # mm, of the distance grid
MARGIN = 30.0  # mm of air around the body
BLUR = 2.0  # mm, standard deviation, more for thick slices; smooths voxel steps, moves a sphere in by BLUR²/R
MAX_NODES = 32_000_000  # a larger patient gets a coarser grid
SKIN_FACES, ORGAN_FACES = 50_000, 20_000

ORGANS = tuple(
    TissueClass[name] for name in ("LIVER", "KIDNEY", "SPLEEN", "PANCREAS", "VESSEL", "FLUID", "BONE", "LUNG")
)


@dataclass(frozen=True, eq=False)
class Skin:
    """Signed distance to the skin; where the CT cuts the body, the cut counts as skin.

    Attributes:
        distance: (X, Y, Z) float32 mm, C-contiguous, negative inside the body.
        ct_from_grid: (4, 4) grid index to mm in `ct`; pure scale and shift, the same scale on all axes.
    """

    distance: NDArray[np.float32]
    ct_from_grid: NDArray[np.float64]

    @property
    def spacing(self) -> float:
        """Edge of a grid cell, mm."""
        return float(self.ct_from_grid[0, 0])

    def distance_at(self, points_ct: ArrayLike) -> NDArray[np.float64]:
        """Return the (...) distance in mm at (..., 3) points in `ct`, mm, by trilinear interpolation.

        Outside the grid: the distance at the nearest point of the grid plus the way to it.
        """
        points = np.ascontiguousarray(points_ct, dtype=np.float64)
        flat = signed_distance.distance_at(self.distance, self.ct_from_grid, points.reshape(-1, 3))
        return flat.reshape(points.shape[:-1])

    def normal_at(self, points_ct: ArrayLike) -> NDArray[np.float64]:
        """Return the (..., 3) unit gradient, pointing out of the body, at (..., 3) points in `ct`, mm.

        It is zero where the gradient vanishes, as in the centre of a sphere.
        """
        points = np.ascontiguousarray(points_ct, dtype=np.float64)
        flat = signed_distance.normal_at(self.distance, self.ct_from_grid, points.reshape(-1, 3))
        return flat.reshape(points.shape)


# -- signed distance ------------------------------------------------------------------------------------


def skin_of(volume: CtVolume) -> Skin:
    """Return the skin of the body, which is every voxel that is not background.

    Raises:
        PatientError: all voxels are background.
    """
    share, ct_from_share = _body_share(volume)
    if not share.any():
        raise PatientError(f"{volume.name}: no voxel belongs to the body; expected a CT that shows a patient")
    first, last = _filled(share)
    low, high = _bounds(first - 0.5, last + 0.5, ct_from_share)
    low, size = low - MARGIN, high - low + 2 * MARGIN
    spacing = max(SPACING, float(np.cbrt(size.prod() / MAX_NODES)))
    ct_from_grid = np.diag([spacing, spacing, spacing, 1.0])
    ct_from_grid[:3, 3] = low
    shape = np.ceil(size / spacing).astype(int) + 1
    share_from_grid = inverse(ct_from_share) @ ct_from_grid
    on_grid = affine_transform(share, share_from_grid[:3, :3], share_from_grid[:3, 3], shape, order=1)
    blur = max(BLUR, 0.6 * float(volume.spacing.max()))
    blurred = gaussian_filter(on_grid, blur / spacing, mode="constant")
    distance = signed_distance.redistance(ndtri(blurred.clip(1e-6, 1 - 1e-6)))
    distance *= spacing
    return Skin(distance, ct_from_grid)


def _body_share(volume: CtVolume) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the share of body in blocks of voxels near SPACING in size, and `ct_from_block`."""
    block = np.maximum(1, (SPACING / volume.spacing + 1e-6).astype(int))
    blocks = -(-np.array(volume.tissue.shape) // block)
    share = np.zeros(blocks + 2, dtype=np.float32)
    signed_distance.share_of_blocks(volume.hu, volume.tissue, block[0], block[1], block[2], share)
    return share, volume.ct_from_voxel @ _index_from_block(block, 1)


def _index_from_block(block: NDArray[np.int_], before: int) -> NDArray[np.float64]:
    """Return the (4, 4) from block to voxel index where `before` empty blocks lie before the first voxel."""
    matrix = np.diag([*block.astype(float), 1.0])
    matrix[:3, 3] = (block - 1) / 2 - before * block
    return matrix


def _filled(values: NDArray) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return the first and last index, (3,) each, of the box around all values that are not 0."""
    along = [np.flatnonzero(values.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return np.array([a[0] for a in along]), np.array([a[-1] for a in along])


def _bounds(first: ArrayLike, last: ArrayLike, ct_from_index: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    """Return the smallest and largest corner in `ct` of a box given by two corners in index space."""
    box = np.stack([first, last])
    index = [[box[i, 0], box[j, 1], box[k, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    corners = apply(ct_from_index, index)
    return corners.min(axis=0), corners.max(axis=0)


# -- meshes ---------------------------------------------------------------------------------------------


def skin_mesh(skin: Skin) -> trimesh.Trimesh:
    """Return the skin as a closed mesh in `ct`, mm: largest body, under SKIN_FACES faces, normals outward.

    Raises:
        PatientError: the distance has no zero crossing.
    """
    if not (skin.distance < 0).any():
        raise PatientError("the skin's distance is nowhere negative; expected a body inside the grid")
    distance = np.where(skin.distance == 0, np.float32(1e-3), skin.distance)  # no triangles without area
    step = 1
    while True:
        ct_from_coarse = skin.ct_from_grid @ np.diag([step, step, step, 1.0])
        mesh = _isosurface(-distance[::step, ::step, ::step], 0.0, ct_from_coarse)
        mesh = max(mesh.split(only_watertight=False), key=lambda part: len(part.faces))
        if len(mesh.faces) < SKIN_FACES:
            return _smoothed(mesh)
        step += 1


def organ_meshes(volume: CtVolume) -> dict[TissueClass, trimesh.Trimesh]:
    """Return a mesh in `ct`, mm, under ORGAN_FACES faces, of each of ORGANS that the volume holds."""
    present = np.bincount(volume.tissue.ravel(), minlength=len(TissueClass)) > 0
    return {organ: _organ_mesh(volume, organ) for organ in ORGANS if present[organ]}


def _organ_mesh(volume: CtVolume, organ: TissueClass) -> trimesh.Trimesh:
    mask = volume.tissue == organ
    first, last = _filled(mask)
    mask = mask[first[0] : last[0] + 1, first[1] : last[1] + 1, first[2] : last[2] + 1]
    ct_from_mask = volume.ct_from_voxel.copy()
    ct_from_mask[:3, 3] = apply(volume.ct_from_voxel, first)
    size = SPACING
    while True:
        block = np.maximum(1, (size / volume.spacing + 0.5).astype(int))
        share = gaussian_filter(_block_mean(mask, block), 0.7)
        # The level that keeps the organ's volume: thin vessels and ribs outlast the blur.
        level = np.sort(share, axis=None)[-max(1, round(np.count_nonzero(mask) / block.prod()))]
        mesh = _isosurface(share, min(0.5, 0.99 * float(level)), ct_from_mask @ _index_from_block(block, 2))
        if len(mesh.faces) < ORGAN_FACES:
            mesh = _smoothed(mesh)
            mesh.visual.face_colors = [*CLASS_COLORS[organ], 255]
            return mesh
        size *= 1.25


def _block_mean(mask: NDArray[np.bool_], block: NDArray[np.int_]) -> NDArray[np.float32]:
    """Return the share of true voxels in blocks, with two empty blocks on all sides."""
    ends = [(2 * b, 2 * b + -n % b) for n, b in zip(mask.shape, block, strict=True)]
    padded = np.pad(mask, ends)
    counts = np.array(padded.shape) // block
    split = padded.reshape(counts[0], block[0], counts[1], block[1], counts[2], block[2])
    return split.mean(axis=(1, 3, 5), dtype=np.float32)


def _isosurface(values: NDArray, level: float, ct_from_index: NDArray[np.float64]) -> trimesh.Trimesh:
    """Return the closed surface around all values above the level, in `ct`, normals outward."""
    vertices, faces, _, _ = marching_cubes(values, level)
    mesh = trimesh.Trimesh(apply(ct_from_index, vertices), faces, process=True)
    if mesh.volume < 0:  # an affine that mirrors turns the triangles round
        mesh.invert()
    return mesh


def _smoothed(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Return the mesh after Taubin's smoothing, which does not shrink it (Taubin 1995, ICCV)."""
    return trimesh.smoothing.filter_taubin(mesh, lamb=0.5, nu=0.53, iterations=10)


def alignment_error(mesh: trimesh.Trimesh, volume: CtVolume) -> float:
    """Return how far skin mesh and body border lie apart, mm: the larger 95th percentile of both directions.

    The border is taken from the volume alone: middles of the faces between body voxels and background, mapped
    through the full affine. Distances run along the mesh's normals, so that the sampling of the two surfaces
    does not count; where the nearest point is farther than an edge of the mesh, the rest counts too.
    """
    border = _border_points(volume)
    edge = float(mesh.edges_unique_length.max())

    def apart(points: NDArray, vertices: NDArray[np.int_]) -> float:
        way = points - mesh.vertices[vertices]
        along = np.abs((way * mesh.vertex_normals[vertices]).sum(axis=-1))
        return float(np.percentile(np.maximum(along, np.linalg.norm(way, axis=-1) - edge), 95))

    _, nearest_border = cKDTree(border).query(mesh.vertices)
    _, nearest_vertex = cKDTree(mesh.vertices).query(border)
    return max(apart(border[nearest_border], np.arange(len(mesh.vertices))), apart(border, nearest_vertex))


def _border_points(volume: CtVolume, count: int = 50_000) -> NDArray[np.float64]:
    """Return at most `count` middles, (N, 3) mm in `ct`, of the faces between body and background."""
    body = np.pad(volume.tissue != TissueClass.BACKGROUND, 1)
    points = []
    for axis in range(3):
        faces = np.argwhere(np.diff(body, axis=axis)).astype(np.float64) - 1
        faces[:, axis] += 0.5
        points.append(faces)
    voxels = np.concatenate(points)
    picked = np.random.default_rng(0).permutation(len(voxels))[:count]  # an even stride misses whole faces
    return apply(volume.ct_from_voxel, voxels[picked])

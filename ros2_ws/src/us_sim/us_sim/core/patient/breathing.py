# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Breathing: organs slide towards the feet and rise a little with every breath; skin and bone stay.

The motion follows sin⁴ with a pause at end-expiration (Lujan et al. 1999, Med. Phys. 26, 715: cos²ⁿ, n about 2),
when the CT is taken to be made. Livers slide by 10 to 25 mm in quiet breathing and rise by a quarter of it, kidneys by
0.6 to 0.7 of the diaphragm (Song et al. 2011, PMC4539151): they lie closer to spine and ribs. The share of the whole
motion grows from 0 at skin and bone to 1 deep between them, so that organs slide past ribs, spine and body wall.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from us_sim.core.compute.grids import by_axis, classes_at, inside, mapped, trilinear
from us_sim.core.compute.kernels import kernel
from us_sim.core.compute.lattice import Lattice, blended, mapped_by
from us_sim.core.geometry.transforms import Matrix, apply, inverse
from us_sim.core.patient.surface import Skin
from us_sim.core.patient.volume import CtVolume
from us_sim.core.tissue import TissueClass

RISE = 0.25  # anterior over caudal motion
WAY = (0.0, RISE, -1.0)  # in `ct`, of what slides by 1 mm
UNDER_SKIN = (12.0, 45.0)  # mm below the skin between which the share grows from 0 to 1
FROM_BONE = (3.0, 30.0)  # mm from the nearest bone, likewise
SPACING = 5.0  # mm, at least, of the grid of shares


def phase_at(seconds: float, period: float) -> float:
    """Return the phase of the breath, 0 (end of expiration) to 1, at a time in s."""
    return math.fmod(seconds, period) / period


def inspired(phase: float) -> float:
    """Return the inspiration, 0 to 1, at a phase."""
    return math.sin(math.pi * phase) ** 4


@dataclass(frozen=True, eq=False)
class Mobility:
    """Fraction of the respiratory motion at each place.

    Attributes:
        share: (X, Y, Z) float32, 0 to 1.
        grid_from_ct: (4, 4) mm in `ct` to index.
    """

    share: NDArray[np.float32]
    grid_from_ct: Matrix
    _tensors: dict[torch.device, MobilityOnDevice] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        assert min(self.share.shape) >= 2, f"shares of shape {self.share.shape}; expected 2 or more along each axis"

    def source(self, points: Tensor, ct_from_probe: Matrix, caudal: float) -> Tensor:
        """Return where the tissue at points lay at the end of expiration.

        Args:
            points: (..., 3) float32 mm in `probe`.
            ct_from_probe: (4, 4) the pose, mm.
            caudal: mm by which what moves wholly has slid towards the feet.
        """
        pose = torch.from_numpy(np.ascontiguousarray(ct_from_probe, np.float64))[None].to(points.device)
        motion = torch.tensor([caudal], dtype=torch.float64).to(points.device)
        return self.sources(points[None], pose, motion)[0]

    def sources(self, points: Tensor, ct_from_probe: Tensor, caudal: Tensor) -> Tensor:
        """Return the same of a batch, (B, ..., 3), all of it on one device.

        Args:
            points: (B, ..., 3) float32 mm in `probe`, those of each pose.
            ct_from_probe: (B, 4, 4) float64 poses, mm.
            caudal: (B,) float64 motions, mm.
        """
        if points.device.type != "cpu":
            flat = points.reshape(len(caudal), -1, 3).contiguous()
            return self._on(points.device).breathe(ct_from_probe, caudal, flat).reshape(points.shape)
        poses = ct_from_probe.numpy()
        motion = caudal.numpy()[:, None] * (np.array(WAY) @ poses[:, :3, :3])
        still = by_axis(points.numpy(), of_each=True)
        out = torch.empty(len(points), 3, *points.shape[1:-1])
        _breathe(self.share, self.grid_from_ct @ poses, motion, still, out.numpy().reshape(still.shape))
        return out.movedim(1, -1)

    def _on(self, device: torch.device) -> MobilityOnDevice:
        if device not in self._tensors:
            self._tensors[device] = MobilityOnDevice(self, device)
        return self._tensors[device]


def mobility_of(volume: CtVolume, skin: Skin) -> Mobility:
    """Return the shares of a patient, on every n-th node of the skin's grid."""
    step = math.ceil(SPACING / skin.spacing)
    distance = skin.distance[::step, ::step, ::step]
    ct_from_grid = skin.ct_from_grid @ np.diag([step, step, step, 1.0])
    nodes = np.stack(np.meshgrid(*map(np.arange, distance.shape), indexing="ij"), axis=-1)
    bone = classes_at(volume.tissue, apply(inverse(volume.ct_from_voxel) @ ct_from_grid, nodes)) == TissueClass.BONE
    from_bone = step * skin.spacing * distance_transform_edt(~bone) if bone.any() else np.full(bone.shape, np.inf)
    share = _growing(-distance, *UNDER_SKIN) * _growing(from_bone, *FROM_BONE)
    mobility = Mobility(np.ascontiguousarray(share, dtype=np.float32), inverse(ct_from_grid))
    mobility.source(torch.zeros(1, 3), np.eye(4), 0.0)  # compiled now: no frame waits for it
    return mobility


def _growing(values: NDArray, low: float, high: float) -> NDArray:
    """0 below `low`, 1 above `high`, smooth in between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@kernel
def _breathe(share, m, motion, points, out):  # type: ignore[no-untyped-def]
    for r in numba.prange(points.shape[0] * points.shape[2]):
        n, p = r // points.shape[2], r % points.shape[2]
        x, y, z = points[n, 0, p], points[n, 1, p], points[n, 2, p]
        a, b, c = mapped(m, n, x, y, z)
        weight = trilinear(share, a, b, c, np.float64) if inside(share, a, b, c) else 0.0
        out[n, 0, p] = x - weight * motion[n, 0]
        out[n, 1, p] = y - weight * motion[n, 1]
        out[n, 2, p] = z - weight * motion[n, 2]


class MobilityOnDevice:
    """The shares of a patient on any torch device."""

    def __init__(self, mobility: Mobility, device: torch.device) -> None:
        self._lattice = Lattice(mobility.share.shape, device)
        self._share = torch.from_numpy(mobility.share).to(device).flatten()
        self._grid_from_ct = torch.from_numpy(mobility.grid_from_ct).to(device)
        self._way = torch.tensor(WAY, dtype=torch.float64).to(device)

    def breathe(self, ct_from_probe: Tensor, caudal: Tensor, points: Tensor) -> Tensor:
        """Return where the tissue at (B, N, 3) points lay; arguments as for `Mobility.sources`."""
        place = mapped_by(self._grid_from_ct @ ct_from_probe, points)
        weight = blended(self._share, *self._lattice.corners(self._lattice.kept(place))) * self._lattice.hold(place)
        motion = caudal[:, None] * (self._way @ ct_from_probe[:, :3, :3])
        return points - weight[..., None] * motion[:, None].float()

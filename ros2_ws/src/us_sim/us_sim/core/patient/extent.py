# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Where a CT ends: what lies beyond it is unknown, not air, and where it cuts the body there is no skin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from us_sim.core.compute.grids import mapped
from us_sim.core.compute.kernels import serial
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.grid import axial_axis

CUT = 0.02  # share of a face that is body from which on the face cuts it
SLACK = 1e-6  # voxels by which rounding may carry a point out of the box
_SIDES = (("left", "right"), ("back", "front"), ("feet", "head"))  # of growing x, y, z in `ct`


def unknown_fraction(
    shape: tuple[int, ...], voxel_from_probe: Matrix, points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the share of points that lie beyond the CT at each pose: beyond the box around all voxel centres.

    The same box in which a slice takes its values; the rest of a fan is unknown.

    Args:
        shape: of the CT, voxels.
        voxel_from_probe: (B, 4, 4) poses, mm to voxels.
        points: (N, 3) mm in `probe`.

    Returns:
        (B,) shares; 0 where there are no points.
    """
    known = np.zeros(len(voxel_from_probe))
    if not len(points):
        return known
    _count(np.array(shape) - 1 + SLACK, np.ascontiguousarray(voxel_from_probe), points, known)
    return 1 - known / len(points)


@serial
def _count(last, voxel_from_probe, points, known):  # type: ignore[no-untyped-def]
    """Count the points in the box."""
    for n in range(len(known)):
        for p in range(len(points)):
            i, j, k = mapped(voxel_from_probe, n, points[p, 0], points[p, 1], points[p, 2])
            low = (i >= -SLACK) & (j >= -SLACK) & (k >= -SLACK)  # False for NaN
            known[n] += 1.0 if low & (i <= last[0]) & (j <= last[1]) & (k <= last[2]) else 0.0


def cut_faces(body: NDArray[np.bool_], ct_from_voxel: Matrix) -> dict[str, float]:
    """Return the faces of the volume in which it cuts the body, by the side of the patient, with their share of body.

    Args:
        body: (I, J, K) mask.
        ct_from_voxel: (4, 4), voxel index to mm in `ct`.
    """
    found = {}
    for axis in range(3):
        direction = ct_from_voxel[:3, axis]
        along = int(np.abs(direction).argmax())
        low, high = _SIDES[along] if direction[along] > 0 else _SIDES[along][::-1]
        faces = np.moveaxis(body, axis, 0)
        for name, face in ((low, faces[0]), (high, faces[-1])):
            share = float(face.mean())
            if share > CUT:
                found[name] = share
    return found


def cut_warnings(body: NDArray[np.bool_], ct_from_voxel: Matrix) -> tuple[str, ...]:
    """Say at which sides a scan ends inside the body; not at head and feet, where every scan ends."""
    names = _SIDES[int(np.abs(ct_from_voxel[:3, axial_axis(ct_from_voxel)]).argmax())]
    cut = {name: share for name, share in cut_faces(body, ct_from_voxel).items() if name not in names}
    if not cut:
        return ()
    sides = ", ".join(f"{name} ({100 * share:.0f} %)" for name, share in cut.items())
    return (
        f"the CT ends inside the body at its {sides}: there is no skin there, so contact, force and demo "
        "motions are invalid at these sides, and what lies beyond the CT is unknown",
    )

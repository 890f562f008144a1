# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A frame as coloured points where its pixels lie in the patient: for rviz, which cannot show an image in space."""

from __future__ import annotations

import sys
from array import array
from functools import lru_cache

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix
from us_sim.ros.conversions import MM_PER_M

POINT = np.dtype([("x", np.float32), ("y", np.float32), ("z", np.float32), ("rgb", np.uint32)])
FIELDS = [
    PointField(name=name, offset=POINT.fields[name][1], count=1, datatype=kind)  # type: ignore[index]
    for name, kind in (
        ("x", PointField.FLOAT32),
        ("y", PointField.FLOAT32),
        ("z", PointField.FLOAT32),
        ("rgb", PointField.UINT32),
    )
]


def frame_cloud(
    image: NDArray[np.uint8], probe: ProbeGeometry, ct_from_probe: Matrix, ct_frame: str, stamp: Time
) -> PointCloud2:
    """Return the pixels in the fan as points in `ct`, m, row by row, each with its grey value as colour.

    Args:
        image: (H, W).
        probe: whose frame it is.
        ct_from_probe: (4, 4) mm.
        ct_frame: name of frame `ct`; points in it show without TF.
        stamp: of the pose.
    """
    inside, across, down = _fan(probe)
    points = np.empty(len(across), dtype=POINT)
    axes, origin = ct_from_probe[:3, :3] / MM_PER_M, ct_from_probe[:3, 3] / MM_PER_M
    for row, name in enumerate("xyz"):
        points[name] = origin[row] + axes[row, 0] * across + axes[row, 2] * down
    points["rgb"] = image[inside] * np.uint32(0x010101)
    return PointCloud2(
        header=Header(stamp=stamp, frame_id=ct_frame),
        height=1,
        width=len(points),
        fields=FIELDS,
        point_step=POINT.itemsize,
        row_step=points.nbytes,
        is_dense=True,
        is_bigendian=sys.byteorder == "big",
        data=array("B", points.tobytes()),
    )


@lru_cache(maxsize=4)
def _fan(probe: ProbeGeometry) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Mask of the fan (H, W), and x and z of its pixels in `probe`, (N,) mm."""
    inside = probe.fan_mask
    return inside, *probe.pixel_points[inside][:, [0, 2]].astype(np.float64).T

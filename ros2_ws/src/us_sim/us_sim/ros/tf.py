# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""TF where tf2_ros is installed. Without it poses are given in the patient's frame itself."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.time import Time as RosTime
from std_msgs.msg import Header

from us_sim.core.errors import PoseError
from us_sim.core.geometry.transforms import Matrix, rigid
from us_sim.ros.conversions import pose_matrix, transform_message
from us_sim.ros.poses import PendingError, RefusedError

MISSING = "tf2_ros is not installed for Python (apt: ros-$ROS_DISTRO-tf2-ros-py)"

PROBE_FROM_IMAGE = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # columns: x, z and -y of `probe`


def installed() -> bool:
    """Whether tf2_ros can be imported."""
    return find_spec("tf2_ros") is not None


class TransformTree:
    """Looks up and sends transforms. Without tf2_ros it knows `ct_frame` alone and sends nothing.

    The listener's callbacks run in the node's own executor, so a look-up never waits: it says "pending".
    """

    def __init__(self, node: Node, ct_frame: str, probe_frame: str) -> None:
        self._node, self._ct_frame, self._probe_frame = node, ct_frame, probe_frame
        self._tf2: Any = import_module("tf2_ros") if installed() else None
        if self._tf2 is not None:
            self._buffer = self._tf2.Buffer(node=node)
            self._listener = self._tf2.TransformListener(self._buffer, node)
            self._broadcaster = self._tf2.TransformBroadcaster(node)
            self._static = self._tf2.StaticTransformBroadcaster(node)

    def ct_from_frame(self, frame: str, stamp: Time) -> Matrix:
        """Return the (4, 4) transform, mm, from a frame to `ct` at a time.

        Raises:
            PendingError: the frame is known, the transform at that time not yet.
            RefusedError: the frame is unknown, or its past is forgotten.
        """
        return self._lookup(frame, RosTime.from_msg(stamp))[0]

    def latest_probe(self) -> tuple[Matrix, Time]:
        """Return the newest `ct_from_probe`, mm, that TF can give, and its stamp.

        Raises:
            RefusedError: there is none.
        """
        return self._lookup(self._probe_frame, RosTime())

    def send(self, ct_from_probe: Matrix, stamp: Time) -> None:
        """Broadcast the probe's pose."""
        if self._tf2 is not None:
            header = Header(stamp=stamp, frame_id=self._ct_frame)
            self._broadcaster.sendTransform(
                TransformStamped(
                    header=header, child_frame_id=self._probe_frame, transform=transform_message(ct_from_probe)
                )
            )

    def send_image_plane(self, first_pixel: tuple[float, float], stamp: Time) -> None:
        """Tell TF of the frame `<probe>_image`: origin in the first pixel, x along columns, y along rows, right-handed.

        `first_pixel` is x and z in `probe`, mm.
        """
        if self._tf2 is not None:
            x, z = first_pixel
            probe_from_image = rigid(PROBE_FROM_IMAGE, (x, 0.0, z))
            header = Header(stamp=stamp, frame_id=self._probe_frame)
            child = f"{self._probe_frame}_image"
            transform = transform_message(probe_from_image)
            self._static.sendTransform(TransformStamped(header=header, child_frame_id=child, transform=transform))

    def destroy(self) -> None:
        """Stop listening and sending."""
        if self._tf2 is not None:
            self._listener.unregister()
            self._node.destroy_publisher(self._broadcaster.pub_tf)
            self._node.destroy_publisher(self._static.pub_tf)
            if hasattr(self._buffer, "srv"):  # tf2_frames, which the buffer leaves to its node
                self._node.destroy_service(self._buffer.srv)

    def _lookup(self, frame: str, time: RosTime) -> tuple[Matrix, Time]:
        if self._tf2 is None:
            text = f"frame {frame!r} is unknown; expected {self._ct_frame!r}, as {MISSING}"
            raise RefusedError("unknown frame", text)
        try:
            found = self._buffer.lookup_transform(self._ct_frame, frame, time)
        except self._tf2.ExtrapolationException as error:
            raise PendingError("extrapolation", str(error)) from None
        except self._tf2.TransformException as error:
            text = f"TF does not connect frame {frame!r} to {self._ct_frame!r}: {error}"
            raise RefusedError("unknown frame", text) from None
        try:
            return pose_matrix(found.transform), found.header.stamp
        except PoseError as error:
            raise RefusedError("invalid pose", f"TF from {frame!r} to {self._ct_frame!r}: {error}") from None

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Node `us_sim_igtl`: serves the simulator's frames by OpenIGTLink to this computer, for 3D Slicer and PLUS."""

from __future__ import annotations

from functools import partial
from typing import Any

import pyigtl
from rclpy.node import Node
from sensor_msgs.msg import Image
from us_sim_msgs.msg import FrameInfo, ProbeInfo

from us_sim.client.frames import Collector
from us_sim.client.igtl_config import IgtlConfig
from us_sim.client.igtl_message import ct_from_ijk, messages
from us_sim.core.command import as_command
from us_sim.core.errors import ConfigError
from us_sim.ros import parameters
from us_sim.ros.conversions import nanoseconds, pose_matrix
from us_sim.ros.images import pixels_of
from us_sim.ros.outputs import latched_qos, stream_qos
from us_sim.ros.running import run

MM = 1000.0  # in a m


class IgtlNode(Node):
    """Sends IMAGE `us_sim` and TRANSFORM `ProbeToCt` for each frame, stamped with the time of its pose.

    Raises:
        ConfigError: the port cannot be had.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__("us_sim_igtl", **kwargs)
        parameters.declare(self, IgtlConfig)
        port = parameters.read(self, IgtlConfig).igtl_port
        parameters.fix(self, ["igtl_port"])
        try:
            self.server = pyigtl.OpenIGTLinkServer(port=port, local_server=True)
        except OSError as error:
            raise ConfigError(f"port {port} cannot be had: {error.strerror}; choose another igtl_port") from None
        self._info: ProbeInfo | None = None
        self._frames = Collector(("image", "frame_info"), self._send)
        self.create_subscription(ProbeInfo, "us_sim/probe_info", self._take_info, latched_qos())
        for name, kind in (("image", Image), ("frame_info", FrameInfo)):
            self.create_subscription(kind, f"us_sim/{name}", partial(self._frames.add, name), stream_qos())
        self.get_logger().info(f"OpenIGTLink on port {port}: IMAGE us_sim, TRANSFORM ProbeToCt")

    def destroy_node(self) -> None:
        """Stop serving."""
        if hasattr(self, "server"):  # Kilted's context also destroys a node whose constructor failed
            self.server.stop()
        super().destroy_node()

    def _take_info(self, info: ProbeInfo) -> None:
        self._info = info

    def _send(self, frame: dict[str, Any]) -> None:
        info, told = self._info, frame["frame_info"]
        if info is None or info.config_id != told.config_id:
            return  # where its pixels lie is not known yet
        pose = pose_matrix(told.ct_from_probe)
        spacing = MM * info.pixel_spacing_x, MM * info.pixel_spacing_z
        first = MM * info.first_pixel.x, MM * info.first_pixel.z
        placed = ct_from_ijk(pose, spacing, first, max(MM * info.slice_thickness, 0.1))
        for message in messages(pixels_of(frame["image"]), pose, placed, 1e-9 * nanoseconds(told.header.stamp)):
            self.server.send_message(message)


@as_command("us_sim_igtl")
def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    return run(IgtlNode, lambda _: None, args, ends=(ConfigError,))

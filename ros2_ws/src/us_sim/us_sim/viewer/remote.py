# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Requests of the viewer to the simulator and to the demo. Callable from any thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.client import Client
from rclpy.node import Node
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from us_sim_msgs.srv import ListPatients, LoadPatient, RenderFrame

from us_sim.core.geometry.transforms import Matrix
from us_sim.ros.conversions import pose_message
from us_sim.ros.images import pixels_of
from us_sim.ros.outputs import stream_qos
from us_sim.viewer.parameter_client import ParameterClient
from us_sim.viewer.pictures import Pixels

AT_ONCE = 12  # poses in one call: between two calls the page tells how far it is
Progress = Callable[[int, int], None]
Seen = tuple[Pixels, NDArray[np.float64]]  # (H, W) labels and (L,) coupling of the scan lines


class Remote:
    """The simulator's inputs. `refused(text)` tells the user why something was not done."""

    def __init__(self, node: Node, refused: Callable[[str], None]) -> None:
        self._node, self._refused = node, refused
        self._poses = node.create_publisher(PoseStamped, "us_sim/probe_pose", stream_qos())
        self._freeze = node.create_client(SetBool, "us_sim/freeze")
        self._demo = node.create_client(SetBool, "probe_motion/run")
        self._render = node.create_client(RenderFrame, "us_sim/render")
        self._list = node.create_client(ListPatients, "us_sim/list_patients")
        self._load = node.create_client(LoadPatient, "us_sim/load_patient")
        self._held = 0.0  # when the demo was last asked to stop
        self.parameters = ParameterClient(node, refused)

    @property
    def there(self) -> bool:
        """Whether a simulator answers."""
        return bool(self._freeze.service_is_ready())

    @property
    def demo_held(self) -> bool:
        """Whether the demo has been asked to stop."""
        return self._held > 0

    @property
    def demo_there(self) -> bool:
        """Whether a demo could move the probe."""
        return bool(self._demo.service_is_ready())

    @property
    def takes_poses(self) -> bool:
        """Whether the simulator listens to poses; it does not while it takes them from TF."""
        return self._poses.get_subscription_count() > 0

    def send(self, ct_from_probe: Matrix, ct_frame: str) -> None:
        """Send a pose, mm."""
        header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=ct_frame)
        self._poses.publish(PoseStamped(header=header, pose=pose_message(ct_from_probe)))

    def freeze(self, frozen: bool) -> None:
        """Freeze the image, or resume."""
        self._call(self._freeze, SetBool.Request(data=frozen), self._tell_if_failed)

    def run_demo(self) -> None:
        """Let the demo move the probe; nothing where there is no demo."""
        self._held = 0.0
        if self.demo_there:
            self._call(self._demo, SetBool.Request(data=True), self._tell_if_failed)

    def hold_demo(self) -> None:
        """Stop the demo; repeated once a second, as it may have been restarted."""
        if time.monotonic() - self._held > 1.0 and self.demo_there:
            self._held = time.monotonic()
            self._call(self._demo, SetBool.Request(data=False), self._tell_if_failed)

    def look_at(
        self, poses: list[Matrix], ct_frame: str, progress: Progress, then: Callable[[list[Seen]], None]
    ) -> None:
        """Ask for what is seen at poses, mm, some at a time: `progress(done, all)`, at the end `then` with all."""
        stamped = [PoseStamped(header=Header(frame_id=ct_frame), pose=pose_message(pose)) for pose in poses]
        seen: list[Seen] = []

        def ask() -> None:
            some = stamped[len(seen) : len(seen) + AT_ONCE]
            self._call(self._render, RenderFrame.Request(poses=some, outputs=RenderFrame.Request.LABELS), answered)

        def answered(response: RenderFrame.Response) -> None:
            if not response.success:
                progress(0, 0)
                self._refused(response.message)
                return
            seen.extend((pixels_of(one.labels), np.array(one.contact.line_coupling)) for one in response.frames)
            progress(len(seen), len(stamped))
            if len(seen) < len(stamped):
                ask()
            else:
                then(seen)

        ask()

    def draw(self, ct_from_probe: Matrix, ct_frame: str, renderer: str, then: Callable[[Pixels], None]) -> None:
        """Ask for the image of another renderer at a pose, mm."""
        pose = PoseStamped(header=Header(frame_id=ct_frame), pose=pose_message(ct_from_probe))
        request = RenderFrame.Request(poses=[pose], outputs=RenderFrame.Request.IMAGE, renderer=renderer)

        def answered(response: RenderFrame.Response) -> None:
            if response.success:
                then(pixels_of(response.frames[0].image))
            else:
                self._refused(response.message)

        self._call(self._render, request, answered)

    def look_into(self, frame: dict[str, Any], then: Callable[[RenderFrame.Response], None]) -> None:
        """Ask for CT slice and classes of a frame; nothing of a simulator that cannot tell."""
        info = frame["frame_info"]
        header = Header(stamp=info.header.stamp, frame_id=info.ct_frame)
        outputs = RenderFrame.Request.CT_SLICE | RenderFrame.Request.LABELS
        request = RenderFrame.Request(poses=[PoseStamped(header=header, pose=info.ct_from_probe)], outputs=outputs)

        def answered(response: RenderFrame.Response) -> None:
            if response.success:
                then(response)

        if self._render.service_is_ready():
            self._call(self._render, request, answered)

    def list_scans(self, then: Callable[[ListPatients.Response], None]) -> None:
        """Ask which scans may be loaded; nothing of a simulator that cannot tell."""
        if self._list.service_is_ready():
            self._call(self._list, ListPatients.Request(), then)

    def load_patient(self, ct: str, labels: str, then: Callable[[LoadPatient.Response], None]) -> None:
        """Ask for another patient."""
        self._call(self._load, LoadPatient.Request(ct=ct, labels=labels), then)

    def _tell_if_failed(self, response: SetBool.Response) -> None:
        if not response.success:
            self._refused(response.message)

    def _call(self, client: Client, request: Any, then: Callable[[Any], None]) -> None:
        if not client.service_is_ready():
            self._refused("the simulator does not answer; is it running?")
            return

        def done(future: Any) -> None:
            if future.exception() is None and future.result() is not None:
                then(future.result())

        client.call_async(request).add_done_callback(done)

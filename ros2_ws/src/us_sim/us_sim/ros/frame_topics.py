# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""One frame to its topics, all of them with the stamp of its pose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from std_msgs.msg import Header

from us_sim.core.geometry.polar import polar_image
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.tissue import CLASS_COLORS
from us_sim.ros.cloud import frame_cloud
from us_sim.ros.conversions import frame_info_message
from us_sim.ros.images import bgra, compressed_message, image_message, soft_window
from us_sim.ros.markers import live_markers
from us_sim.ros.outputs import Outputs, listened
from us_sim.ros.parameters import RosConfig
from us_sim.ros.poses import ProbePose
from us_sim.ros.scene import Scene

if TYPE_CHECKING:
    from us_sim.core.frame import Frame


class FrameTopics:
    """Publishes frames to topics with subscribers, and counts them."""

    def __init__(self, outputs: Outputs, config: RosConfig) -> None:
        self._outputs, self._config = outputs, config
        self._sequence = 0

    def publish(self, frame: Frame, pose: ProbePose, scene: Scene) -> None:
        """Publish a frame, the pose that it shows and what describes both."""
        header = self.header(pose)
        self._publish_pictures(frame, scene.simulator.probe, header)
        self._publish_in_ct(frame, pose, scene)
        self._outputs.frame_info.publish(
            frame_info_message(
                frame,
                header,
                sequence=self._sequence,
                ct_frame=self._config.ct_frame_id,
                config_id=scene.config_id,
                arrival=pose.arrival,
                frozen=pose.frozen,
            )
        )
        self._sequence += 1

    def header(self, pose: ProbePose) -> Header:
        """Return the header of messages in the probe's frame."""
        return Header(stamp=pose.stamp, frame_id=self._config.probe_frame_id)

    def _publish_pictures(self, frame: Frame, probe: ProbeGeometry, header: Header) -> None:
        out, image = self._outputs, frame.image
        if image is not None and listened(out.compressed):
            out.compressed.publish(compressed_message(image, self._config.compressed_format, header))
        if image is not None and listened(out.polar):
            out.polar.publish(image_message(polar_image(image, probe), header))
        if image is not None and self._config.image_encoding == "bgra8":
            image = bgra(image)
        arrays = (image, frame.labels, frame.ct_slice, frame.uncertainty)
        for publisher, pixels in zip((out.image, out.labels, out.ct_slice, out.uncertainty), arrays, strict=True):
            if pixels is not None and listened(publisher):
                publisher.publish(image_message(pixels, header))
        if frame.labels is not None and listened(out.labels_view):
            out.labels_view.publish(image_message(CLASS_COLORS[frame.labels], header))
        if frame.ct_slice is not None and listened(out.ct_view):
            out.ct_view.publish(image_message(soft_window(frame.ct_slice), header))

    def _publish_in_ct(self, frame: Frame, pose: ProbePose, scene: Scene) -> None:
        """Publish what is given in the patient's frame."""
        out, probe, ct_frame = self._outputs, scene.simulator.probe, self._config.ct_frame_id
        if listened(out.markers):
            out.markers.publish(live_markers(probe, frame, ct_frame, pose.stamp))
        if frame.image is not None and listened(out.cloud):
            out.cloud.publish(frame_cloud(frame.image, probe, frame.ct_from_probe, ct_frame, pose.stamp))

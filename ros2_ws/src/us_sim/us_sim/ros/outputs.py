# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The node's publishers: QoS, who listens, and one frame to its topics."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_msgs.msg import Float32
from us_sim_msgs.msg import Analysis, Contact, FrameInfo, ProbeInfo
from visualization_msgs.msg import MarkerArray

OVERRIDES = QoSOverridingOptions.with_default_policies


def pose_qos() -> QoSProfile:
    """Poses in: best effort, the newest only."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def stream_qos() -> QoSProfile:
    """Frames out: every one reaches a reader that keeps up."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)


def latched_qos() -> QoSProfile:
    """What holds until it changes: late readers get the last one."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


@dataclass(frozen=True)
class Wanted:
    """Outputs that have subscribers."""

    image: bool
    ct_slice: bool
    labels: bool
    frame_info: bool
    markers: bool
    analysis: bool
    confidence: bool
    uncertainty: bool

    @property
    def anything(self) -> bool:
        """Whether a pose is worth any work."""
        return any(astuple(self))


class Outputs:
    """All lifecycle publishers of the node, made by `on_configure` and gone with `on_cleanup`."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._all: list[LifecyclePublisher] = []
        self.image = self._publisher(Image, "image", stream_qos())
        self.compressed = self._publisher(CompressedImage, "image/compressed", stream_qos())
        self.polar = self._publisher(Image, "polar", stream_qos())
        self.ct_slice = self._publisher(Image, "ct_slice", stream_qos())
        self.ct_view = self._publisher(Image, "ct_view", stream_qos())
        self.labels = self._publisher(Image, "labels", stream_qos())
        self.labels_view = self._publisher(Image, "labels_view", stream_qos())
        self.confidence = self._publisher(Image, "confidence", stream_qos())
        self.uncertainty = self._publisher(Image, "uncertainty", stream_qos())
        self.analysis = self._publisher(Analysis, "analysis", stream_qos())
        self.frame_info = self._publisher(FrameInfo, "frame_info", stream_qos())
        self.contact = self._publisher(Contact, "contact", stream_qos())
        self.wrench = self._publisher(WrenchStamped, "wrench", stream_qos())
        self.breathing = self._publisher(Float32, "breathing", stream_qos())
        self.markers = self._publisher(MarkerArray, "markers", stream_qos())
        self.cloud = self._publisher(PointCloud2, "cloud", stream_qos())
        self.probe_info = self._publisher(ProbeInfo, "probe_info", latched_qos())
        self.home_pose = self._publisher(PoseStamped, "home_pose", latched_qos())
        self.patient_markers = self._publisher(MarkerArray, "patient_markers", latched_qos())

    def _publisher(self, kind: type[Any], name: str, qos: QoSProfile) -> LifecyclePublisher:
        publisher = self._node.create_lifecycle_publisher(kind, f"~/{name}", qos, qos_overriding_options=OVERRIDES())
        self._all.append(publisher)
        return publisher

    def wanted(self) -> Wanted:
        """Return what the present subscribers ask for."""
        return Wanted(
            image=any(map(listened, (self.image, self.compressed, self.polar, self.cloud))),
            ct_slice=listened(self.ct_slice) or listened(self.ct_view),
            labels=listened(self.labels) or listened(self.labels_view),
            frame_info=listened(self.frame_info),
            markers=listened(self.markers),
            analysis=listened(self.analysis),
            confidence=listened(self.confidence),
            uncertainty=listened(self.uncertainty),
        )

    @property
    def heard(self) -> bool:
        """Whether anybody listens to anything."""
        return any(map(listened, self._all))

    def destroy(self) -> None:
        """Take all publishers down."""
        for publisher in self._all:
            self._node.destroy_lifecycle_publisher(publisher)
        self._all.clear()


def listened(publisher: LifecyclePublisher) -> bool:
    """Whether anybody subscribes."""
    return bool(publisher.get_subscription_count() > 0)

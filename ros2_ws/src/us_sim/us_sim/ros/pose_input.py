# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Where poses come from: a topic, or TF."""

from __future__ import annotations

import time
from collections.abc import Callable

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from us_sim.core.geometry.transforms import Matrix
from us_sim.ros.conversions import nanoseconds
from us_sim.ros.diagnostics import Statistics
from us_sim.ros.outputs import OVERRIDES, pose_qos
from us_sim.ros.parameters import RosConfig
from us_sim.ros.poses import PendingError, ProbePose, RefusedError, StampOrder, locate
from us_sim.ros.tf import TransformTree

RETRY = 0.005  # s between two looks for a transform that is late


class PoseInput:
    """Validates poses in the executor's thread and hands on the accepted ones; never waits, never queues."""

    def __init__(
        self,
        node: Node,
        config: RosConfig,
        tree: TransformTree,
        statistics: Statistics,
        *,
        take: Callable[[ProbePose], None],
        refuse: Callable[[RefusedError], None],
    ) -> None:
        self._node, self._config, self._tree, self._statistics = node, config, tree, statistics
        self._take, self._refuse = take, refuse
        self._order = StampOrder()
        self._waiting: tuple[PoseStamped, float] | None = None
        self._shown_tf: int | None = None
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a paused simulation clock stops no timer
        if config.pose_source == "tf":
            self._timer = node.create_timer(1.0 / config.rate, self._poll, clock=steady)
            self._subscription = None
        else:
            self._timer = node.create_timer(RETRY, self._retry, clock=steady)
            self._timer.cancel()
            self._subscription = node.create_subscription(
                PoseStamped, "~/probe_pose", self._on_pose, pose_qos(), qos_overriding_options=OVERRIDES()
            )

    def destroy(self) -> None:
        """Stop listening."""
        self._node.destroy_timer(self._timer)
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)

    def _on_pose(self, message: PoseStamped) -> None:
        self._statistics.count("received")
        if nanoseconds(message.header.stamp) == 0:
            message.header.stamp = self._node.get_clock().now().to_msg()
        self._consider(message, time.monotonic())

    def _consider(self, message: PoseStamped, arrival: float) -> None:
        stamp = message.header.stamp
        try:
            self._order.check(stamp)
            ct_from_probe = locate(message, self._config.ct_frame_id, self._tree.ct_from_frame)
        except PendingError as error:
            if time.monotonic() - arrival < self._config.tf_timeout:
                self._wait_for(message, arrival)
            else:
                self._refuse(error)
        except RefusedError as error:
            self._refuse(error)
        else:
            self._accept(ct_from_probe, stamp, arrival)

    def _wait_for(self, message: PoseStamped, arrival: float) -> None:
        if self._waiting is not None:
            self._statistics.count("skipped")
        self._waiting = (message, arrival)
        self._timer.reset()

    def _retry(self) -> None:
        self._timer.cancel()
        if self._waiting is not None:
            (message, arrival), self._waiting = self._waiting, None
            self._consider(message, arrival)

    def _accept(self, ct_from_probe: Matrix, stamp: Time, arrival: float) -> None:
        self._order.accept(stamp)
        self._statistics.count("accepted")
        self._take(ProbePose(stamp, ct_from_probe, arrival))

    def _poll(self) -> None:
        arrival = time.monotonic()
        try:
            ct_from_probe, stamp = self._tree.latest_probe()
            if nanoseconds(stamp) == self._shown_tf:
                return
            self._shown_tf = nanoseconds(stamp)
            self._statistics.count("received")
            self._order.check(stamp)
        except RefusedError as error:
            self._refuse(error)
        else:
            now = self._node.get_clock().now().to_msg()
            self._accept(ct_from_probe, stamp if nanoseconds(stamp) else now, arrival)

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Records the frames of a scan: those whose stamps lie between its first and its last pose on the path."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import Image
from us_sim_msgs.msg import FrameInfo, ProbeInfo

from us_sim.client.frames import Collector
from us_sim.client.recording import Sweep
from us_sim.ros.conversions import nanoseconds
from us_sim.ros.outputs import stream_qos

PARTS = {"image": Image, "labels": Image, "frame_info": FrameInfo}


class ScanRecorder:
    """Listens to frames from construction until `close`, and writes them to a folder of their own in `folder`.

    Attributes:
        failure: why nothing more is written; empty while all is well.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, node: Node, folder: Path, info: ProbeInfo) -> None:
        self.failure = ""
        self._node = node
        self._sweep = Sweep(folder, info, self._failed)
        self._first, self._last = math.inf, math.inf
        collector = Collector(tuple(PARTS), self._take)
        self._heard = [
            node.create_subscription(kind, f"us_sim/{part}", partial(collector.add, part), stream_qos())
            for part, kind in PARTS.items()
        ]

    @property
    def count(self) -> int:
        """Frames recorded."""
        return self._sweep.count

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self._sweep.folder

    def begin(self, stamp: int) -> None:
        """Record from a stamp on, ns."""
        self._first = min(self._first, stamp)

    def end(self, stamp: int) -> None:
        """Record up to a stamp, ns; what is still on its way is waited for until `close`."""
        self._last = min(self._last, stamp)

    def stop_listening(self) -> None:
        """Take no more frames; for the executor's thread."""
        for subscription in self._heard:
            self._node.destroy_subscription(subscription)
        self._heard.clear()

    def close(self) -> None:
        """Write what waits; for any thread, after `stop_listening`."""
        self._sweep.close()

    def _take(self, frame: dict[str, Any]) -> None:
        if self._first <= nanoseconds(frame["frame_info"].header.stamp) <= self._last and not self.failure:
            self._sweep.add(frame)

    def _failed(self, why: str) -> None:
        self.failure = f"the recording {why}"

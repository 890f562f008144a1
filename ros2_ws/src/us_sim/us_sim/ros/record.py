# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Command `us_sim_record`: the probe's poses, and the frames if asked for, into an MCAP file until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image
from us_sim_msgs.msg import Contact, FrameInfo, ProbeInfo

from us_sim.core.command import as_command, leave
from us_sim.core.errors import RecordingError
from us_sim.ros.conversions import nanoseconds
from us_sim.ros.folders import RECORDINGS
from us_sim.ros.mcap_recorder import FLUSH, McapRecorder
from us_sim.ros.outputs import OVERRIDES, latched_qos
from us_sim.ros.running import run

FRAMES = {"image": Image, "labels": Image, "frame_info": FrameInfo, "contact": Contact, "wrench": WrenchStamped}
QUEUE = 1000  # messages that may come while the disk is busy


class Recorder(Node):
    """Node `us_sim_record`: writes what comes on `us_sim/probe_pose`, and on the topics of frames.

    Args:
        path: of the file to make.
        frames: record image, labels, frame info, contact and wrench as well.

    Raises:
        RecordingError: the file cannot be made, or no more be written.
    """

    def __init__(self, path: Path, frames: bool = False, **kwargs: object) -> None:
        self.file = McapRecorder(path, self._offered)
        super().__init__("us_sim_record", **kwargs)
        # Best effort hears publishers of either kind.
        poses = QoSProfile(depth=QUEUE, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._listen(PoseStamped, "probe_pose", poses)
        if frames:
            for name, kind in FRAMES.items():
                self._listen(kind, name, QoSProfile(depth=QUEUE))
            self._listen(ProbeInfo, "probe_info", latched_qos())
        self.create_timer(FLUSH, self._flush, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.get_logger().info(f"recording to {self.file.path}; Ctrl-C ends it")

    def destroy_node(self) -> None:
        """Write what waits, and end."""
        try:
            self.file.close()
        except OSError as error:
            raise RecordingError(f"{self.file.path}: the recording cannot be finished: {error.strerror}") from error
        print(f"us_sim_record: {self.file.count} messages in {self.file.path}", file=sys.stderr)
        super().destroy_node()

    def _listen(self, kind: type[Any], name: str, qos: QoSProfile) -> None:
        topic = self.resolve_topic_name(f"us_sim/{name}")
        self.create_subscription(
            kind, f"us_sim/{name}", partial(self._write, topic), qos, qos_overriding_options=OVERRIDES()
        )

    def _offered(self, topic: str) -> list[QoSProfile]:
        return [publisher.qos_profile for publisher in self.get_publishers_info_by_topic(topic)]

    def _write(self, topic: str, message: Any) -> None:
        received = self.get_clock().now()
        if nanoseconds(message.header.stamp) == 0:
            message.header.stamp = received.to_msg()  # as the simulator does
        with self._named():
            self.file.write(topic, message, received.nanoseconds)

    def _flush(self) -> None:
        with self._named():
            self.file.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RecordingError(f"{self.file.path}: recording stopped: {error.strerror}") from error


@as_command("us_sim_record")
def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    parser = argparse.ArgumentParser(prog="us_sim_record", description=__doc__)
    usual = Path(RECORDINGS, f"poses_{datetime.now():%Y%m%d_%H%M%S}.mcap")
    about = f"to make, .mcap (in {RECORDINGS}, by its time)"
    parser.add_argument("file", nargs="?", type=Path, default=usual, help=about)
    parser.add_argument("--frames", action="store_true", help=f"record {', '.join(FRAMES)} and probe_info as well")
    options = parser.parse_args(remove_ros_args(sys.argv if args is None else ["", *args])[1:])
    return run(lambda: Recorder(options.file, options.frames), lambda _: None, args, ends=(RecordingError,))


if __name__ == "__main__":
    leave(main())

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What the viewer hears of the probe: frames, contact, force, joints; only while somebody looks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from geometry_msgs.msg import WrenchStamped
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image, JointState
from us_sim_msgs.msg import Contact, FrameInfo

from us_sim.client.frames import Collector
from us_sim.ros.conversions import nanoseconds
from us_sim.ros.outputs import stream_qos

CONTACTS = 64  # that may still find their frame
FRAME = {"image": Image, "frame_info": FrameInfo}
LABELS = {"labels": Image}


class Hearing:
    """The simulator computes what it is heard for: nothing without a page, and labels only on demand."""

    def __init__(
        self,
        node: Node,
        complete: Callable[[dict[str, Any]], None],
        feel: Callable[[WrenchStamped], None],
        turn: Callable[[JointState], None],
    ) -> None:
        """`complete` takes whole frames by topic, with their contact; `feel` the wrench, `turn` an arm's angles."""
        self._node, self._take = node, complete
        self._steady = {
            "contact": (Contact, self._touch), "wrench": (WrenchStamped, feel), "joint_states": (JointState, turn)
        }  # fmt: skip
        self._heard: dict[str, Subscription] = {}
        self._collector = Collector((), self._complete)
        self._contacts: OrderedDict[int, Contact] = OrderedDict()  # by stamp

    @property
    def topics(self) -> set[str]:
        """What is subscribed to, by the names of `~/image` and the like."""
        return set(self._heard)

    def listen(self, wanted: bool, labels: bool) -> None:
        """Subscribe, with the classes of each frame or without, or no longer."""
        parts = {**FRAME, **(LABELS if labels else {})} if wanted else {}
        kinds: dict[str, Any] = {part: (kind, partial(self._add, part)) for part, kind in parts.items()}
        if wanted:
            kinds |= self._steady
        if set(kinds) == self.topics:
            return
        self._collector = Collector(tuple(parts), self._complete)
        for name in self.topics - set(kinds):
            self._node.destroy_subscription(self._heard.pop(name))
        for name, (kind, take) in kinds.items():
            if name not in self._heard:
                topic = name if name == "joint_states" else f"us_sim/{name}"
                self._heard[name] = self._node.create_subscription(kind, topic, take, stream_qos())

    def _add(self, part: str, message: Any) -> None:
        self._collector.add(part, message)

    def _touch(self, contact: Contact) -> None:
        self._contacts[nanoseconds(contact.header.stamp)] = contact
        while len(self._contacts) > CONTACTS:
            self._contacts.popitem(last=False)

    def _complete(self, frame: dict[str, Any]) -> None:
        newest = next(reversed(self._contacts.values()), None)
        frame["contact"] = self._contacts.get(nanoseconds(frame["frame_info"].header.stamp), newest)
        self._take(frame)

"""The controllers beside the nodes of the ROS tests, in one process; and a simulator of a flat patient."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import Point, PoseStamped, Vector3, Wrench, WrenchStamped
from rclpy.node import Node
from rclpy.parameter import Parameter
from tests.control.flat import Ball, contact_at
from tests.ros.conftest import World, world
from us_sim_msgs.msg import Analysis, Contact, FrameInfo, OrganView, ProbeInfo

from us_sim.control import guard, robot, scanning, servo, visual_servo
from us_sim.control.scan import ScanNode
from us_sim.control.servo import ServoNode
from us_sim.ros.conversions import point_message, pose_matrix
from us_sim.ros.outputs import latched_qos, pose_qos, stream_qos

__all__ = ["FlatSim", "World", "flat_sim", "quick", "scan_node", "servo_node", "world"]


class FlatSim(Node):
    """`us_sim` with the patient of `flat`: force, contact, pose and analysis for every pose that it gets.

    Attributes:
        organ: what `~/analysis` tells of, as a kidney; None: there is none.
        poses: (4, 4) mm, all that came.
        mute: answers nothing.
    """

    def __init__(self, context: Any) -> None:
        super().__init__("us_sim", context=context)
        self.declare_parameter("depth", 0.0)
        self.organ: Ball | None = Ball()
        self.poses: list[np.ndarray] = []
        self.mute = False
        self._out = {
            name: self.create_publisher(kind, f"~/{name}", stream_qos())
            for name, kind in (
                ("wrench", WrenchStamped),
                ("contact", Contact),
                ("frame_info", FrameInfo),
                ("analysis", Analysis),
            )
        }
        self._info = self.create_publisher(ProbeInfo, "~/probe_info", latched_qos())
        self.create_subscription(PoseStamped, "~/probe_pose", self._on_pose, pose_qos())
        self.show_patient("one")

    def show_patient(self, name: str) -> None:
        self._info.publish(ProbeInfo(ct_frame="ct", patient=name, patient_sha256=f"sha of {name}"))

    def _on_pose(self, message: PoseStamped) -> None:
        pose, header = pose_matrix(message.pose), message.header
        self.poses.append(pose)
        if self.mute:
            return
        sensed = contact_at(pose)
        x, y, z = sensed.normal.tolist()
        self._out["contact"].publish(
            Contact(header=header, in_contact=sensed.in_contact, normal=Vector3(x=x, y=y, z=z))
        )
        force = Vector3(z=-sensed.force)
        self._out["wrench"].publish(WrenchStamped(header=header, wrench=Wrench(force=force)))
        self._out["frame_info"].publish(FrameInfo(header=header, ct_from_probe=message.pose))
        if len(self.poses) % 3 == 0:
            self._out["analysis"].publish(Analysis(header=header, organs=[self._view(pose), OrganView(name="liver")]))

    def _view(self, pose: np.ndarray) -> OrganView:
        seen = self.organ.seen(pose) if self.organ is not None else None
        if seen is None or seen.area == 0:
            return OrganView(name="kidney", centroid_ct=Point(x=math.nan, y=math.nan, z=math.nan))
        return OrganView(name="kidney", visible=True, area=seen.area / 1e6, centroid_ct=point_message(seen.centroid))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short ways through the air, a short search, little patience: nodes run in real time."""
    for module in (scanning, servo):
        monkeypatch.setattr(module, "STAND_OFF", 6.0)
    monkeypatch.setattr(guard, "DESCENT", 20.0)
    monkeypatch.setattr(robot, "SILENT", 2.0)
    monkeypatch.setattr(visual_servo, "SEARCH", ((0, 30), (0, -30)))


@pytest.fixture
def flat_sim(world: World) -> FlatSim:
    """A simulator of a flat patient."""
    node = FlatSim(world.context)
    world.add(node)
    return node


def _starter(world: World, kind: type) -> Callable[..., Any]:
    def start(**parameters: Any) -> Any:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = kind(context=world.context, parameter_overrides=overrides)
        world.add(node)
        return node

    return start


@pytest.fixture
def scan_node(world: World, tmp_path: Path) -> Callable[..., ScanNode]:
    """Starts `us_sim_scan`; its recordings go to the test's folder."""
    start = _starter(world, ScanNode)
    return lambda **parameters: start(**{"recordings": str(tmp_path), **parameters})


@pytest.fixture
def servo_node(world: World) -> Callable[..., ServoNode]:
    """Starts `us_sim_servo`."""
    return _starter(world, ServoNode)

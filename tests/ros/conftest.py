"""A node in this process over real DDS, with a simulator whose frames can be told beforehand."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rclpy
import torch
from geometry_msgs.msg import Point, PoseStamped
from numpy.typing import NDArray
from rclpy.client import Client
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time

from us_sim.core import assembly, patient_source
from us_sim.core.compute.device import Device
from us_sim.core.config import ImageSettings
from us_sim.core.contact.contact import Contact, contact
from us_sim.core.contact.indentation import Indentation, face_of, indentation
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.contact.touch import Touch, touch_at
from us_sim.core.errors import ArtifactError, ConfigError, DeviceError, PatientError
from us_sim.core.frame import Frame
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.patient.patient import Patient
from us_sim.core.patient.surface import skin_of
from us_sim.core.patient.volume import CtVolume
from us_sim.ros.node import UsSim

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

DOMAIN = 1 + os.getpid() % 100  # not that of a robot in use
RADIUS = 60.0  # mm, of the ball that is the patient


def ball(name: str) -> Patient:
    """A ball of liver around the origin of `ct`."""
    axis = (np.arange(41) - 20) * 4.0
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    inside = x**2 + y**2 + z**2 <= RADIUS**2
    ct_from_voxel = np.diag([4.0, 4.0, 4.0, 1.0])
    ct_from_voxel[:3, 3] = -80.0
    volume = CtVolume(
        hu=np.where(inside, 60, -1000).astype(np.int16),
        tissue=inside.astype(np.uint8),
        ct_from_voxel=ct_from_voxel,
        name=name,
        sha256=f"sha of {name}",
        warnings=(f"{name} is a ball",),
    )
    return Patient(volume, skin_of(volume))


@dataclass(eq=False)
class FakeSimulator:
    """Frames that say which pose they show: in the fan image = x, labels = y, slice = z of the pose, mm."""

    patient: Patient
    probe: ProbeGeometry
    settings: ImageSettings = field(default_factory=ImageSettings)
    renderer: str = "physics"
    generator: Any = None
    device: Any = "auto"
    seed: int = 0
    scanner: Any = None
    log: list[dict[str, Any]] = field(default_factory=list)  # what was rendered
    touched: list[NDArray[np.float64]] = field(default_factory=list)  # poses whose contact and force were worked out
    mechanics: MechanicsSettings = field(default_factory=MechanicsSettings)
    times: list[float] = field(default_factory=list)  # of what was rendered, s
    coupling: NDArray[np.float32] | None = None  # given to the last frame
    gate: threading.Event = field(default_factory=threading.Event)  # cleared: rendering waits
    failure: DeviceError | None = None  # of the GPU that this simulator pretends to have

    def __post_init__(self) -> None:
        if self.renderer == "generator" and self.generator is None:
            raise ConfigError("renderer is 'generator', but no generator is loaded")
        if self.renderer == "generator" and self.probe.depth > self.generator.depth:
            raise ConfigError(f"depth is {self.probe.depth}; the generator's card allows {self.generator.depth}")
        if self.device == "cuda":
            self.device = Device(torch.device("cuda"), "cuda:0 (Card)", "requested")
        elif isinstance(self.device, str):
            self.device = Device.cpu("a fake computes nothing")
        self.gate.set()

    def replace(self, **changes: Any) -> FakeSimulator:
        return replace(self, **changes)

    def on_cpu(self, reason: str) -> FakeSimulator:
        return self.replace(device=Device.cpu(reason), failure=None)

    def contact(self, ct_from_probe: NDArray[np.float64]) -> Contact:
        return contact(self.patient.skin, self.probe, ct_from_probe)

    def indentation(self, ct_from_probe: NDArray[np.float64]) -> Indentation:
        return indentation(self.patient, face_of(self.probe), ct_from_probe)

    def touch(self, ct_from_probe: NDArray[np.float64]) -> Touch:
        self.touched.append(ct_from_probe)
        return touch_at(self.patient, self.probe, self.mechanics, ct_from_probe)

    def touches(self, ct_from_probe: NDArray[np.float64]) -> list[Touch]:
        return [self.touch(pose) for pose in ct_from_probe]

    def render(
        self,
        ct_from_probe: NDArray[np.float64],
        *,
        image: bool = True,
        ct_slice: bool = True,
        labels: bool = True,
        uncertainty: bool = False,
        renderer: str | None = None,
        times: Sequence[float] = (0.0,),
        coupling: NDArray[np.float32] | None = None,
        touches: Sequence[Touch] | None = None,
    ) -> Frame:
        touch = touches[0] if touches else self.touch(ct_from_probe)
        self.coupling = coupling
        self.times.extend(times)
        self.log.append({"image": image, "ct_slice": ct_slice, "labels": labels})
        assert self.gate.wait(20)
        if self.failure is not None:
            raise self.failure
        x, y, z = ct_from_probe[:3, 3]
        fan = self.probe.fan_mask
        return Frame(
            image=np.where(fan, round(x), 0).astype(np.uint8) if image else None,
            ct_slice=np.where(fan, round(z), -1000).astype(np.int16) if ct_slice else None,
            labels=np.where(fan, round(y), 0).astype(np.uint8) if labels else None,
            contact=touch.contact,
            wrench=touch.wrench,
            ct_from_probe=ct_from_probe,
            renderer=renderer or self.renderer,
            deformed=self.mechanics.deformation and touch.indentation.pressed,
            uncertainty=np.where(fan, 9, 0).astype(np.uint8) if uncertainty else None,
        )

    def render_batch(
        self,
        ct_from_probe: NDArray[np.float64],
        *,
        times: Sequence[float],
        renderer: str | None = None,
        touches: Sequence[Touch] | None = None,
        **wanted: Any,
    ) -> list[Frame]:
        if renderer:
            self.replace(renderer=renderer)  # raises where it cannot be
        known: list[Any] = [None] * len(times) if touches is None else [[touch] for touch in touches]
        return [
            self.render(pose, renderer=renderer, times=[seconds], touches=touch, **wanted)
            for pose, seconds, touch in zip(ct_from_probe, times, known, strict=True)
        ]


def _load_patient(ct: str, *_: object, **__: object) -> Patient:
    if not Path(ct).exists():
        raise PatientError(f"{ct}: no such file; expected a NIfTI file or a DICOM folder")
    return ball(Path(ct).name)


def _load_generator(path: str) -> Any:
    if not Path(path).exists():
        raise ArtifactError(f"{path}: no such file; expected a .safetensors artifact")
    card = SimpleNamespace(to_json=lambda: '{"depth": 180}')
    name = Path(path).stem
    backend = SimpleNamespace(name="fake int8", reason="it is small")
    return SimpleNamespace(
        name=name, sha256=f"sha of {name}", card=card, depth=180.0, device=torch.device("cpu"), backend=backend
    )


Running = tuple[Node, SingleThreadedExecutor, threading.Thread]


class World:
    """Nodes under test, each with its executor in a thread, and a client that spins in the test's thread."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.client = Node("client", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.client)
        self._nodes: list[Running] = []
        self._clients: dict[str, Client] = {}
        self.failures: list[BaseException] = []

    def add(self, node: Node) -> None:
        executor = SingleThreadedExecutor(context=self.context)
        executor.add_node(node)

        def spin() -> None:
            try:
                executor.spin()
            except ExternalShutdownException:
                pass
            except BaseException as error:
                if not executor._is_shutdown:  # from another thread: rclpy then loses what it waits with, half-way
                    self.failures.append(error)

        if isinstance(node, UsSim):
            node.autostart()
        thread = threading.Thread(target=spin)
        thread.start()
        self._nodes.append((node, executor, thread))

    @staticmethod
    def _stop(nodes: list[Running]) -> None:
        for _, executor, _ in nodes:
            executor.shutdown()
        for node, executor, thread in nodes:
            executor.wake()
            thread.join(10)
            node.destroy_node()

    def start(self, namespace: str = "", **parameters: Any) -> Any:
        """Return a started `UsSim`; untyped, for its simulator is the fake."""
        given = {"data_folders": "/", "renderer": "physics", **parameters}  # tests keep their files outside of home
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        node: Any = UsSim(context=self.context, namespace=namespace, parameter_overrides=overrides)
        self.add(node)
        if node.session.scene is not None:
            simulator = node.session.scene.simulator
            simulator.log.clear()  # of the frame that warms it up
            simulator.touched.clear()
        return node

    def until(self, what: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Spin the client until something is true, and return it."""
        end = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < end, f"not within {seconds} s"
            self._executor.spin_once(timeout_sec=0.02)
        return found

    def listen(self, kind: type, topic: str, *, latched: bool = False) -> list[Any]:
        """Subscribe and return the list that fills with messages."""
        messages: list[Any] = []
        qos = QoSProfile(depth=100)
        if latched:
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
        self.client.create_subscription(kind, topic, messages.append, qos)
        return messages

    def pose(self, stamp: float, *, x: float = 0.0, y: float = 0.0, z: float = -RADIUS) -> PoseStamped:
        """A pose that looks along +z of `ct`, mm; the default stands on the ball."""
        message = PoseStamped()
        message.header.frame_id = "ct"
        message.header.stamp = Time(nanoseconds=round(stamp * 1e9)).to_msg()
        message.pose.position = Point(x=x / 1000, y=y / 1000, z=z / 1000)
        message.pose.orientation.w = 1.0
        return message

    def sender(self, node: UsSim, namespace: str = "") -> Callable[[PoseStamped], None]:
        """Connect to a node's pose topic, its first pose being received; return what sends the others."""
        publisher = self.client.create_publisher(PoseStamped, f"{namespace}/us_sim/probe_pose", QoSProfile(depth=1))
        pose = self.pose(1.0)
        pose.header.frame_id = f"{namespace}/ct".strip("/")

        def received() -> int:
            publisher.publish(pose)
            return node.session.statistics.counts["received"]

        self.until(received)
        return publisher.publish

    def listened(self, *publishers: Publisher) -> None:
        """Wait until somebody listens to each of a node's publishers."""
        self.until(lambda: all(p.get_subscription_count() for p in publishers))

    def call(self, kind: type, name: str, request: Any, seconds: float = 60.0) -> Any:
        """Call a service through one client for all calls, as a lifecycle manager does: it is found once."""
        if name not in self._clients:
            self._clients[name] = self.client.create_client(kind, name)
        client = self._clients[name]
        self.until(client.service_is_ready, seconds)
        future = client.call_async(request)
        self.until(future.done, seconds)
        return future.result()

    def stop(self, node: Node) -> None:
        """End a node that has been added: it is destroyed when its executor's thread has let go of it."""
        (running,) = (one for one in self._nodes if one[0] is node)
        self._nodes.remove(running)
        self._stop([running])

    def close(self) -> None:
        self._stop(self._nodes)
        self.client.destroy_node()
        self._nodes.clear()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture(scope="session", autouse=True)
def _quick_collection() -> None:
    """What is loaded by now stays: the garbage collector, called after every world, need not look through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Nodes whose core is the fake."""
    monkeypatch.setattr(assembly, "Simulator", FakeSimulator)
    monkeypatch.setattr(patient_source, "builtin_patient", lambda seed, detail=True: ball(f"phantom-{seed}"))
    monkeypatch.setattr(patient_source, "load_patient", _load_patient)
    monkeypatch.setattr(assembly, "load_generator", _load_generator)
    monkeypatch.setattr(assembly, "accelerated", lambda generator, device: generator)
    gc.collect()  # what pytest held of the last test: a client of its own still counts as a listener
    world = World()
    yield world
    world.close()
    failures = world.failures
    del world
    gc.collect()  # `destroy_node` leaves a lifecycle node's own services to it; half gone, they hide the next world's
    assert not failures

"""A recording rendered offline, and the same poses sent to the node: the same bytes."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.parameter import Parameter
from rclpy.time import Time
from sensor_msgs.msg import Image
from tests.ros.conftest import World
from us_sim_msgs.srv import RenderFrame

from us_sim.core import patient_source
from us_sim.core.config import ImageSettings
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.faults import FaultSettings, is_lost
from us_sim.core.geometry.transforms import rigid
from us_sim.core.patient.patient import Patient, builtin_patient
from us_sim.core.robot.motion import motion
from us_sim.core.simulator import Simulator
from us_sim.offline.replay import Replay
from us_sim.poses.trajectory import Trajectory, read_trajectory
from us_sim.ros.conversions import pose_message
from us_sim.ros.images import pixels_of
from us_sim.ros.mcap_recorder import McapRecorder
from us_sim.ros.node import UsSim

MECHANICS = MechanicsSettings(breathing_amplitude=12.0)
PARAMETERS = {"renderer": "physics", "generator": "abdomen_lite"}
FAULTS = FaultSettings(
    fault_drop=0.3, fault_position=2.0, fault_angle=0.05, fault_flip=True, fault_dead=0.1, fault_gel=0.2
)


@pytest.fixture
def world(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose core is the real one; its phantom is made once."""
    monkeypatch.setattr(patient_source, "builtin_patient", lambda seed, detail=True: patient)
    world = World()
    yield world
    world.close()
    failures = world.failures
    del world
    gc.collect()  # as in conftest's: what is left of its nodes ends here, not in a later test
    assert not failures


@pytest.fixture(scope="module")
def patient() -> Patient:
    return builtin_patient(0)


@pytest.fixture
def poses(patient: Patient) -> list[PoseStamped]:
    """A sweep that presses in by up to 12 mm more, a pose each 0.31 s."""
    found = []
    for number, pose in enumerate(motion("liver_sweep", patient, 8)):
        deeper = pose @ rigid(np.eye(3), [0.0, 0.0, 1.7 * number])
        message = PoseStamped(pose=pose_message(deeper))
        message.header.frame_id, message.header.stamp = "ct", Time(nanoseconds=10**9 + 310_000_000 * number).to_msg()
        found.append(message)
    return found


@pytest.fixture
def recorded(poses: list[PoseStamped], tmp_path: Path) -> Trajectory:
    with McapRecorder(tmp_path / "sweep.mcap") as recorder:
        for pose in poses:
            recorder.write("/us_sim/probe_pose", pose)
    return read_trajectory(tmp_path / "sweep.mcap")


def start(world: World, **parameters: Any) -> UsSim:
    overrides = [Parameter(name, value=value) for name, value in {**PARAMETERS, **parameters}.items()]
    node = UsSim(context=world.context, parameter_overrides=overrides)
    world.add(node)
    return node


def offline(patient: Patient, recorded: Trajectory, faults: FaultSettings) -> Replay:
    return Replay(Simulator(patient, settings=ImageSettings(), mechanics=MECHANICS), recorded, faults, print)


def test_the_stream_gives_the_frames_of_the_replay(
    world: World, patient: Patient, poses: list[PoseStamped], recorded: Trajectory
) -> None:
    parameters = {name: value for config in (MECHANICS, FAULTS) for name, value in vars(config).items()}
    node = start(world, **parameters)
    topics = {"image": Image, "labels": Image, "wrench": WrenchStamped}
    came = {name: world.listen(kind, f"us_sim/{name}") for name, kind in topics.items()}
    world.listened(node.session.outputs.image, node.session.outputs.labels, node.session.outputs.wrench)
    publisher = world.client.create_publisher(PoseStamped, "us_sim/probe_pose", 1)

    def first_of(name: str, number: int) -> Any:
        stamp = poses[number].header.stamp
        return next((message for message in came[name] if message.header.stamp == stamp), None)

    def heard() -> int:
        publisher.publish(poses[0])
        return node.session.statistics.counts["accepted"]

    world.until(heard)
    replay = offline(patient, recorded, FAULTS)
    kept = [n for n in range(len(poses)) if not is_lost(FAULTS, 0, int(recorded.stamps[n]))]
    assert 2 < len(kept) < len(poses)
    for number, pose in enumerate(poses):
        # Best effort may lose a pose or a frame: it is sent until all of it has come.
        wanted = topics if number in kept else ("wrench",)
        world.until(
            lambda pose=pose, number=number, wanted=wanted: (  # type: ignore[misc]
                all(first_of(name, number) for name in wanted) or publisher.publish(pose)
            )
        )
    shots = list(replay.shots(0, len(recorded)))
    assert [shot.number for shot in shots] == kept
    assert [n for n in range(len(poses)) if first_of("image", n)] == kept
    for shot in shots:
        np.testing.assert_array_equal(pixels_of(first_of("image", shot.number)), shot.frame.image)
        np.testing.assert_array_equal(pixels_of(first_of("labels", shot.number)), shot.frame.labels)
    forces = [first_of("wrench", number).wrench.force.z for number in range(len(poses))]
    assert forces == [replay.wrench(number).force[2] for number in range(len(poses))]
    assert min(forces) < -3  # it does press


def test_the_service_gives_the_frames_of_the_replay(
    world: World, patient: Patient, poses: list[PoseStamped], recorded: Trajectory
) -> None:
    start(world, **vars(MECHANICS))
    answer = world.call(RenderFrame, "us_sim/render", RenderFrame.Request(poses=poses))
    assert answer.success, answer.message
    for frame, shot in zip(answer.frames, offline(patient, recorded, FaultSettings()).shots(0, 8), strict=True):
        np.testing.assert_array_equal(pixels_of(frame.image), shot.frame.image)
        np.testing.assert_array_equal(pixels_of(frame.labels), shot.frame.labels)
        hu = np.frombuffer(frame.ct_slice.data, np.int16).reshape(256, 256)
        np.testing.assert_array_equal(hu, shot.frame.ct_slice)

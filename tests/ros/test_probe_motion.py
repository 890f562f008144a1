"""The demo motion: poses on the skin at a rate, repeatable, for the patient that is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool
from us_sim_msgs.msg import FrameInfo

from us_sim.core import patient_source
from us_sim.core.errors import PatientError
from us_sim.core.robot.motion import MOTIONS, motion
from us_sim.ros.conversions import nanoseconds, pose_matrix
from us_sim.ros.probe_motion import ProbeMotion

if TYPE_CHECKING:
    from tests.ros.conftest import World


def start(world: World, namespace: str = "", **parameters: Any) -> ProbeMotion:
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    node = ProbeMotion(context=world.context, namespace=namespace, parameter_overrides=overrides)
    world.add(node)
    return node


def test_what_it_reads_at_its_start_cannot_change_in_silence(world: World) -> None:
    node = start(world, motion="rotation")
    motion_, period, seed, same = node.set_parameters(
        [Parameter("motion", value="fan_tilt"), Parameter("period", value=5.0), Parameter("seed", value=3),
         Parameter("motion", value="rotation")]
    )  # fmt: skip
    assert motion_.reason == "motion is read when probe_motion starts; stop it and start it with motion"
    assert not period.successful
    assert not seed.successful
    assert same.successful
    assert node.get_parameter("motion").value == "rotation"


@pytest.mark.parametrize("name", MOTIONS)
def test_poses_are_those_of_the_motion_again_and_again(world: World, name: str) -> None:
    poses = world.listen(PoseStamped, "us_sim/probe_pose")
    start(world, motion=name, rate=100.0, period=1.0)
    world.until(lambda: len(poses) > 150)
    expected = motion(name, patient_source.builtin_patient(0), 100)
    heard = np.stack([pose_matrix(message.pose) for message in poses])
    off = [np.abs(np.roll(expected, -start, axis=0) - heard[:100]).max() for start in range(100)]
    start_of_hearing = int(np.argmin(off))
    repeated = np.roll(expected, -start_of_hearing, axis=0)[np.arange(len(heard)) % 100]
    np.testing.assert_allclose(heard, repeated, atol=1e-6)
    assert {message.header.frame_id for message in poses} == {"ct"}
    stamps = [nanoseconds(message.header.stamp) for message in poses]
    assert stamps == sorted(stamps)


def test_every_pose_is_taken_by_a_simulator_in_the_same_namespace(world: World) -> None:
    node = world.start("left")
    infos = world.listen(FrameInfo, "left/us_sim/frame_info")
    world.listened(node.session.outputs.frame_info)
    start(world, "left", rate=100.0)
    world.until(lambda: len(infos) > 5)
    assert infos[-1].ct_frame == "left/ct"
    assert not node.session.statistics.refused


def test_it_stops_for_another_driver_and_goes_on_where_it_was(world: World) -> None:
    poses = world.listen(PoseStamped, "us_sim/probe_pose")
    start(world, motion="rotation", rate=100.0, period=5.0)
    world.until(lambda: len(poses) > 5)
    assert world.call(SetBool, "probe_motion/run", SetBool.Request(data=False)).success
    silent = world.client.get_clock().now().nanoseconds
    assert world.call(SetBool, "probe_motion/run", SetBool.Request(data=True)).success
    started = world.client.get_clock().now().nanoseconds
    count = len(poses)
    world.until(lambda: len(poses) > count + 5)
    assert not [pose for pose in poses if silent < nanoseconds(pose.header.stamp) < started - 20_000_000]
    expected = motion("rotation", patient_source.builtin_patient(0), 500)
    heard = np.stack([pose_matrix(message.pose) for message in poses])
    first = int(np.abs(expected - heard[0]).max(axis=(1, 2)).argmin())
    np.testing.assert_allclose(heard, np.roll(expected, -first, axis=0)[: len(heard)], atol=1e-6)


def test_another_patient_in_the_simulator_is_told_once(world: World) -> None:
    told = world.listen(Log, "/rosout", latched=True)
    node = world.start(seed=1)
    start(world, seed=2)

    def complaints() -> list[str]:
        return [log.msg for log in told if "the simulator shows" in log.msg]

    world.until(complaints)
    assert complaints()[0].startswith("the motion was made for phantom-2, but the simulator shows phantom-1; ")
    node.session.show(node.session.scene.simulator.replace(renderer="ct"))
    world.until(lambda: node.session.statistics.counts["accepted"] > 5)
    assert len(complaints()) == 1


def test_a_patient_that_cannot_be_loaded_is_an_error(world: World) -> None:
    with pytest.raises(PatientError, match=r"/nowhere\.nii: no such file"):
        start(world, ct="/nowhere.nii")

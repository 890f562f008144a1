"""The arm that carries the probe: joint angles on a topic, and where they bring the probe."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool
from us_sim_msgs.msg import FrameInfo

from us_sim.bringup.arguments import ARM, parse
from us_sim.bringup.sim import greeting, main, processes
from us_sim.core import patient_source
from us_sim.core.errors import ArmError, ConfigError
from us_sim.core.generator.shipped import shipped_arm
from us_sim.core.geometry.transforms import inverse, rigid
from us_sim.core.robot.motion import motion
from us_sim.core.robot.urdf import chain
from us_sim.ros.conversions import nanoseconds, pose_matrix
from us_sim.ros.fake_arm import ArmConfig, FakeArm
from us_sim.ros.probe_motion import PATIENT

if TYPE_CHECKING:
    from tests.ros.conftest import World

# Where the ball of 60 mm around the origin of `ct` is put: supine at (850, 0, 487) mm of `world`.
BALL = "0.85 0 0.487 3.14159265 0 1.57079633"
WORLD_FROM_BALL = rigid([[-1, 0, 0], [0, 0, 1], [0, 1, 0]], (850, 0, 487))


def start(world: World, namespace: str = "", **parameters: Any) -> FakeArm:
    overrides = [Parameter(name, value=value) for name, value in {"world_from_ct": BALL, **parameters}.items()]
    node = FakeArm(context=world.context, namespace=namespace, parameter_overrides=overrides)
    world.add(node)
    return node


def tip(joints: JointState, flange_to_face: float = 140.0) -> np.ndarray:
    """Pose of the probe in `world`, mm, with the arm's lengths worked out by hand."""

    def turned(about_z: float, about_y: float, length: float) -> np.ndarray:
        (cz, sz), (cy, sy) = ((math.cos(a), math.sin(a)) for a in (about_z, about_y))
        about = np.array([[cz * cy, -sz, cz * sy], [sz * cy, cz, sz * sy], [-sy, 0, cy]])
        return rigid(about, about[:, 2] * length)

    assert joints.name == [f"joint_{number}" for number in range(1, 8)]
    q = joints.position
    flange = turned(q[0], q[1], 440) @ turned(q[2], q[3], 420) @ turned(q[4], q[5], 150) @ turned(q[6] + math.pi, 0, 0)
    return rigid(np.eye(3), (0, 0, 320)) @ flange @ rigid(np.eye(3), (0, 0, flange_to_face))


def by_stamp(messages: list[Any]) -> dict[int, Any]:
    return {nanoseconds(message.header.stamp): message for message in messages}


def test_poses_and_joint_states_say_the_same(world: World) -> None:
    poses, joints = world.listen(PoseStamped, "us_sim/probe_pose"), world.listen(JointState, "joint_states")
    start(world, rate=50.0, period=3.0)
    world.until(lambda: len(by_stamp(poses).keys() & by_stamp(joints).keys()) > 20)
    told = by_stamp(joints)
    for stamp, pose in by_stamp(poses).items():
        assert pose.header.frame_id == "ct"
        if stamp in told:
            expected = inverse(WORLD_FROM_BALL) @ tip(told[stamp])
            np.testing.assert_allclose(pose_matrix(pose.pose), expected, atol=1e-4)


def test_the_probe_follows_the_motion_over_the_skin(world: World) -> None:
    """At the knots the arm is where the motion wants it; there is one knot for each of 100 poses."""
    poses = world.listen(PoseStamped, "us_sim/probe_pose")
    start(world, rate=25.0, period=4.0)
    world.until(lambda: len(poses) > 60)
    wanted = motion("liver_sweep", patient_source.builtin_patient(0), 100)
    for message in poses:
        nearest = np.abs(wanted - pose_matrix(message.pose)).max(axis=(1, 2)).min()
        assert nearest < 0.02


def test_speeds_are_the_angles_derivatives(world: World) -> None:
    joints = world.listen(JointState, "joint_states")
    start(world, rate=100.0, period=4.0)
    world.until(lambda: len(joints) > 30)
    angles, speeds = (np.array([getattr(j, part) for j in joints]) for part in ("position", "velocity"))
    np.testing.assert_allclose(speeds[1:-1], (angles[2:] - angles[:-2]) * 50.0, atol=0.02)


def test_with_tf_it_leaves_the_pose_to_robot_state_publisher(world: World) -> None:
    poses, joints = world.listen(PoseStamped, "us_sim/probe_pose"), world.listen(JointState, "joint_states")
    start(world, output="tf", rate=100.0)
    world.until(lambda: len(joints) > 10)
    assert poses == []


def test_the_calibration_moves_the_flange_not_the_probe(world: World) -> None:
    poses, joints = world.listen(PoseStamped, "us_sim/probe_pose"), world.listen(JointState, "joint_states")
    start(world, rate=50.0, flange_calibration="0 0 0.2 0 0 0")
    world.until(lambda: by_stamp(poses).keys() & by_stamp(joints).keys())
    stamp = min(by_stamp(poses).keys() & by_stamp(joints).keys())
    expected = inverse(WORLD_FROM_BALL) @ tip(by_stamp(joints)[stamp], 200.0)
    np.testing.assert_allclose(pose_matrix(by_stamp(poses)[stamp].pose), expected, atol=1e-4)


def test_a_simulator_in_the_same_namespace_shows_what_the_arm_does(world: World) -> None:
    node = world.start("left")
    infos = world.listen(FrameInfo, "left/us_sim/frame_info")
    joints = world.listen(JointState, "left/joint_states")
    world.listened(node.session.outputs.frame_info)
    start(world, "left", rate=50.0)
    world.until(lambda: len(by_stamp(infos).keys() & by_stamp(joints).keys()) > 3)
    for stamp in by_stamp(infos).keys() & by_stamp(joints).keys():
        expected = inverse(WORLD_FROM_BALL) @ tip(by_stamp(joints)[stamp])
        np.testing.assert_allclose(pose_matrix(by_stamp(infos)[stamp].ct_from_probe), expected, atol=1e-4)
    assert not node.session.statistics.refused


def test_it_stops_for_another_driver(world: World) -> None:
    joints = world.listen(JointState, "joint_states")
    start(world, rate=100.0)
    world.until(lambda: len(joints) > 3)
    assert world.call(SetBool, "probe_motion/run", SetBool.Request(data=False)).success
    silent = world.client.get_clock().now().nanoseconds
    assert world.call(SetBool, "probe_motion/run", SetBool.Request(data=True)).success
    started = world.client.get_clock().now().nanoseconds
    count = len(joints)
    world.until(lambda: len(joints) > count + 3)
    assert not [j for j in joints if silent < nanoseconds(j.header.stamp) < started - 20_000_000]


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        (
            {"flange_calibration": "0 0 0.1 0 0"},
            ConfigError,
            "flange_calibration is '0 0 0.1 0 0'; expected six numbers: x y z roll pitch yaw",
        ),
        ({"flange_calibration": "0 0 nan 0 0 0"}, ConfigError, "flange_calibration is '0 0 nan 0 0 0'; expected six"),
        ({"world_from_ct": ""}, ConfigError, "world_from_ct is ''; expected six numbers: x y z yaw pitch roll"),
        (
            {"world_from_ct": "3 0 -1 3.14 0 1.57"},
            ArmError,
            r"pose 0 of 120: out of the arm's reach.*The arm reaches with world_from_ct:=",
        ),
        ({"motion": "rotation"}, ArmError, r"out of the arm's reach.*at their limits: joint_7.*take another motion$"),
        ({"motion": "fan_tilt", "period": 1.0}, ArmError, r"joint_\d would turn at .* rad/s.*take a longer period$"),
    ],
)
def test_what_the_arm_cannot_do_is_refused(
    world: World, parameters: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        start(world, **parameters)


def test_the_advice_for_a_patient_out_of_reach_brings_it_into_reach(world: World) -> None:
    with pytest.raises(ArmError) as refusal:
        start(world, world_from_ct="3 0 -1 3.14159265 0 1.57079633")
    advice = str(refusal.value).split('world_from_ct:="')[1].rstrip('"')
    joints = world.listen(JointState, "joint_states")
    start(world, world_from_ct=advice, rate=100.0)
    world.until(lambda: joints)


# -- how it is started ----------------------------------------------------------------------------------


def test_the_arm_takes_the_demos_place() -> None:
    values = parse(["arm:=true", "world_from_ct:=0.5 0 0.1 3.14 0 1.57", "viewer:=false", "rate:=20", "gain:=3"])
    commands = processes(values)
    assert list(commands) == ["us_sim", "fake_arm"]
    assert commands["fake_arm"][3:] == [
        "--ros-args",
        "-p",
        'world_from_ct:="0.5 0 0.1 3.14 0 1.57"',
        "-p",
        "rate:=20.0",
    ]
    assert commands["us_sim"][3:] == ["--ros-args", "-p", "rate:=20.0", "-p", "gain:=3.0"]
    assert "moved by fake_arm (liver_sweep)." in greeting(values)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["arm:=true", "motion:=none"], "arm is true, but motion is 'none'; choose a motion for the arm"),
        (["flange_calibration:=0 0 1"], "flange_calibration is '0 0 1'; expected six numbers: x y z roll pitch yaw"),
        (["flange_calibration:=0 0 1 nan 0 0"], "expected six numbers: x y z roll pitch yaw"),
        (["flange_frame_id:=tool0"], "flange_frame_id needs a ROS 2 installation"),
        (["world_from_ct:=0 0 1 0 0 0"], "world_from_ct needs a ROS 2 installation"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_the_table_agrees_with_the_node() -> None:
    assert {*(item.name for item in fields(ArmConfig)), *PATIENT, "use_sim_time"} == ARM


def test_the_shipped_urdf_holds_the_calibration() -> None:
    joints = chain(shipped_arm([0.01, 0.02, 0.03, 0, 0, 0]), "flange", "probe")
    assert joints[-1].parent_from_joint[:3, 3].tolist() == [10, 20, 30]

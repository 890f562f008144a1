"""~/wrench for every accepted pose, and a patient that breathes: signs, stamps, frames, live settings, bad values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Float32
from std_srvs.srv import SetBool, Trigger
from us_sim_msgs.msg import Contact, FrameInfo
from us_sim_msgs.srv import LoadPatient, RenderFrame
from visualization_msgs.msg import MarkerArray

from us_sim.core.contact.force import wrench
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.geometry.transforms import rigid

if TYPE_CHECKING:
    from tests.ros.conftest import World

RADIUS = 60.0  # mm, of the ball


def seconds(message: Any) -> float:
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9


def shown(messages: list[Any], stamp: float) -> Callable[[], bool]:
    """Whether the last message carries a stamp."""
    return lambda: bool(messages) and seconds(messages[-1]) == stamp


def force(message: WrenchStamped) -> np.ndarray:
    f = message.wrench.force
    return np.array([f.x, f.y, f.z])


def listening(world: World, **parameters: Any) -> tuple[Any, Any, list[Any]]:
    """A node, what sends it poses, and its wrenches."""
    node = world.start(**parameters)
    wrenches = world.listen(WrenchStamped, "us_sim/wrench")
    world.listened(node.session.outputs.wrench)
    send = world.sender(node)
    world.until(lambda: wrenches)
    return node, send, wrenches


def at(world: World, send: Any, wrenches: list[Any], pose: PoseStamped) -> Any:
    """Send a pose; return its wrench."""
    send(pose)
    stamp = seconds(pose)
    return world.until(lambda: next((w for w in reversed(wrenches) if seconds(w) == stamp), None))


def set_live(world: World, name: str, value: Any) -> Any:
    message: ParameterMsg = Parameter(name, value=value).to_parameter_msg()
    return world.call(SetParameters, "us_sim/set_parameters", SetParameters.Request(parameters=[message])).results[0]


def test_pressing_in_gives_minus_z_in_frame_probe(world: World) -> None:
    node, send, wrenches = listening(world)
    told = at(world, send, wrenches, world.pose(2.0, z=-RADIUS + 8.0))
    assert (told.header.frame_id, seconds(told)) == ("probe", 2.0)
    assert force(told)[2] < -0.5
    simulator = node.session.scene.simulator
    before = simulator.indentation(rigid(np.eye(3), [0, 0, -RADIUS]))
    now = simulator.indentation(rigid(np.eye(3), [0, 0, -RADIUS + 8.0]))
    expected = wrench(now, simulator.mechanics, before, 1.0)
    np.testing.assert_allclose(force(told), expected.force, rtol=1e-9, atol=1e-12)
    torque = told.wrench.torque
    np.testing.assert_allclose([torque.x, torque.y, torque.z], expected.torque / 1000, atol=1e-12)  # N m
    assert force(at(world, send, wrenches, world.pose(3.0, z=-RADIUS - 20.0))).any() == np.False_


def test_each_accepted_pose_has_its_wrench_drawn_or_not_and_when_frozen(world: World) -> None:
    node, send, wrenches = listening(world)
    assert world.call(SetBool, "us_sim/freeze", SetBool.Request(data=True)).success
    for place in range(10):
        at(world, send, wrenches, world.pose(2.0 + place, z=-RADIUS + 2.0 + place))
    fz = [force(w)[2] for w in wrenches[-10:]]
    assert (np.diff(fz) < 0).all()
    assert len(wrenches) == node.session.statistics.counts["accepted"]
    assert node.session.scene.simulator.log == []


def test_damping_follows_the_stamps_of_two_poses(world: World) -> None:
    _, send, wrenches = listening(world, damping=5.0, friction=0.0)
    still = at(world, send, wrenches, world.pose(2.0, z=-RADIUS + 6.0))
    rest = at(world, send, wrenches, world.pose(4.0, z=-RADIUS + 6.0))
    slow = at(world, send, wrenches, world.pose(5.0, z=-RADIUS + 7.0))  # 1 mm/s
    at(world, send, wrenches, world.pose(6.0, z=-RADIUS + 6.0))
    fast = at(world, send, wrenches, world.pose(6.01, z=-RADIUS + 7.0))  # 100 mm/s: 1 + 5 × 0.1
    assert force(still)[2] == pytest.approx(force(rest)[2], rel=0.05)
    assert force(fast)[2] / force(slow)[2] == pytest.approx(1.5, rel=0.05)


def test_friction_follows_the_way_of_the_probe(world: World) -> None:
    _, send, wrenches = listening(world, damping=0.0, friction=0.2)
    at(world, send, wrenches, world.pose(2.0, z=-RADIUS + 6.0))
    pulled = force(at(world, send, wrenches, world.pose(2.1, x=5.0, z=-RADIUS + 6.0)))  # 50 mm/s along +x
    still = force(at(world, send, wrenches, world.pose(3.0, x=5.0, z=-RADIUS + 6.0)))
    assert pulled[0] - still[0] == pytest.approx(0.2 * pulled[2], rel=0.1)


def test_another_patient_during_a_scan_starts_from_rest(world: World, tmp_path: Any) -> None:
    (tmp_path / "b.nii.gz").touch()
    node, send, wrenches = listening(world, damping=20.0)
    at(world, send, wrenches, world.pose(2.0, z=-RADIUS))
    answer = world.call(LoadPatient, "us_sim/load_patient", LoadPatient.Request(ct=str(tmp_path / "b.nii.gz")))
    assert answer.success
    first = force(at(world, send, wrenches, world.pose(2.01, z=-RADIUS + 8.0)))
    simulator = node.session.scene.simulator
    at_rest = wrench(simulator.indentation(rigid(np.eye(3), [0, 0, -RADIUS + 8.0])), simulator.mechanics)
    np.testing.assert_allclose(first, at_rest.force, atol=1e-12)


def test_stiffness_changes_live(world: World) -> None:
    _, send, wrenches = listening(world)
    soft = force(at(world, send, wrenches, world.pose(2.0, z=-RADIUS + 6.0)))
    soft = force(at(world, send, wrenches, world.pose(3.0, z=-RADIUS + 6.0)))
    assert set_live(world, "stiffness", 3.0).successful
    hard = force(at(world, send, wrenches, world.pose(4.0, z=-RADIUS + 6.0)))
    np.testing.assert_allclose(hard, 3 * soft, rtol=1e-6, atol=1e-12)


def test_without_listeners_no_wrench_is_made(world: World) -> None:
    node = world.start()
    world.sender(node)
    world.until(lambda: node.session.statistics.counts["unwatched"])
    assert node.session.scene.simulator.touched == []


def test_the_arrow_in_rviz_is_the_wrench_of_its_pose(world: World) -> None:
    """Also while the probe moves, with damping and friction; and each pose is worked out once for all topics."""
    node, send, wrenches = listening(world, damping=5.0, friction=0.2)
    markers, contacts = world.listen(MarkerArray, "us_sim/markers"), world.listen(Contact, "us_sim/contact")
    infos, out = world.listen(FrameInfo, "us_sim/frame_info"), node.session.outputs
    world.listened(out.markers, out.contact, out.frame_info)
    at(world, send, wrenches, world.pose(2.0, z=-RADIUS + 4.0))
    world.until(shown(infos, 2.0))
    simulator = node.session.scene.simulator
    simulator.touched.clear()
    told = at(world, send, wrenches, world.pose(2.02, x=0.4, z=-RADIUS + 5.0))  # 50 mm/s in, 20 mm/s aside
    world.until(shown(infos, 2.02))
    world.until(shown(contacts, 2.02))
    world.until(lambda: markers and seconds(markers[-1].markers[2]) == 2.02)
    tail, tip = (np.array([p.x, p.y, p.z]) for p in markers[-1].markers[2].points)
    np.testing.assert_allclose((tip - tail) / 0.008, force(told), atol=1e-9)  # 8 mm of arrow for a newton
    at_rest = wrench(simulator.indentation(rigid(np.eye(3), [0.4, 0, -RADIUS + 5.0])), simulator.mechanics)
    assert force(told)[2] / at_rest.force[2] == pytest.approx(1.25, rel=0.05)  # 1 + 5 s/m × 0.05 m/s
    assert len(simulator.touched) == 1


def test_frames_tell_that_they_are_deformed(world: World) -> None:
    node = world.start()
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    world.listened(node.session.outputs.frame_info)
    send = world.sender(node)
    for stamp, z, deformed in ((2.0, -RADIUS + 5.0, True), (3.0, -RADIUS - 5.0, False)):
        send(world.pose(stamp, z=z))
        world.until(shown(infos, stamp))
        assert infos[-1].deformed == deformed


@pytest.mark.parametrize(
    ("name", "value"),
    [("stiffness", math.nan), ("stiffness", 0.0), ("damping", -0.1), ("damping", math.nan), ("friction", 1.1),
     ("friction", math.nan), ("breathing_amplitude", 41.0), ("breathing_amplitude", math.nan),
     ("breathing_period", 0.0), ("breathing_period", math.inf)],
)  # fmt: skip
def test_values_out_of_range_are_refused(world: World, name: str, value: float) -> None:
    node = world.start()
    before = node.session.scene
    answer = set_live(world, name, value)
    assert not answer.successful
    rule = MechanicsSettings.__dataclass_fields__[name].metadata
    assert f"Min: {rule['low']}, Max: {rule['high']}, value: {value}" in answer.reason
    assert node.session.scene is before


def test_deformation_is_true_or_false(world: World) -> None:
    node = world.start()
    assert "Wrong parameter type, expected " in set_live(world, "deformation", 1.0).reason
    assert set_live(world, "deformation", False).successful
    assert not node.session.scene.simulator.mechanics.deformation


# -- breathing ----------------------------------------------------------------------------------------------


def test_a_still_probe_sees_the_breath_go_on(world: World) -> None:
    """One pose; frames with stamps that go on, phases that are those of the stamps."""
    node = world.start(breathing_amplitude=10.0, breathing_period=2.0)
    images, phases = world.listen(Image, "us_sim/image"), world.listen(Float32, "us_sim/breathing")
    world.listened(node.session.outputs.image, node.session.outputs.breathing)
    world.sender(node)(world.pose(10.5))
    world.until(lambda: len(images) > 8 and len(phases) > 8 and seconds(images[-1]) > 10.7)
    stamps = [seconds(image) for image in images if seconds(image) >= 10.5]
    assert (np.diff(stamps) > 0).all()
    simulated = [t for t in node.session.scene.simulator.times if t >= 10.5]
    np.testing.assert_allclose(stamps[:5], simulated[:5], atol=1e-9)
    known = np.mod(np.array(node.session.scene.simulator.times), 2.0) / 2.0
    for phase in phases:
        assert np.abs(known - phase.data).min() < 1e-4


def test_a_patient_that_holds_its_breath_is_drawn_once(world: World) -> None:
    node = world.start()
    images, phases = world.listen(Image, "us_sim/image"), world.listen(Float32, "us_sim/breathing")
    world.listened(node.session.outputs.image, node.session.outputs.breathing)
    send = world.sender(node)
    for stamp in (10.0, 11.0, 12.0):
        send(world.pose(stamp))
        world.until(shown(images, stamp))
    assert {seconds(image) for image in images} <= {1.0, 10.0, 11.0, 12.0}
    assert phases == []


def test_a_frozen_frame_does_not_breathe(world: World) -> None:
    node = world.start(breathing_amplitude=10.0)
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    world.listened(node.session.outputs.frame_info)
    world.sender(node)(world.pose(10.0))
    world.until(lambda: infos and seconds(infos[-1]) > 10.0)
    assert world.call(SetBool, "us_sim/freeze", SetBool.Request(data=True)).success
    world.until(lambda: sum(info.frozen for info in infos) > 1)
    assert len({seconds(info) for info in infos if info.frozen}) == 1


def test_rendered_poses_breathe_by_their_stamps(world: World) -> None:
    node = world.start(breathing_amplitude=10.0)
    poses = [world.pose(10.0 + place) for place in range(3)]
    answer = world.call(RenderFrame, "us_sim/render", RenderFrame.Request(poses=poses))
    assert answer.success
    assert node.session.scene.simulator.times[-3:] == [10.0, 11.0, 12.0]


def test_zeroing_takes_the_present_wrench_off(world: World) -> None:
    node = world.start()
    answer = world.call(Trigger, "us_sim/wrench_zero", Trigger.Request())
    assert not answer.success
    assert answer.message.startswith("there is no wrench yet")
    wrenches = world.listen(WrenchStamped, "us_sim/wrench")
    world.listened(node.session.outputs.wrench)
    send = world.sender(node)

    def force(stamp: float, depth: float) -> float:
        world.until(lambda: send(world.pose(stamp, z=-RADIUS + depth)) or wrenches[-1].header.stamp.sec == int(stamp))
        return float(wrenches[-1].wrench.force.z)

    world.until(lambda: wrenches)
    pressed, harder = force(2.0, 3.0), force(4.0, 5.0)
    assert harder < pressed < 0
    force(6.0, 3.0)
    assert world.call(Trigger, "us_sim/wrench_zero", Trigger.Request()).success
    assert force(8.0, 3.0) == pytest.approx(0.0, abs=1e-9)
    assert force(10.0, 5.0) == pytest.approx(harder - pressed, rel=0.01)  # damping counts, too

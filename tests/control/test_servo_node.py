"""The servo over DDS: it centres, holds, and says what it cannot do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from geometry_msgs.msg import PointStamped, PoseStamped
from rclpy.exceptions import InvalidParameterValueException
from rclpy.parameter import Parameter
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from tests.control.flat import upright

from us_sim.control.config import ServoConfig
from us_sim.control.servo import ServoNode
from us_sim.core.errors import ConfigError
from us_sim.ros.conversions import pose_message
from us_sim.ros.outputs import stream_qos

if TYPE_CHECKING:
    from tests.control.conftest import FlatSim, World

pytestmark = pytest.mark.usefixtures("quick")
Start = Callable[..., ServoNode]


def put(world: World, node: ServoNode, z: float = -5.0) -> None:
    """Send the probe's pose until the servo takes it over."""
    publisher = world.client.create_publisher(PoseStamped, "us_sim/probe_pose", stream_qos())

    def taken() -> bool:
        header = Header(stamp=world.client.get_clock().now().to_msg(), frame_id="ct")
        publisher.publish(PoseStamped(header=header, pose=pose_message(upright(z=z))))
        return node._robot.pose is not None

    world.until(taken)


def states(world: World) -> list[str]:
    """The list that fills with the servo's states."""
    words: list[str] = []
    world.client.create_subscription(String, "us_sim_servo/state", lambda message: words.append(message.data), 50)
    return words


def test_an_organ_is_found_centred_and_held(world: World, flat_sim: FlatSim, servo_node: Start) -> None:
    said, offsets = states(world), world.listen(PointStamped, "us_sim_servo/offset")
    node = servo_node()
    put(world, node)
    world.until(lambda: said and said[-1] == "hold", 120.0)
    assert flat_sim.organ is not None
    np.testing.assert_allclose(flat_sim.poses[-1][:2, 3], flat_sim.organ.centre[:2], atol=5.0)
    assert [word for word in said if not word.startswith("waiting")] == ["press", "search", "sweep", "centre", "hold"]
    assert abs(offsets[-1].point.x) < 0.005
    assert abs(offsets[-1].point.y) < 0.005
    assert flat_sim.get_parameter("depth").value == 110.0
    count = len(flat_sim.poses)
    world.until(lambda: len(flat_sim.poses) > count + 20)  # it goes on holding
    assert flat_sim.poses[-1][2, 3] == pytest.approx(5.0, abs=0.5)  # N on 1 N/mm


def test_an_organ_that_is_not_there_is_said_so_off_the_skin(world: World, flat_sim: FlatSim, servo_node: Start) -> None:
    flat_sim.organ = None
    said = states(world)
    put(world, servo_node())
    world.until(lambda: said and said[-1].startswith("absent"), 180.0)
    assert said[-1] == "absent: no kidney is visible from here; start closer to it"
    world.until(lambda: flat_sim.poses[-1][2, 3] < 0.0)  # the word may come before the pose


def test_a_name_that_nobody_knows_is_said_at_once(world: World, flat_sim: FlatSim, servo_node: Start) -> None:
    said = states(world)
    put(world, servo_node(organ="heart", look_depth=0.0))
    world.until(lambda: said and said[-1].startswith("absent"))
    assert said[-1] == "absent: ~/analysis does not know 'heart'; it reports kidney, liver"
    assert flat_sim.get_parameter("depth").value == 0.0


def test_a_patient_swapped_meanwhile_ends_it(world: World, flat_sim: FlatSim, servo_node: Start) -> None:
    said = states(world)
    put(world, servo_node())
    world.until(lambda: "search" in said or "sweep" in said)
    flat_sim.show_patient("two")
    world.until(lambda: said[-1].startswith("failed"))
    assert said[-1] == "failed: the patient was changed to two"
    world.until(lambda: flat_sim.poses[-1][2, 3] < 0.0)  # the word may come before the pose


def test_a_simulator_that_falls_silent_ends_it(world: World, flat_sim: FlatSim, servo_node: Start) -> None:
    said = states(world)
    put(world, servo_node())
    flat_sim.mute = True
    world.until(lambda: said and said[-1].startswith("failed"))
    assert said[-1] == "failed: the simulator has stopped responding"


def test_no_skin_ends_it(world: World, flat_sim: FlatSim, servo_node: Start) -> None:
    said = states(world)
    put(world, servo_node(), z=-400.0)
    world.until(lambda: said and said[-1].startswith("failed"), 120.0)
    assert said[-1].startswith("failed: no skin within 20 mm along the beam")


@pytest.mark.parametrize("name", ["force", "look_depth", "force_limit", "control_rate"])
def test_a_parameter_that_is_no_number_is_refused(world: World, name: str) -> None:
    wrong: dict[str, Any] = {name: math.nan}
    with pytest.raises((ConfigError, InvalidParameterValueException), match=f"{name}.*nan"):
        ServoNode(context=world.context, parameter_overrides=[Parameter(name, value=math.nan)])
    with pytest.raises(ConfigError, match=f"{name} is nan; expected"):
        ServoConfig(**wrong)


def test_a_force_above_its_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match="force is 10 N; expected less than force_limit, 8 N"):
        ServoConfig(force=10.0, force_limit=8.0)


def test_it_waits_for_a_start_begins_again_after_a_stop_and_reads_its_parameters_anew(
    world: World, flat_sim: FlatSim, servo_node: Start
) -> None:
    said = states(world)
    node = servo_node(autostart=False)
    world.until(lambda: said and said[-1] == "stopped until ~/start is called")
    start = world.client.create_client(Trigger, "us_sim_servo/start")
    begun = start.call_async(Trigger.Request())
    world.until(begun.done)
    assert begun.result().success
    put(world, node)
    again = start.call_async(Trigger.Request())
    world.until(again.done)
    assert again.result().message == "it is at work already; call ~/stop first"
    stop = world.client.create_client(Trigger, "us_sim_servo/stop").call_async(Trigger.Request())
    world.until(lambda: stop.done() and said[-1] == "stopped by ~/stop")
    (fixed,) = node.set_parameters([Parameter("control_rate", value=20.0)])
    assert fixed.reason == "control_rate is read when us_sim_servo starts; stop it and start it with control_rate"
    node.set_parameters([Parameter("force", value=30.0)])
    refused = start.call_async(Trigger.Request())
    world.until(refused.done)
    assert refused.result().message == "force is 30 N; expected less than force_limit, 25 N"
    node.set_parameters([Parameter("force", value=6.0)])
    start.call_async(Trigger.Request())
    world.until(lambda: node._robot.pose is not None and node._config.force == 6.0)

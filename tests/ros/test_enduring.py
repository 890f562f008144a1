"""No message ends a node: what callbacks raise is logged once and counted, and services answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.node import Node
from rclpy.parameter import Parameter as NodeParameter
from std_msgs.msg import Empty
from std_srvs.srv import Trigger

from us_sim.core.errors import PoseError, RecordingError
from us_sim.ros.enduring import EnduringExecutor
from us_sim.ros.node import UsSim

if TYPE_CHECKING:
    from tests.ros.conftest import World


@pytest.fixture
def enduring(world: World) -> Iterator[Any]:
    """Spins a node as `run` does."""
    running: list[tuple[Node, EnduringExecutor, threading.Thread]] = []

    def start(node: Node) -> EnduringExecutor:
        executor = EnduringExecutor(context=world.context, ends=(RecordingError,))
        executor.add_node(node)
        executor.answer_always(node)
        thread = threading.Thread(target=executor.spin)
        thread.start()
        running.append((node, executor, thread))
        return executor

    yield start
    for node, executor, thread in running:
        executor.shutdown()
        executor.wake()
        thread.join(10)
        node.destroy_node()


def parameter(name: str, kind: int, value: float) -> Parameter:
    return Parameter(name=name, value=ParameterValue(type=kind, double_value=value))


def test_unknown_transitions_and_types_are_answered(world: World, enduring: Any, capfd: Any) -> None:
    given = [NodeParameter("renderer", value="physics"), NodeParameter("data_folders", value="/")]
    node: Any = UsSim(context=world.context, parameter_overrides=given)
    node.autostart()
    executor = enduring(node)
    for number in (0, 42, 255):
        asked = ChangeState.Request(transition=Transition(id=number))
        assert not world.call(ChangeState, "us_sim/change_state", asked).success
    strange = [
        parameter("gain", ParameterType.PARAMETER_DOUBLE, 3.0), parameter("gain", 99, 0.0),
        parameter("depth", ParameterType.PARAMETER_DOUBLE, 120.0),
    ]  # fmt: skip
    results = world.call(SetParameters, "us_sim/set_parameters", SetParameters.Request(parameters=strange)).results
    assert [result.successful for result in results] == [True, False, False]
    assert "99 is not a valid" in results[1].reason
    asked = SetParametersAtomically.Request(parameters=strange)
    assert "99" in world.call(SetParametersAtomically, "us_sim/set_parameters_atomically", asked).result.reason
    (gain,) = world.call(GetParameters, "us_sim/get_parameters", GetParameters.Request(names=["gain"])).values
    assert gain.double_value == 3.0
    assert node.session.scene is not None
    raised = 5 if "us_sim/change_state" in " ".join(executor.failures) else 2  # Jazzy's answers to transitions raise
    assert executor.failures.total() == raised
    errors = capfd.readouterr().err
    assert errors.count("change_state: ") == (raised == 5)  # each kind is told once
    assert "it continues" in errors
    told = world.listen(DiagnosticArray, "/diagnostics")
    world.until(lambda: told)
    assert sum(value.key.startswith("failed: ") for value in told[-1].status[0].values) == len(executor.failures)


def test_what_callbacks_raise_is_logged_once_and_counted(world: World, enduring: Any, capfd: Any) -> None:
    node = Node("fragile", context=world.context)

    def fail(_: Empty) -> None:
        raise PoseError("NaN or Inf anywhere")

    def serve(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        raise KeyError("nothing there")

    def end(_: Empty) -> None:
        raise RecordingError("the disk is full")

    node.create_subscription(Empty, "fail", fail, 10)
    node.create_service(Trigger, "serve", serve)
    node.create_subscription(Empty, "end", end, 10)
    executor = enduring(node)
    failing = world.client.create_publisher(Empty, "fail", 10)
    world.listened(failing)
    for _ in range(3):
        before = executor.failures.total()
        failing.publish(Empty())
        world.until(lambda before=before: executor.failures.total() > before)  # type: ignore[misc]
    assert executor.failures.total() == 3
    answer = world.call(Trigger, "serve", Trigger.Request())
    assert (answer.success, answer.message) == (False, "KeyError: 'nothing there'")
    assert capfd.readouterr().err.count("NaN or Inf anywhere") == 1


def test_what_is_meant_to_end_a_node_does(world: World) -> None:
    node = Node("recorder", context=world.context)

    def end(_: Empty) -> None:
        raise RecordingError("the disk is full")

    node.create_subscription(Empty, "end", end, 10)
    ending = world.client.create_publisher(Empty, "end", 10)
    world.listened(ending)
    ending.publish(Empty())
    executor = EnduringExecutor(context=world.context, ends=(RecordingError,))
    executor.add_node(node)
    with pytest.raises(RecordingError, match="the disk is full"):
        executor.spin()
    executor.shutdown()
    node.destroy_node()


def test_two_nodes_of_one_name_are_told_of(world: World) -> None:
    world.start()
    world.start()
    told = world.listen(DiagnosticArray, "/diagnostics")
    world.until(lambda: any("2 nodes are called /us_sim" in status.message for m in told for status in m.status))

"""Pause, step and reset as simulators share them, with stand-ins for the messages of `simulation_interfaces`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sensor_msgs.msg import Image

from us_sim.ros.simulation_control import SimulationControl, offer
from us_sim.ros.stepping import Stepping

if TYPE_CHECKING:
    from tests.ros.conftest import World

STOPPED, PLAYING, PAUSED, QUITTING = range(4)
UNSUPPORTED, OK, _, _, FAILED = range(5)
MSG = SimpleNamespace(
    Result=SimpleNamespace(RESULT_OK=OK, RESULT_OPERATION_FAILED=FAILED),
    SimulationState=SimpleNamespace(STATE_STOPPED=STOPPED, STATE_PLAYING=PLAYING, STATE_PAUSED=PAUSED),
    SimulatorFeatures=SimpleNamespace(
        SIMULATION_RESET=20, SIMULATION_RESET_TIME=21, SIMULATION_RESET_STATE=22, SIMULATION_STATE_GETTING=24,
        SIMULATION_STATE_SETTING=25, SIMULATION_STATE_PAUSE=26, STEP_SIMULATION_SINGLE=31, STEP_SIMULATION_MULTIPLE=32,
    ),
)  # fmt: skip
NAMES = ("GetSimulatorFeatures", "GetSimulationState", "SetSimulationState", "ResetSimulation", "StepSimulation")
SRV = SimpleNamespace(**{name: name for name in NAMES})


class Response:
    ALREADY_IN_TARGET_STATE = 101

    def __init__(self) -> None:
        self.result = SimpleNamespace(result=UNSUPPORTED, error_message="")
        self.state, self.features = SimpleNamespace(state=-1), SimpleNamespace(features=[], custom_info="")


class StandIn:
    """A node whose services take any type."""

    def __init__(self, node: Any) -> None:
        self.services: list[tuple[str, str]] = []
        self._node = node

    def create_service(self, kind: str, name: str, callback: Any) -> None:
        self.services.append((kind, name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)


@pytest.fixture
def node(world: World) -> Any:
    return world.start()


@pytest.fixture
def control(node: Any) -> SimulationControl:
    return SimulationControl(StandIn(node), node.session, SRV, MSG)


def put(control: SimulationControl, state: int) -> Response:
    return control.set_state(SimpleNamespace(state=SimpleNamespace(state=state)), Response())


def state(control: SimulationControl) -> int:
    return int(control.state(None, Response()).state.state)


def test_the_services_stand_under_their_names_and_features_say_so(node: Any) -> None:
    there = StandIn(node)
    features = SimulationControl(there, node.session, SRV, MSG).features(None, Response()).features
    assert [kind for kind, _ in there.services] == list(NAMES)
    assert there.services[-1][1] == "~/step_simulation"
    assert features.features == [20, 21, 22, 24, 25, 26, 31, 32]
    assert offer(node, node.session) is None, "simulation_interfaces is installed here: test it instead of stand-ins"


def test_states_are_those_of_lifecycle_and_freeze(node: Any, control: SimulationControl) -> None:
    assert state(control) == PLAYING
    assert put(control, PLAYING).result.result == 101
    for wanted in (PAUSED, STOPPED, PAUSED, PLAYING):
        assert put(control, wanted).result.result == OK
        assert state(control) == wanted
    assert node.session.stream is not None
    refused = put(control, QUITTING).result
    assert refused.result == FAILED
    assert refused.error_message.startswith("state is 3; expected 0, stopped, 1, playing, or 2, paused")


def test_a_step_draws_so_many_poses_and_no_more(world: World, node: Any, control: SimulationControl) -> None:
    send = shown(world, node, 1.0)
    put(control, PAUSED)
    task = node.executor.create_task(control.step, SimpleNamespace(steps=2), Response())
    number = 0

    def done() -> bool:
        nonlocal number
        number += 1
        send(world.pose(2.0 + number))
        return bool(task.done())

    world.until(done)
    assert task.result().result.result == OK
    counts = node.session.statistics.counts
    assert counts["rendered"] == 3
    assert state(control) == PAUSED


@pytest.mark.parametrize(("steps", "message"), [(0, "steps is 0; expected 1 to"), (99_999, "steps is 99999; expected")])
def test_steps_that_cannot_be(world: World, node: Any, control: SimulationControl, steps: int, message: str) -> None:
    assert stepped(world, node, control, steps).error_message == "the image is not frozen; pause first"
    put(control, PAUSED)
    assert message in stepped(world, node, control, steps).error_message


def shown(world: World, node: Any, stamp: float) -> Any:
    """Show the frame of a first pose; return what sends more."""
    images = world.listen(Image, "us_sim/image")
    world.listened(node.session.outputs.image)
    send = world.sender(node)
    send(world.pose(stamp))
    world.until(lambda: images)
    return send


def stepped(world: World, node: Any, control: SimulationControl, steps: int) -> Any:
    task = node.executor.create_task(control.step, SimpleNamespace(steps=steps), Response())
    world.until(task.done)
    return task.result().result


def test_a_reset_begins_anew(world: World, node: Any, control: SimulationControl) -> None:
    send = shown(world, node, 9.0)
    assert node.session.stream.zero_wrench()
    put(control, PAUSED)
    assert control.reset(SimpleNamespace(scope=0), Response()).result.result == OK
    assert state(control) == PAUSED
    assert node.session.statistics.counts["rendered"] == 0
    put(control, PLAYING)
    send(world.pose(1.0))  # older than the last one before the reset
    world.until(lambda: node.session.statistics.counts["rendered"] == 1)
    put(control, STOPPED)
    assert "not active" in control.reset(SimpleNamespace(scope=0), Response()).result.error_message


def test_who_waits_is_let_go() -> None:
    stepping = Stepping(2)
    assert (stepping.take(), stepping.take()) == (True, False), "one at a time"
    stepping.drawn()
    stepping.drawn()  # a frozen frame drawn again: none was taken
    stepping.end()
    assert not stepping.wait()
    assert not stepping.take()
    whole = Stepping(1)
    assert whole.take()
    whole.drawn()
    assert whole.wait()
    assert Stepping(0).wait()

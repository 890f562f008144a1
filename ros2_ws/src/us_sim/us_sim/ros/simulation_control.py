# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The services that `simulation_interfaces` standardises for simulators, where that package is installed.

State, reset and stepping of an ultrasound probe: playing is active, paused is frozen, stopped is inactive; a step is
the frame of one pose that comes while the image is frozen.
"""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from us_sim.ros.session import Session
from us_sim.ros.worker import in_worker

STEPS = 10_000  # most in one call


class SimulationControl:
    """~/get_simulator_features, ~/get_simulation_state, ~/set_simulation_state, ~/reset_simulation, ~/step_simulation.

    Args:
        node: whose services they are.
        session: that is controlled.
        srv, msg: the modules of `simulation_interfaces`.
    """

    def __init__(self, node: LifecycleNode, session: Session, srv: Any, msg: Any) -> None:
        self._node, self._session, self._msg = node, session, msg
        node.create_service(srv.GetSimulatorFeatures, "~/get_simulator_features", self.features)
        node.create_service(srv.GetSimulationState, "~/get_simulation_state", self.state)
        node.create_service(srv.SetSimulationState, "~/set_simulation_state", self.set_state)
        node.create_service(srv.ResetSimulation, "~/reset_simulation", self.reset)
        node.create_service(srv.StepSimulation, "~/step_simulation", self.step)

    def features(self, request: Any, response: Any) -> Any:
        """Say what of the interface this simulator has."""
        can = self._msg.SimulatorFeatures
        response.features.features = [
            can.SIMULATION_RESET, can.SIMULATION_RESET_TIME, can.SIMULATION_RESET_STATE, can.SIMULATION_STATE_GETTING,
            can.SIMULATION_STATE_SETTING, can.SIMULATION_STATE_PAUSE, can.STEP_SIMULATION_SINGLE,
            can.STEP_SIMULATION_MULTIPLE,
        ]  # fmt: skip
        response.features.custom_info = "us_sim: a step is the frame of one pose that comes while the image is frozen"
        return response

    def state(self, request: Any, response: Any) -> Any:
        """Say whether it is playing, paused or stopped."""
        response.state.state, response.result.result = self._state, self._msg.Result.RESULT_OK
        return response

    @property
    def _state(self) -> int:
        states, stream = self._msg.SimulationState, self._session.stream
        if stream is None:
            return int(states.STATE_STOPPED)
        return int(states.STATE_PAUSED if stream.frozen else states.STATE_PLAYING)

    def set_state(self, request: Any, response: Any) -> Any:
        """Activate, freeze, let go or deactivate."""
        states, wanted = self._msg.SimulationState, request.state.state
        reached = (states.STATE_PLAYING, states.STATE_PAUSED, states.STATE_STOPPED)
        if wanted not in reached:
            return self._failed(response, f"state is {wanted}; expected 0, stopped, 1, playing, or 2, paused")
        if wanted == self._state:
            response.result.result = type(response).ALREADY_IN_TARGET_STATE
            return response
        if wanted == states.STATE_STOPPED:
            done = self._node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        else:
            done = self._session.stream is not None or self._activated()
            if done and self._session.stream is not None:
                self._session.stream.freeze(wanted == states.STATE_PAUSED)
        if not done:
            return self._failed(response, "the node did not change its state; its log says why")
        response.result.result = self._msg.Result.RESULT_OK
        return response

    def _activated(self) -> bool:
        """Activate, after configuring if need be; return whether it is active."""
        success = TransitionCallbackReturn.SUCCESS
        if self._session.scene is None and self._node.trigger_configure() != success:
            return False
        return bool(self._node.trigger_activate() == success)

    def reset(self, request: Any, response: Any) -> Any:
        """Begin anew: counters, order of stamps, respiratory phase, zero of the wrench; the next pose is the first."""
        stream = self._session.stream
        if stream is None:
            return self._failed(response, "the node is not active; there is nothing to reset")
        frozen, success = stream.frozen, TransitionCallbackReturn.SUCCESS
        if self._node.trigger_deactivate() != success or self._node.trigger_activate() != success:
            return self._failed(response, "the node did not change its state; its log says why")
        if frozen and self._session.stream is not None:
            self._session.stream.freeze(True)
        response.result.result = self._msg.Result.RESULT_OK
        return response

    async def step(self, request: Any, response: Any) -> Any:
        """Show the frames of the next poses that come while the image is frozen; answer when they are drawn."""
        stream = self._session.stream
        if stream is None or not stream.frozen:
            return self._failed(response, "the image is not frozen; pause first")
        if not 1 <= request.steps <= STEPS:
            return self._failed(response, f"steps is {request.steps}; expected 1 to {STEPS}")
        if not await in_worker(self._node.executor, stream.step(request.steps).wait):
            return self._failed(response, "the image was let go, or another step was asked for, before all poses came")
        response.result.result = self._msg.Result.RESULT_OK
        return response

    def _failed(self, response: Any, why: str) -> Any:
        response.result.result = self._msg.Result.RESULT_OPERATION_FAILED
        response.result.error_message = why
        return response


def offer(node: LifecycleNode, session: Session) -> SimulationControl | None:
    """Offer the services if `simulation_interfaces` is installed."""
    try:
        from simulation_interfaces import msg, srv
    except ImportError:
        return None
    return SimulationControl(node, session, srv, msg)

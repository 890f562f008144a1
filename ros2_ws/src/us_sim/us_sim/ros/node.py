# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The simulator as a lifecycle node: poses in, frames out.

The executor's thread validates poses and answers services; the stream's thread renders the newest pose. Both read the
session.
"""

from __future__ import annotations

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from us_sim.core.command import as_command, leave
from us_sim.core.errors import ConfigError
from us_sim.ros import parameters
from us_sim.ros.diagnostics import Statistics
from us_sim.ros.heartbeat import Heartbeat
from us_sim.ros.patient_list import PatientList
from us_sim.ros.pose_input import PoseInput
from us_sim.ros.poses import ProbePose, RefusedError
from us_sim.ros.running import run
from us_sim.ros.services import Services
from us_sim.ros.session import Session
from us_sim.ros.simulation_control import offer
from us_sim.ros.stream import FrameStream

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class UsSim(LifecycleNode):
    """Node `us_sim`: its lifecycle, and where its poses go.

    Attributes:
        session: what is simulated.
    """

    def __init__(self, **kwargs: object) -> None:
        if not hasattr(LifecycleNode, "add_post_set_parameters_callback"):
            raise ConfigError("this rclpy is older than ROS 2 Jazzy, which us_sim needs; source Jazzy or newer")
        super().__init__("us_sim", **kwargs)
        for config in parameters.CONFIGS:
            parameters.declare(self, config)
        self.session = Session(self)
        self._input: PoseInput | None = None
        self.add_on_set_parameters_callback(self.session.validate)
        self.add_post_set_parameters_callback(self.session.apply)
        Services(self, self.session)
        PatientList(self, self.session.log)
        offer(self, self.session)
        self._heartbeat = Heartbeat(self, self.session)

    def autostart(self) -> None:
        """Configure and activate, unless a lifecycle manager does it."""
        if self.get_parameter("autostart").value and self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load patient, generator and probe. rclpy swallows exceptions here without a word: none leaves."""
        return SUCCESS if self.session.open() else FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the outputs, say what holds, then listen for poses."""
        session, result = self.session, super().on_activate(state)  # what is published before `super` vanishes
        session.outputs.probe_info.publish(session.probe_info(session.scene_in_force))
        self._heartbeat.forget_markers()
        session.statistics = Statistics()
        session.stream = FrameStream(session)
        self._input = PoseInput(
            self, session.config, session.tree, session.statistics, take=self._take, refuse=self._refuse
        )
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and rendering."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free patient, generator and publishers; the parameters say what the next `configure` loads."""
        self._stop()
        self.session.close()
        self._heartbeat.forget_markers()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything."""
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything; the node can be configured again."""
        return self.on_cleanup(state)

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """Set parameters; a read-only one set to its own value is no change, as when a dump is loaded again.

        rclpy's own overrides of QoS are read-only.
        """
        given = [one for one in parameter_list if not self._keeps(one)]
        return super().set_parameters_atomically(given) if given else SetParametersResult(successful=True)

    def _keeps(self, given: Parameter) -> bool:
        """Whether a parameter is read-only and already what is given."""
        if not self.has_parameter(given.name) or not self.describe_parameter(given.name).read_only:
            return False
        own = self.get_parameter(given.name)
        return (own.type_, own.value) == (given.type_, given.value)

    def destroy_node(self) -> None:
        """End the render thread before its publishers go."""
        if hasattr(self, "_input"):  # Kilted's context also destroys a node whose constructor failed
            self._stop()
        super().destroy_node()

    def _stop(self) -> None:
        if self._input is not None:
            self._input.destroy()
            self._input = None
        if self.session.stream is not None:
            self.session.stream.stop()
            self.session.stream = None

    def _take(self, pose: ProbePose) -> None:
        config = self.session.config
        if config.publish_tf and config.pose_source == "topic":
            self.session.tree.send(pose.ct_from_probe, pose.stamp)
        if self.session.stream is not None:
            self.session.stream.accept(pose)

    def _refuse(self, error: RefusedError) -> None:
        count = self.session.statistics.refuse(error.reason)
        self.session.log.warn(error.reason, f"pose refused ({count} of this kind): {error}")


@as_command("us_sim")
def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    return run(UsSim, UsSim.autostart, args)


if __name__ == "__main__":
    leave(main())

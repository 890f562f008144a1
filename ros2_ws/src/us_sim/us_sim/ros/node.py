"""The simulator as a lifecycle node: poses in, frames out.

The executor's thread judges poses and answers services; the stream's thread renders the newest pose. `scene`
is the one reference that both read: it is replaced as a whole, never changed.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, KeyValue
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from us_sim_msgs.msg import ProbeInfo

from us_sim.core.config import ImageSettings, SimConfig
from us_sim.core.errors import ConfigError, UsSimError
from us_sim.ros import parameters, scene
from us_sim.ros.conversions import probe_info_message
from us_sim.ros.diagnostics import Statistics, status_message
from us_sim.ros.markers import patient_markers
from us_sim.ros.outputs import Outputs, listened
from us_sim.ros.parameters import RosConfig
from us_sim.ros.pose_input import PoseInput
from us_sim.ros.poses import ProbePose, RefusedError
from us_sim.ros.scene import Scene
from us_sim.ros.services import Services
from us_sim.ros.stream import FrameStream
from us_sim.ros.tf import MISSING, TransformTree, installed
from us_sim.ros.worker import in_worker

if TYPE_CHECKING:
    from us_sim.core.artifact import Generator
    from us_sim.core.patient import Patient
    from us_sim.core.simulator import Simulator

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
QUIET = 5.0  # s between two warnings of one kind


class UsSim(LifecycleNode):
    """Node `us_sim`.

    Attributes:
        scene: the simulator in force; None while the node is not configured.
        config: frames and source of poses, as they were when the node was configured.
        statistics: counters since activation.
    """

    scene: Scene | None = None
    config: RosConfig
    outputs: Outputs
    tree: TransformTree
    statistics: Statistics

    def __init__(self, **kwargs: object) -> None:
        super().__init__("us_sim", **kwargs)
        for config in parameters.CONFIGS:
            parameters.declare(self, config)
        self.add_on_set_parameters_callback(self._judge)
        self.add_post_set_parameters_callback(self._apply)
        self.statistics = Statistics()
        self._stream: FrameStream | None = None
        self._input: PoseInput | None = None
        self._kept: dict[str, Any] = {}
        self._config_id = 0
        self._marked: Patient | None = None
        self._failure = ""
        self._warned: dict[str, float] = {}
        self._services_of_simulator = Services(self)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0, self._every_second, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # -- lifecycle ----------------------------------------------------------------------------------

    def autostart(self) -> None:
        """Configure and activate, unless a lifecycle manager does it."""
        if self.get_parameter("autostart").value and self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load patient, generator and probe. rclpy swallows exceptions here without a word: none leaves."""
        try:
            self.config = parameters.read(self, RosConfig)
            if self.config.pose_source == "tf" and not installed():
                raise ConfigError(f"pose_source is 'tf', but {MISSING}")
            simulator = scene.build(*self.wishes(), **self._kept)
            for warning in simulator.patient.warnings:
                self.get_logger().warning(warning)
            self.tree = TransformTree(self, self.config.ct_frame_id, self.config.probe_frame_id)
            self.outputs = Outputs(self)
        except Exception as error:
            self._failure = self.failed("configure", error)
            return FAILURE
        self._failure = ""
        self.show(simulator)
        where = f"on {simulator.device} ({simulator.device_reason})"
        self.get_logger().info(f"patient {simulator.patient.name}, renderer {simulator.renderer}, {where}")
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the outputs, say what holds, then listen for poses."""
        result = super().on_activate(state)
        assert self.scene is not None
        self.outputs.probe_info.publish(self.probe_info(self.scene))  # before `super`, it would have vanished
        self._marked = None
        self.statistics = Statistics()
        self._stream = FrameStream(
            self.outputs, self.statistics, self.config, self._scene_in_force, self.warn)
        self._input = PoseInput(
            self, self.config, self.tree, self.statistics, take=self._take, refuse=self._refuse)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and rendering."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free patient, generator and publishers; the parameters say what the next `configure` loads."""
        self._stop()
        if self.scene is not None:
            self.scene = None
            self.outputs.destroy()
            self.tree.destroy()
        self._kept.clear()
        self._marked = None
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything."""
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything; the node can be configured again."""
        return self.on_cleanup(state)

    def destroy_node(self) -> None:
        """End the render thread before its publishers go."""
        self._stop()
        super().destroy_node()

    def _stop(self) -> None:
        if self._input is not None:
            self._input.destroy()
            self._input = None
        if self._stream is not None:
            self._stream.stop()
            self._stream = None

    # -- what is simulated ---------------------------------------------------------------------------

    def wishes(self) -> tuple[SimConfig, ImageSettings]:
        """Return what the parameters ask for."""
        return parameters.read(self, SimConfig), parameters.read(self, ImageSettings)

    def keep(self, **loaded: Patient | Generator) -> None:
        """Keep a patient or generator, loaded before the node is configured, for `configure`."""
        self._kept.update(loaded)

    def show(self, simulator: Simulator) -> None:
        """Put a simulator in place of the old one; its ProbeInfo goes out before its first frame."""
        self._config_id += 1
        new = Scene(simulator, self._config_id)
        self.outputs.probe_info.publish(self.probe_info(new))
        self.scene = new

    def freeze(self, frozen: bool) -> bool:
        """Hold or release the picture; return False if there is none because the node is not active."""
        if self._stream is None:
            return False
        self._stream.freeze(frozen)
        return True

    def probe_info(self, scene: Scene) -> ProbeInfo:
        """Return the message that describes a scene."""
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self.config.probe_frame_id)
        return probe_info_message(scene.simulator, scene.config_id, self.config.ct_frame_id, header)

    def _scene_in_force(self) -> Scene:
        assert self.scene is not None  # the stream lives only while the node is configured
        return self.scene

    # -- poses ---------------------------------------------------------------------------------------

    def _take(self, pose: ProbePose) -> None:
        if self.config.publish_tf and self.config.pose_source == "topic":
            self.tree.send(pose.ct_from_probe, pose.stamp)
        if self._stream is not None:
            self._stream.accept(pose)

    def _refuse(self, error: RefusedError) -> None:
        count = self.statistics.refuse(error.reason)
        self.warn(error.reason, f"pose refused ({count} of this kind): {error}")

    # -- parameters ----------------------------------------------------------------------------------

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """Set parameters; a refusal names value and range, which rclpy's own text does not."""
        result = super().set_parameters_atomically(parameter_list)
        if not result.successful:
            result.reason = parameters.out_of_range(parameter_list) or result.reason
        return result

    def _judge(self, wished: list[Parameter]) -> SetParametersResult:
        if self.scene is None:
            return parameters.consent()
        try:
            parameters.check_live(wished)
            scene.changed(self.scene.simulator, *self._wishes_with(wished))
        except Exception as error:
            return parameters.refusal(_text(error))
        return parameters.consent()

    def _apply(self, changed: list[Parameter]) -> None:
        if self.scene is None:
            self._forget_kept({parameter.name for parameter in changed})
            return
        simulator = scene.changed(self.scene.simulator, *self.wishes())
        if simulator is not self.scene.simulator:
            self.show(simulator)

    def _wishes_with(self, wished: list[Parameter]) -> tuple[SimConfig, ImageSettings]:
        config, settings = self.wishes()
        return (
            replace(config, **parameters.changes_of(SimConfig, wished)),
            replace(settings, **parameters.changes_of(ImageSettings, wished)),
        )

    def _forget_kept(self, names: set[str]) -> None:
        """A parameter that names another patient or generator outdoes what a service has loaded before it."""
        if names & {"ct", "labels", "label_scheme", "seed"}:
            self._kept.pop("patient", None)
        if "generator" in names:
            self._kept.pop("generator", None)

    # -- what the user hears ---------------------------------------------------------------------------

    def warn(self, kind: str, text: str) -> None:
        """Log a warning, each kind at most once in five seconds."""
        now = time.monotonic()
        if now - self._warned.get(kind, -QUIET) >= QUIET:
            self._warned[kind] = now
            self.get_logger().warning(text)

    def failed(self, what: str, error: Exception) -> str:
        """Log in one line what went wrong and return that text."""
        self.get_logger().error(f"{what} failed: {_text(error)}")
        return _text(error)

    def _every_second(self) -> None:
        self._report()
        if self._stream is not None:
            self._stream.repeat_frozen()
            self._mark_patient()

    def _report(self) -> None:
        good, line, values = self.statistics.report()
        if self.scene is None:
            good, line = False, f"not configured: {self._failure}" if self._failure else "not configured"
        else:
            simulator = self.scene.simulator
            good, line = good, line if self._stream is not None else "not active"
            about = {
                "patient": simulator.patient.name,
                "renderer": simulator.renderer,
                "generator": simulator.generator.name if simulator.generator else "",
                "device": f"{simulator.device} ({simulator.device_reason})",
            }
            values += [KeyValue(key=key, value=value) for key, value in about.items()]
        status = status_message(self.get_fully_qualified_name(), good, line, values)
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _mark_patient(self) -> None:
        """Send skin and organs once somebody looks: their meshes take seconds, so a worker makes them."""
        patient = self._scene_in_force().simulator.patient
        if self._marked is not patient and listened(self.outputs.patient_markers):
            self._marked = patient
            self.executor.create_task(self._send_patient_markers, patient)

    async def _send_patient_markers(self, patient: Patient) -> None:
        try:
            message = await in_worker(self.executor, patient_markers, patient, self.config.ct_frame_id)
            if self._marked is patient:
                self.outputs.patient_markers.publish(message)
        except Exception as error:
            self.failed("patient_markers", error)


def _text(error: Exception) -> str:
    """Return what the user reads: errors of ours as they are, others with their type."""
    return str(error) if isinstance(error, UsSimError) else f"{type(error).__name__}: {error}"


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    rclpy.init(args=args)
    try:
        node = UsSim()
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        get_logger("us_sim").fatal(str(error))
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        node.autostart()
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0

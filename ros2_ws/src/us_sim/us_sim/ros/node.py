"""The simulator as a lifecycle node: poses in, frames out.

The executor's thread judges poses and answers services; the stream's thread renders the newest pose. `scene`
is the one reference that both read: it is replaced as a whole, never changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from us_sim_msgs.msg import ProbeInfo

from us_sim.core import assembly
from us_sim.core.analysis.segmenter import load_segmenter
from us_sim.core.config import ImageSettings, SimConfig
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.errors import ConfigError, DeviceError, UsSimError
from us_sim.core.faults import FaultSettings
from us_sim.core.generator.shipped import segmenter_of
from us_sim.ros import parameters
from us_sim.ros.conversions import probe_info_message
from us_sim.ros.diagnostics import Statistics
from us_sim.ros.heartbeat import Heartbeat
from us_sim.ros.outputs import Outputs
from us_sim.ros.parameters import AnalysisConfig, RosConfig
from us_sim.ros.pose_input import PoseInput
from us_sim.ros.poses import ProbePose, RefusedError
from us_sim.ros.running import run
from us_sim.ros.scene import Scene, changed, equipment
from us_sim.ros.services import Services
from us_sim.ros.stream import FrameStream
from us_sim.ros.tf import MISSING, TransformTree, installed

if TYPE_CHECKING:
    from us_sim.core.analysis.segmenter import Segmenter
    from us_sim.core.generator.artifact import Generator
    from us_sim.core.geometry.probe import ProbeGeometry
    from us_sim.core.patient.patient import Patient
    from us_sim.core.simulator import Simulator

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
QUIET = 5.0  # s between two warnings of one kind


class UsSim(LifecycleNode):
    """Node `us_sim`.

    Attributes:
        scene: the simulator in force; None while the node is not configured.
        config: frames and source of poses, as they were when the node was configured.
        faults: what goes wrong on purpose.
        analysis: where ~/analysis reads the organs.
        segmenter: finds them in the image; None without one.
        statistics: counters since activation.
        stream: renders and publishes; None while the node is not active.
        failure: why the last `configure` failed; empty if it did not.
    """

    scene: Scene | None = None
    config: RosConfig
    faults: FaultSettings
    analysis: AnalysisConfig
    segmenter: Segmenter | None = None
    outputs: Outputs
    tree: TransformTree
    statistics: Statistics
    _base_probe: ProbeGeometry  # before the parameters shape it

    def __init__(self, **kwargs: object) -> None:
        super().__init__("us_sim", **kwargs)
        for config in parameters.CONFIGS:
            parameters.declare(self, config)
        self.add_on_set_parameters_callback(self._judge)
        self.add_post_set_parameters_callback(self._apply)
        self.statistics = Statistics()
        self.stream: FrameStream | None = None
        self._input: PoseInput | None = None
        self._kept: dict[str, Any] = {}
        self._adapted: tuple[tuple[Any, ...], Simulator] | None = None
        self._config_id = 0
        self.failure = ""
        self._warned: dict[str, float] = {}
        self._falling = threading.Lock()
        Services(self)
        self._heartbeat = Heartbeat(self)

    # -- lifecycle ----------------------------------------------------------------------------------

    def autostart(self) -> None:
        """Configure and activate, unless a lifecycle manager does it."""
        if self.get_parameter("autostart").value and self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load patient, generator and probe. rclpy swallows exceptions here without a word: none leaves."""
        try:
            self.config, self.faults = parameters.read(self, RosConfig), parameters.read(self, FaultSettings)
            self.analysis = parameters.read(self, AnalysisConfig)
            if self.config.pose_source == "tf" and not installed():
                raise ConfigError(f"pose_source is 'tf', but {MISSING}")
            config, settings, mechanics = self.wishes()
            if config.scanner:
                self._turn_to(assembly.started(config, settings))
            config, settings, mechanics = self.wishes()
            self._base_probe = assembly.base_probe(config)
            simulator = assembly.open_simulator(config, settings, self._base_probe, mechanics, **self._kept)
            for warning in simulator.patient.warnings:
                self.get_logger().warning(warning)
            path = self.analysis.segmenter
            self.segmenter = load_segmenter(segmenter_of(path)) if path else None
            self._check_analysis(self.analysis, simulator)
            simulator = self._tried(simulator)
            self.tree = TransformTree(self, self.config.ct_frame_id, self.config.probe_frame_id)
            self.outputs = Outputs(self)
        except Exception as error:
            self.failure = self.failed("configure", error)
            return FAILURE
        self.failure = ""
        self.show(simulator)
        self._tell(f"patient {simulator.patient.name}, renderer {simulator.renderer}", simulator)
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the outputs, say what holds, then listen for poses."""
        result = super().on_activate(state)
        assert self.scene is not None
        self.outputs.probe_info.publish(self.probe_info(self.scene))  # before `super`, it would have vanished
        self._heartbeat.forget_markers()
        self.statistics = Statistics()
        self.stream = FrameStream(
            self.outputs,
            self.statistics,
            self.config,
            self._scene_in_force,
            self.fall_back,
            lambda: self.faults,
            self.warn,
            self._segmenter_in_use,
        )
        self._input = PoseInput(self, self.config, self.tree, self.statistics, take=self._take, refuse=self._refuse)
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
        self._adapted = self.segmenter = None
        self._heartbeat.forget_markers()
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
        if self.stream is not None:
            self.stream.stop()
            self.stream = None

    # -- what is simulated ---------------------------------------------------------------------------

    def wishes(self, new: Iterable[Parameter] = ()) -> tuple[SimConfig, ImageSettings, MechanicsSettings]:
        """Return what the parameters ask for, with new values in place of the present ones.

        Raises:
            ConfigError: a value outside its range.
        """
        config, settings = parameters.read(self, SimConfig), parameters.read(self, ImageSettings)
        mechanics = parameters.read(self, MechanicsSettings)
        return (
            replace(config, **parameters.changes_of(SimConfig, new)),
            replace(settings, **parameters.changes_of(ImageSettings, new)),
            replace(mechanics, **parameters.changes_of(MechanicsSettings, new)),
        )

    def _turn_to(self, settings: ImageSettings) -> None:
        """Show the settings that a scanner starts with as the parameters' values."""
        self.set_parameters([Parameter(name, value=value) for name, value in asdict(settings).items()])

    def adapted(self, simulator: Simulator, new: Iterable[Parameter] = ()) -> Simulator:
        """Return a simulator with the live parameters' values; the same one if none differs.

        Raises:
            UsSimError: a value that probe, renderer or the generator's card does not allow.
        """
        config, settings, mechanics = self.wishes(new)
        wish = (simulator, assembly.shaped(self._base_probe, config), settings, mechanics, config.renderer)
        made = self._adapted
        if made is None or made[0] != wish:  # a value is judged, then applied: it is built once
            made = self._adapted = (wish, changed(*wish))
        return made[1]

    def keep(self, **loaded: Patient | Generator) -> None:
        """Keep a patient or generator, loaded before the node is configured, for `configure`."""
        self._kept.update(loaded)

    def show(self, simulator: Simulator) -> None:
        """Put a simulator in place of the old one; its ProbeInfo goes out before its first frame."""
        self._config_id += 1
        self._adapted = None
        new = Scene(simulator, self._config_id)
        self.outputs.probe_info.publish(self.probe_info(new))
        self.scene = new

    def fall_back(self, error: DeviceError) -> Scene:
        """Go on with the CPU when the GPU has failed, in any thread; return the scene that does."""
        with self._falling:
            while (scene := self._scene_in_force()).simulator.device != "cpu":
                simulator = scene.simulator.on_cpu(str(error))
                if self.scene is scene:  # if not, it has changed meanwhile: the new one goes on
                    self.show(self.adapted(simulator))
                    self._tell("the GPU is given up", simulator)
        return scene

    def freeze(self, frozen: bool) -> bool:
        """Hold or release the picture; return False if there is none because the node is not active."""
        if self.stream is None:
            return False
        self.stream.freeze(frozen)
        return True

    def probe_info(self, scene: Scene) -> ProbeInfo:
        """Return the message that describes a scene."""
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self.config.probe_frame_id)
        return probe_info_message(scene.simulator, scene.config_id, self.config.ct_frame_id, header)

    def _tried(self, simulator: Simulator) -> Simulator:
        """Render once, as nobody waits yet: what is compiled at first use is compiled now, and the GPU may fail."""
        try:
            simulator.render(np.eye(4))
        except DeviceError as error:
            simulator = simulator.on_cpu(str(error))
            simulator.render(np.eye(4))
        return simulator

    def _scene_in_force(self) -> Scene:
        assert self.scene is not None  # the stream lives only while the node is configured
        return self.scene

    # -- poses ---------------------------------------------------------------------------------------

    def _take(self, pose: ProbePose) -> None:
        if self.config.publish_tf and self.config.pose_source == "topic":
            self.tree.send(pose.ct_from_probe, pose.stamp)
        if self.stream is not None:
            self.stream.accept(pose)

    def _refuse(self, error: RefusedError) -> None:
        count = self.statistics.refuse(error.reason)
        self.warn(error.reason, f"pose refused ({count} of this kind): {error}")

    # -- parameters ----------------------------------------------------------------------------------

    def _judge(self, wished: list[Parameter]) -> SetParametersResult:
        if self.scene is None:
            return parameters.consent()
        try:
            parameters.check_live(wished)
            analysis = replace(self.analysis, **parameters.changes_of(AnalysisConfig, wished))
            self._check_analysis(analysis, self.adapted(self.scene.simulator, wished))
        except Exception as error:
            return parameters.refusal(_text(error))
        return parameters.consent()

    def _apply(self, changed: list[Parameter]) -> None:
        if self.scene is None:
            self._forget_kept({parameter.name for parameter in changed})
            return
        self.faults, self.analysis = parameters.read(self, FaultSettings), parameters.read(self, AnalysisConfig)
        simulator = self.adapted(self.scene.simulator)
        if simulator is not self.scene.simulator:
            self.show(simulator)

    def _check_analysis(self, analysis: AnalysisConfig, simulator: Simulator) -> None:
        if self.segmenter is not None and analysis.analysis_source == "segmenter":
            self.segmenter.check_probe(simulator.probe)

    def _segmenter_in_use(self) -> Segmenter | None:
        return self.segmenter if self.analysis.analysis_source == "segmenter" else None

    def _forget_kept(self, names: set[str]) -> None:
        """A parameter that names another patient or generator outdoes what a service has loaded before it."""
        if names & {"ct", "labels", "label_scheme", "seed"}:
            self._kept.pop("patient", None)
        if "generator" in names:
            self._kept.pop("generator", None)

    # -- what the user hears ---------------------------------------------------------------------------

    def _tell(self, what: str, simulator: Simulator) -> None:
        self.get_logger().info(", ".join([what, *(f"{k} {v}" for k, v in equipment(simulator).items())]))

    def warn(self, kind: str, text: str) -> None:
        """Log a warning, each kind at most once in five seconds; none about what an interrupt has broken off."""
        now = time.monotonic()
        if self.context.ok() and now - self._warned.get(kind, -QUIET) >= QUIET:
            self._warned[kind] = now
            self.get_logger().warning(text)

    def failed(self, what: str, error: Exception) -> str:
        """Log in one line what went wrong, unless an interrupt broke it off; return that text."""
        if self.context.ok():
            self.get_logger().error(f"{what} failed: {_text(error)}")
        return _text(error)


def _text(error: Exception) -> str:
    """Return what the user reads: errors of ours as they are, others with their type."""
    return str(error) if isinstance(error, UsSimError) else f"{type(error).__name__}: {error}"


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    return run(UsSim, UsSim.autostart, args)

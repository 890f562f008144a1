# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The node's session: state shared by lifecycle, services, heartbeat and stream.

The executor's thread validates parameters and answers services; the stream's threads render. `scene` is the one
reference that both read: it is replaced as a whole, never changed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from us_sim_msgs.msg import ProbeInfo

from us_sim.core import assembly
from us_sim.core.analysis.segmenter import load_segmenter
from us_sim.core.compute.device import with_fall_back
from us_sim.core.config import ImageSettings, SimConfig
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.errors import ConfigError, DeviceError, UnfitError
from us_sim.core.faults import FaultSettings
from us_sim.core.faulty_simulator import FaultySimulator
from us_sim.core.generator.shipped import segmenter_of
from us_sim.core.patient_source import open_patient
from us_sim.ros import parameters
from us_sim.ros.conversions import probe_info_message
from us_sim.ros.diagnostics import Statistics
from us_sim.ros.loads import Loads
from us_sim.ros.log import Log, text_of
from us_sim.ros.outputs import Outputs
from us_sim.ros.parameters import AnalysisConfig, RosConfig
from us_sim.ros.poses import ProbePose
from us_sim.ros.scene import Scene, changed, equipment
from us_sim.ros.stepping import Stepping
from us_sim.ros.tf import MISSING, TransformTree, installed

if TYPE_CHECKING:
    from us_sim.core.analysis.segmenter import Segmenter
    from us_sim.core.generator.artifact import Generator
    from us_sim.core.geometry.probe import ProbeGeometry
    from us_sim.core.patient.patient import Patient
    from us_sim.core.simulator import Simulator


class Stream(Protocol):
    """Shows the poses while the node is active."""

    def accept(self, pose: ProbePose) -> None:
        """Take the next pose."""

    def freeze(self, frozen: bool) -> None:
        """Freeze the shown frame, or resume with the next pose."""

    @property
    def frozen(self) -> bool:
        """Whether the image is frozen."""

    def step(self, poses: int) -> Stepping:
        """Show the next poses, of 1 or more, although the image is frozen."""

    def zero_wrench(self) -> bool:
        """Let the wrench there is now count as zero; return False if there is none yet."""

    def repeat_frozen(self) -> None:
        """While frozen, show the held frame again."""

    def repeat(self) -> None:
        """Show the last pose again, contact and frame, unless frozen."""

    def repeat_for_new(self) -> None:
        """Show the last pose again to who has subscribed since."""

    def breathe(self, now: int) -> None:
        """Show the last pose again if the patient breathes under it; `now` in ns of the node's clock."""

    def stop(self) -> None:
        """End it; the frame in work is finished first."""


class Session:
    """From the node's construction to its destruction; `open` and `close` follow its lifecycle.

    Attributes:
        scene: the simulator in force; None while the node is not configured.
        config: frames and source of poses, as they were when the node was configured.
        faults: injected.
        analysis: where ~/analysis reads the organs.
        outputs: the publishers, while there is a scene.
        tree: the transforms, while there is a scene.
        statistics: counters since activation.
        stream: renders and publishes; None while the node is not active.
        loads: what the services load.
        log: tells the user.
        failure: why the last `open` failed; empty if it did not.
    """

    scene: Scene | None = None
    config: RosConfig
    faults: FaultSettings
    analysis: AnalysisConfig
    outputs: Outputs
    tree: TransformTree
    stream: Stream | None = None
    failure: str = ""
    _base_probe: ProbeGeometry  # before the parameters shape it

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self.log = Log(node)
        self.statistics = Statistics()
        self.loads = Loads(node, lambda: parameters.read(node, RosConfig).load_timeout)
        self._segmenter: Segmenter | None = None
        self._kept: dict[str, Any] = {}
        self._adapted: tuple[tuple[Any, ...], Simulator] | None = None
        self._config_id = 0
        self._falling = threading.Lock()

    # -- lifecycle ----------------------------------------------------------------------------------

    def open(self) -> bool:
        """Load patient, generator and probe, and show them; return False, saying why in `failure`, if that fails."""
        try:
            simulator = self._opened()
            self.tree = TransformTree(self._node, self.config.ct_frame_id, self.config.probe_frame_id)
            self.outputs = Outputs(self._node)
        except Exception as error:
            self.failure = self.log.failed("configure", error)
            return False
        self.failure = ""
        self.show(simulator)
        self._tell(f"patient {simulator.patient.name}, renderer {simulator.renderer}", simulator)
        return True

    def close(self) -> None:
        """Free patient, generator and publishers; the parameters say what the next `open` loads."""
        if self.scene is not None:
            self.scene = None
            self.outputs.destroy()
            self.tree.destroy()
        self._kept.clear()
        self._adapted = self._segmenter = None

    def _opened(self) -> Simulator:
        node = self._node
        self.config, self.faults = parameters.read(node, RosConfig), parameters.read(node, FaultSettings)
        self.analysis = parameters.read(node, AnalysisConfig)
        if self.config.pose_source == "tf" and not installed():
            raise ConfigError(f"pose_source is 'tf', but {MISSING}")
        config, settings, mechanics = self._wishes()
        if config.scanner:
            self._set_image(assembly.started(config, settings))
            config, settings, mechanics = self._wishes()
        self._base_probe = assembly.base_probe(config)
        kept = {**self._kept, "patient": self._kept.get("patient") or open_patient(config)}
        try:
            simulator = assembly.open_simulator(config, settings, self._base_probe, mechanics, **kept)
        except UnfitError as error:
            node.get_logger().warning(f"{error}; starting with renderer 'physics' instead")
            node.set_parameters([Parameter("renderer", value="physics")])
            config = replace(config, renderer="physics")
            simulator = assembly.open_simulator(config, settings, self._base_probe, mechanics, **kept)
        if simulator.patient.origin:
            node.get_logger().info(f"{simulator.patient.name}: {simulator.patient.origin}")
        for line in simulator.patient.labelling:
            node.get_logger().info(line)
        for warning in (*simulator.patient.warnings, *simulator.probe.warnings):
            node.get_logger().warning(warning)
        path = self.analysis.segmenter
        self._segmenter = load_segmenter(segmenter_of(path)) if path else None
        self._check_analysis(self.analysis, simulator)
        return _tried(simulator)

    def _set_image(self, settings: ImageSettings) -> None:
        """Show the settings that a scanner starts with as the parameters' values."""
        self._node.set_parameters([Parameter(name, value=value) for name, value in asdict(settings).items()])

    # -- what is simulated ---------------------------------------------------------------------------

    @property
    def scene_in_force(self) -> Scene:
        """The scene, for who lives only while there is one."""
        assert self.scene is not None
        return self.scene

    @property
    def faulty(self) -> FaultySimulator:
        """The simulator in force, with its faults."""
        return FaultySimulator(self.scene_in_force.simulator, self.faults)

    @property
    def segmenter(self) -> Segmenter | None:
        """What finds the organs in the image; None where the labels count."""
        return self._segmenter if self.analysis.analysis_source == "segmenter" else None

    def adapted(self, simulator: Simulator, new: Iterable[Parameter] = ()) -> Simulator:
        """Return a simulator with the live parameters' values, or new ones in their place; the same if none differs.

        Raises:
            UsSimError: a value that probe, renderer or the generator's card does not allow.
        """
        config, settings, mechanics = self._wishes(new)
        wish = (simulator, assembly.shaped(self._base_probe, config), settings, mechanics, config.renderer)
        made = self._adapted
        if made is None or made[0] != wish:  # a value is validated, then applied: it is built once
            made = self._adapted = (wish, changed(*wish))
        return made[1]

    def keep(self, **loaded: Patient | Generator) -> None:
        """Keep a patient or generator, loaded before the node is configured, for `open`."""
        self._kept.update(loaded)

    def show(self, simulator: Simulator) -> None:
        """Put a simulator in place of the old one; its ProbeInfo goes out before its first frame."""
        self._config_id += 1
        self._adapted = None
        new = Scene(simulator, self._config_id)
        info = self.probe_info(new)
        self.outputs.probe_info.publish(info)
        if self.config.publish_tf:
            self.tree.send_image_plane(simulator.probe.first_pixel, info.header.stamp)
        self.scene = new

    def fall_back(self, error: DeviceError) -> Scene:
        """Go on with the CPU when the GPU has failed, in any thread; return the scene that does."""
        with self._falling:
            while not (scene := self.scene_in_force).simulator.device.is_cpu:
                simulator = scene.simulator.on_cpu(str(error))
                if self.scene is scene:  # if not, it has changed meanwhile: the new one goes on
                    self.show(self.adapted(simulator))
                    self._tell("the GPU is given up", simulator)
        return scene

    def probe_info(self, scene: Scene) -> ProbeInfo:
        """Return the message that describes a scene."""
        header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=self.config.probe_frame_id)
        return probe_info_message(scene.simulator, scene.config_id, self.config.ct_frame_id, header)

    def _wishes(self, new: Iterable[Parameter] = ()) -> tuple[SimConfig, ImageSettings, MechanicsSettings]:
        """Return what the parameters ask for, with new values in place of the present ones."""
        return (
            self._wished(SimConfig, new),
            self._wished(ImageSettings, new),
            self._wished(MechanicsSettings, new),
        )

    def _wished(self, config: type[parameters.Settings], new: Iterable[Parameter]) -> parameters.Settings:
        read: Any = parameters.read(self._node, config)
        wished: parameters.Settings = replace(read, **parameters.changes_of(config, new))
        return wished

    def _tell(self, what: str, simulator: Simulator) -> None:
        self.log.tell(", ".join([what, *(f"{k} {v}" for k, v in equipment(simulator).items())]))

    # -- parameters ----------------------------------------------------------------------------------

    def validate(self, wished: list[Parameter]) -> SetParametersResult:
        """Say whether parameters may take new values."""
        if self.scene is None:
            return parameters.consent()
        try:
            parameters.check_live(self._node, wished)
            self._check_analysis(self._wished(AnalysisConfig, wished), self.adapted(self.scene.simulator, wished))
        except Exception as error:
            return parameters.refusal(text_of(error))
        return parameters.consent()

    def apply(self, set_now: list[Parameter]) -> None:
        """Let parameters that have new values take effect."""
        if self.scene is None:
            self._forget_kept({parameter.name for parameter in set_now})
            return
        self.faults = parameters.read(self._node, FaultSettings)
        self.analysis = parameters.read(self._node, AnalysisConfig)
        simulator = self.adapted(self.scene.simulator)
        if simulator is not self.scene.simulator:
            self.show(simulator)

    def _check_analysis(self, analysis: AnalysisConfig, simulator: Simulator) -> None:
        if self._segmenter is not None and analysis.analysis_source == "segmenter":
            self._segmenter.check_probe(simulator.probe)

    def _forget_kept(self, names: set[str]) -> None:
        """A parameter that names another patient or generator overrides what a service loaded before."""
        if names & {"ct", "labels", "label_scheme", "labels_map", "detail", "seed"}:
            self._kept.pop("patient", None)
        if "generator" in names:
            self._kept.pop("generator", None)


def _tried(simulator: Simulator) -> Simulator:
    """Render once, as nobody waits yet: what is compiled at first use is compiled now, and the GPU may fail."""
    return with_fall_back(lambda trying: trying.render(np.eye(4)), simulator, lambda e: simulator.on_cpu(str(e)))[1]

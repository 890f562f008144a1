# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Node `us_sim_viewer`: the browser view of a simulator, by its topics and services alone.

The executor's thread hears the topics and, ten times a second, brings the page up to date. What the user does
arrives in threads of the page's server: moves of the probe go through `Steering` and `Remote`, which any thread may
call; messages of the console are taken by the executor's thread.
"""

from __future__ import annotations

import os
import queue
from functools import partial
from pathlib import Path
from typing import Any

from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from us_sim_msgs.msg import FrameInfo, ProbeInfo
from visualization_msgs.msg import MarkerArray

from us_sim.client.recording import Recorder
from us_sim.core.command import as_command
from us_sim.core.errors import PoseError, ProbeError
from us_sim.ros import parameters
from us_sim.ros.conversions import nanoseconds, pose_matrix, probe_geometry
from us_sim.ros.folders import recordings_folder
from us_sim.ros.log import Log
from us_sim.ros.outputs import latched_qos
from us_sim.ros.running import run
from us_sim.viewer.arm_view import ArmView
from us_sim.viewer.bench import Bench
from us_sim.viewer.channel import NEXT, Message
from us_sim.viewer.config import ViewerConfig
from us_sim.viewer.console import Console
from us_sim.viewer.display import Display
from us_sim.viewer.hearing import Hearing
from us_sim.viewer.link import Link
from us_sim.viewer.page import Page
from us_sim.viewer.placement import Placement, path
from us_sim.viewer.remote import Remote
from us_sim.viewer.saving import Saver
from us_sim.viewer.screen import Screen
from us_sim.viewer.search import Search
from us_sim.viewer.share import understood
from us_sim.viewer.shown_patient import ShownPatient
from us_sim.viewer.steering import Steering

BESIDE = 5  # nice level: where cores are short, the simulator's frames go before the page's pictures
PERIOD = 0.1  # s between two looks at what is new
SLOW, SPARED = 3, 5  # looks between two of what need not be quick: words, bars, sliders that follow; see `sparing`


class Viewer(Node):
    """Serves the page. Without an open browser it subscribes to no frames and sends no poses.

    Attributes:
        patient: what the simulator shows.
        steering: who moves the probe.
        screen: live image, cine loop and callipers.
        page: what the browser shows.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__("us_sim_viewer", **kwargs)
        parameters.declare(self, ViewerConfig)
        config = parameters.read(self, ViewerConfig)
        parameters.fix(self, vars(config))
        self.patient = ShownPatient()
        self._loads = False  # the page has asked for another patient
        self._looks = 0
        self._arm = ArmView()
        self._hearing = Hearing(self, self._complete, self._feel, self._arm.turn)
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._wake = self.create_guard_condition(self._take_messages)
        log = Log(self)
        self.steering, self.screen = Steering(), Screen()
        self._remote, self._link = Remote(self, partial(self._tell, "Not possible")), Link(self)
        self._bench = Bench(self, self._tell)
        self._recorder = Recorder(config.recordings, partial(self._tell, "Recording"))
        self._saver = Saver(recordings_folder(config.recordings), self._offer, partial(self._tell, "Save"))
        self.page = Page(config.viewer_host, config.viewer_port, self.steering, self, partial(log.warn, "page"))
        self._console = Console(self.screen, self, self.page.guard.refuse)
        self._display = Display(self.page, self.screen, self._link, self._remote)
        self._search = Search(self._remote, self._display, self._found, partial(self._tell, "Find"))
        self.create_subscription(ProbeInfo, "us_sim/probe_info", self._inform, latched_qos())
        self.create_subscription(PoseStamped, "us_sim/home_pose", self._take_home, latched_qos())
        self.create_subscription(MarkerArray, "us_sim/patient_markers", self._show_patient, latched_qos())
        self.create_timer(PERIOD, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.get_logger().info(f"open {self.page.url} in a browser")

    def destroy_node(self) -> None:
        """Finish a recording and close the page."""
        if hasattr(self, "page"):  # Kilted's context also destroys a node whose constructor failed
            self._recorder.stop()
            self.page.close()
        super().destroy_node()

    # -- what the simulator says -----------------------------------------------------------------------

    def _inform(self, info: ProbeInfo) -> None:
        self._link.sign_of_life()
        try:
            probe = probe_geometry(info)
        except (ProbeError, ValueError) as error:
            self._tell("Probe", f"the simulator's ProbeInfo is invalid: {error}")
            return
        begins, had_shape = self.patient.info is None, bool(self.patient.meshes)
        if self.patient.inform(info):
            if had_shape and not self.patient.meshes:
                self._forget_shape()
            if not begins:
                self._yield_demo()
            if self.page.watched:
                self.list_scans()  # the first time, it may have been too early
        self._display.inform(info, probe)
        self._remote.parameters.read(self._display.read, self._display.hold)

    def _show_patient(self, message: MarkerArray) -> None:
        if self.patient.take_shape(message):
            meshes = self.patient.meshes
            self.steering.set_skin(meshes["skin"][0])
            self.page.show_patient(meshes)
            self._display.tissue.meshes = meshes
            self._display.redraw()  # with the organs' areas and outlines: its frame may have come first

    def _yield_demo(self) -> None:
        """The patient is another one: where the page has loaded it, it is not the demo's."""
        if self._loads:
            self._remote.hold_demo()
        self._loads = False

    def _forget_shape(self) -> None:
        """Skin and organs are another patient's: no view is sought in them until those of this one come."""
        self._display.tissue.meshes = {}
        self.page.await_patient()

    def _take_home(self, home: PoseStamped) -> None:
        self.patient.home = pose_matrix(home.pose)

    def _complete(self, frame: dict[str, Any]) -> None:
        """Take a whole frame: the page shows the newest, a recording keeps all."""
        told: FrameInfo = frame["frame_info"]
        pose = pose_matrix(told.ct_from_probe)  # raises for a pose that cannot be
        if not self.patient.shows(told):
            return
        self.patient.arrived(pose)
        self.steering.follow(pose)
        self._display.take(frame)
        self._bench.see(pose)
        if not told.frozen:
            self._arm.hold(nanoseconds(told.header.stamp), pose)
        if not told.frozen and "labels" in frame:
            self._recorder.add(frame)

    def _feel(self, wrench: WrenchStamped) -> None:
        self._display.force = -wrench.wrench.force.z
        self._bench.feel(self._display.force)

    # -- ten times a second ----------------------------------------------------------------------------

    def _look(self) -> None:
        watched = self.page.watched
        self._listen(watched)
        if not watched:
            return
        self._looks += 1
        slowly = self._looks % (SPARED if self.page.channel.sparing else SLOW) == 0
        if self.steering.in_control:
            self.patient.astray = False
            self._send()
        elif slowly:
            self._go_home()
        self.screen.tick()
        self._display.show_frame(self.steering.pose() if self.steering.in_control else None)
        self._arm.show(self.page.scene)
        if slowly:
            self._display.show_words(self.steering.in_control)
            self._display.show_bench(self._bench)
            self.page.show_state(self._recorder, not self.steering.in_control)

    def _go_home(self) -> None:
        """Where nobody moves the probe, and it has no place on this patient yet, put it on the skin."""
        home, info = self.patient.home, self.patient.info
        moved = self._link.mover(False, self._remote.demo_held)  # a servo that waits moves nothing
        if home is not None and info is not None and not moved and (self.patient.astray or self.screen.frame is None):
            self._remote.send(home, info.ct_frame)

    def _listen(self, watched: bool) -> None:
        """Hear frames while somebody looks, their classes only for what is drawn or recorded with them."""
        begins = watched and not self._hearing.topics
        recording = self._recorder.running
        self._hearing.listen(watched or recording, recording or self.page.panel.outlines.value)
        if begins:
            self.list_scans()

    # -- what the user does ----------------------------------------------------------------------------

    def hear(self, message: Message) -> None:
        """Take a message of the console, in any thread."""
        if message["do"] != NEXT:
            self._inbox.put(message)
        self._wake.trigger()

    def _take_messages(self) -> None:
        done = not self._inbox.empty()
        while not self._inbox.empty():
            self._console.take(self._inbox.get())
        self._display.show_frame(self.steering.pose() if self.steering.in_control else None)
        if done:
            self._display.show_words(self.steering.in_control)

    def steered(self) -> None:
        """Send the user's pose at once; the demo yields to it."""
        self._send()

    def redraw(self) -> None:
        """Draw the frame that is shown once more: it is to look otherwise."""
        self._display.redraw()
        self._wake.trigger()

    def light(self, on: bool) -> None:
        """Show the page in light colours, or in dark ones."""
        self._display.light = on
        self.page.light(on)

    def restore(self, link: str) -> None:
        """Go to the pose and the settings of a link."""
        try:
            seen = understood(link)
        except (PoseError, ValueError) as error:
            self._tell("Link", str(error))
            return
        for name, value in seen.values.items():
            self.set_parameter(name, int(value) if name == "rows" else value)
        skin = self.patient.skin
        if seen.ct_from_probe is not None and skin is not None:
            self._found(Placement.of_pose(seen.ct_from_probe, skin))

    def release(self) -> None:
        """Give up control of the probe; the demo resumes."""
        self.steering.release()
        self._remote.run_demo()

    def set_parameter(self, name: str, value: float | str) -> None:
        """Set a parameter of the simulator."""
        self._remote.parameters.set(name, value)

    def freeze(self, frozen: bool) -> None:
        """Freeze the image, or resume."""
        self._remote.freeze(frozen)

    def nudge(self, x: float, y: float) -> None:
        """Slide the probe by mm along its own lateral and elevation axes."""
        self.steering.nudge(x, y)
        self.page.controls.moved()

    def turn_by(self, name: str, by: float) -> None:
        """Turn the probe by degrees, or press it in by mm."""
        self.page.controls.turn_by(name, by)

    def adjust(self, name: str, by: float) -> None:
        """Change a parameter by an amount."""
        self.page.controls.adjust(name, by)

    def record(self) -> None:
        """Begin or end the recording of a sweep."""
        if self._recorder.running:
            self._recorder.stop()
        elif self.patient.info is not None:
            self._recorder.start(self.patient.info)

    def save(self, kind: str) -> None:
        """Save what the screen holds; the page offers the files."""
        info, clip = self.patient.info, None
        if info is not None:
            clip = self.screen.clip(info.patient, info.patient_sha256, self.page.look, self.patient.skin)
        if clip is None:
            self._tell("Save", "there is no image yet")
        else:
            self._saver.save(kind, clip)

    def _offer(self, files: list[Path]) -> None:
        self.page.channel.saved.update({file.name: file for file in files})
        self._display.offer([file.name for file in files])

    def find(self, organ: str) -> None:
        """Put the probe where it sees most of an organ: where its frames would show most of it unshadowed."""
        self._search.find(organ, self.patient.shapes, self.patient.info)

    def view(self, organ: str, way: str) -> None:
        """Put the probe where a standard view of an organ is seen."""
        self._search.view(organ, way, self.patient.shapes, self.patient.info)

    def _found(self, placement: Any) -> None:
        if self.screen.frozen:
            self._remote.freeze(False)
        self.steering.place(placement)
        self.page.controls.moved()

    def load_patient(self, ct: str, labels: str) -> None:
        """Replace the patient."""
        self._display.report("Loading …")
        self._loads = True
        self._remote.load_patient(ct.strip(), labels.strip(), self._display.loaded)

    def list_scans(self) -> None:
        """Ask which scans may be loaded."""
        self._remote.list_scans(self._display.listed)

    def scan(self, force: float, length: float, speed: float) -> None:
        """Scan from where the probe is towards the feet: N, mm, mm/s."""
        placement, info, skin = self.steering.placement(), self.patient.info, self.patient.skin
        if placement is None or info is None or skin is None:
            self._tell("Scan", "the patient's skin has not come yet, on which to scan; try again in a moment")
            return
        poses = path(placement, skin, length)
        self.steering.release()
        self._bench.scan(poses, info.ct_frame, force, speed)

    def servo(self) -> None:
        """Let the servo find its organ from where the probe is."""
        self.steering.release()
        self._bench.servo()

    def stop(self) -> None:
        """Stop scan and servo."""
        self._bench.stop()

    def _send(self) -> None:
        pose, info = self.steering.pose(), self.patient.info
        if pose is not None and info is not None and self.steering.in_control:
            self._remote.hold_demo()
            self._remote.send(pose, info.ct_frame)

    def _tell(self, title: str, text: str) -> None:
        self.get_logger().warning(f"{title}: {text}")
        self.page.tell(title, text)


@as_command("us_sim_viewer")
def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    os.nice(BESIDE)
    return run(Viewer, lambda _: None, args)

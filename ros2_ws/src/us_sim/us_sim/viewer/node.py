"""Node `us_sim_viewer`: the browser view of a simulator, by its topics and services alone.

The executor's thread hears the topics and, ten times a second, brings the page up to date. What the user does
arrives in threads of the page's server; it goes through `Steering` and `Remote`, which any thread may call.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from geometry_msgs.msg import WrenchStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from us_sim_msgs.msg import Contact, FrameInfo, ProbeInfo
from visualization_msgs.msg import Marker, MarkerArray

from us_sim.client.frames import Collector
from us_sim.client.recording import Recorder
from us_sim.core.command import as_command
from us_sim.core.errors import ProbeError
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.ros import parameters
from us_sim.ros.conversions import MM_PER_M, pixels_of, point_array, pose_matrix, probe_geometry
from us_sim.ros.log import Log
from us_sim.ros.outputs import latched_qos, stream_qos
from us_sim.ros.running import run
from us_sim.viewer import finding, pictures, readout
from us_sim.viewer.config import ViewerConfig
from us_sim.viewer.page import Page
from us_sim.viewer.pictures import Pixels
from us_sim.viewer.remote import Remote
from us_sim.viewer.scene import RGB
from us_sim.viewer.skin_mesh import SkinMesh
from us_sim.viewer.steering import Steering

PERIOD = 0.1  # s between two looks at what is new
SLOW = 3  # looks between two of what need not be quick: words, bars, sliders that follow
FRAME = {"image": Image, "ct_view": Image, "labels": Image, "frame_info": FrameInfo}


class Viewer(Node):
    """Serves the page. Without an open browser it subscribes to no frames and sends no poses.

    Attributes:
        steering: who moves the probe.
        page: what the browser shows.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__("us_sim_viewer", **kwargs)
        parameters.declare(self, ViewerConfig)
        config = parameters.read(self, ViewerConfig)
        self._info: ProbeInfo | None = None
        self._probe: ProbeGeometry | None = None
        self._colors = np.zeros((256, 3), dtype=np.uint8)
        self._meshes: dict[str, tuple[SkinMesh, RGB]] = {}
        self._newest: dict[str, Any] | None = None  # frame, by topic
        self._shown: dict[str, Any] | None = None
        self._felt: dict[str, Any] = {}  # contact, wrench
        self._frames, self._counted, self._rate, self._looks = 0, time.monotonic(), 0.0, 0
        self._collector = Collector(tuple(FRAME), self._complete)
        self._heard: list[Subscription] = []
        self.steering = Steering()
        self._remote = Remote(self, partial(self._tell, "Not possible"))
        self._recorder = Recorder(config.recordings, partial(self._tell, "Recording"))
        log = Log(self)
        self.page = Page(config.viewer_host, config.viewer_port, self.steering, self, partial(log.warn, "page"))
        self.create_subscription(ProbeInfo, "us_sim/probe_info", self._inform, latched_qos())
        self.create_subscription(MarkerArray, "us_sim/patient_markers", self._show_patient, latched_qos())
        self.create_timer(PERIOD, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.get_logger().info(f"open {self.page.url} in a browser")

    def destroy_node(self) -> None:
        """Finish a recording and close the page."""
        self._recorder.stop()
        self.page.close()
        super().destroy_node()

    # -- what the simulator says -----------------------------------------------------------------------

    def _inform(self, info: ProbeInfo) -> None:
        try:
            probe = probe_geometry(info)
        except (ProbeError, ValueError) as error:
            self._tell("Probe", f"the simulator's ProbeInfo is invalid: {error}")
            return
        self._info = info
        for number, color in zip(info.class_ids, info.class_colors, strict=False):
            self._colors[number] = _rgb(color)
        if probe != self._probe:
            self._probe = probe
            self.page.show_probe(probe)

    def _show_patient(self, message: MarkerArray) -> None:
        triangles = [m for m in message.markers if m.type == Marker.TRIANGLE_LIST and m.points]
        meshes = {m.ns: (SkinMesh(point_array(m.points)), _rgb(m.color)) for m in triangles}
        if "skin" in meshes:
            self._meshes = meshes
            self.steering.set_skin(meshes["skin"][0])
            self.page.show_patient(meshes)

    def _complete(self, frame: dict[str, Any]) -> None:
        """Take a whole frame: the page shows the newest, a recording keeps all."""
        self.steering.follow(pose_matrix(frame["frame_info"].ct_from_probe))  # raises for a pose that cannot be
        self._newest = frame
        self._frames += 1
        self._recorder.add(frame)

    # -- ten times a second ----------------------------------------------------------------------------

    def _look(self) -> None:
        watched = self.page.watched
        self._listen(watched or self._recorder.running)
        if not watched:
            return
        self._looks += 1
        if self.steering.in_control:
            self._send()
        self._show_frame()
        if self._looks % SLOW == 0:
            self._show_words()

    def _listen(self, wanted: bool) -> None:
        """Subscribe to frames while somebody looks: the simulator does not compute what nobody wants."""
        if wanted and not self._heard:
            hear = {part: (kind, partial(self._collector.add, part)) for part, kind in FRAME.items()}
            hear |= {
                name: (kind, partial(self._felt.__setitem__, name))
                for name, kind in (("contact", Contact), ("wrench", WrenchStamped))
            }
            self._heard = [
                self.create_subscription(kind, f"us_sim/{name}", take, stream_qos())
                for name, (kind, take) in hear.items()
            ]
        elif not wanted and self._heard:
            for subscription in self._heard:
                self.destroy_subscription(subscription)
            self._heard = []
            self._collector.clear()

    def _show_frame(self) -> None:
        frame, probe = self._newest, self._probe
        if frame is None or probe is None or frame is self._shown:
            return
        image, ct_view, labels = (pixels_of(frame[part]) for part in ("image", "ct_view", "labels"))
        if image.shape != (probe.height, probe.width):
            return  # of another probe than the newest ProbeInfo's
        self._shown = frame
        self.page.show_frame(image, ct_view, labels, probe, self._colors, list(self._organs().values()))
        pose = self.steering.pose()
        if pose is not None:
            self.page.show_place(pose)

    def _show_words(self) -> None:
        now = time.monotonic()
        if now - self._counted > 1.0:
            self._rate, self._frames, self._counted = self._frames / (now - self._counted), 0, now
        panel = self.page.panel
        panel.status.content = readout.line(self._words())
        contact, wrench = self._felt.get("contact"), self._felt.get("wrench")
        if contact is not None:
            force = -wrench.wrench.force.z if wrench is not None else None
            panel.contact.content = readout.contact(contact.line_coupling, contact.penetration * MM_PER_M, force)
        if self._shown is not None and self._probe is not None:
            areas = pictures.areas(pixels_of(self._shown["labels"]), self._probe)
            panel.bars.content = readout.bars(
                readout.Organ(name, self._meshes[name][1], float(areas[number]))
                for name, number in self._organs().items()
            )
        if self._info is not None and self._remote.parameters.quiet:
            self.page.show_settings(self._info)
        frozen = self._newest is not None and self._newest["frame_info"].frozen
        self.page.show_state(self._recorder, not self.steering.in_control, frozen)

    def _organs(self) -> dict[str, int]:
        """Name and class of the organs that the patient has."""
        info = self._info
        known = dict(zip(info.class_names, map(int, info.class_ids), strict=False)) if info is not None else {}
        return {name: known[name] for name in self._meshes if name in known and name != "skin"}

    def _words(self) -> list[str]:
        if self._info is None or not self._remote.there:
            return ["no simulator; waiting for one"]
        if not self._remote.takes_poses and self.steering.in_control:
            return ["the simulator takes its poses from TF (pose_source)"]
        mover = "you" if self.steering.in_control else "the demo" if self._remote.demo_there else "others"
        words = [self._info.patient, f"moved by {mover}"]
        if self._newest is not None:
            words.append(f"{1000 * self._newest['frame_info'].latency:.0f} ms, {self._rate:.0f}/s")
        return words

    # -- what the user does ----------------------------------------------------------------------------

    def steered(self) -> None:
        """Send the user's pose at once; the demo yields to it."""
        self._send()

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

    def record(self) -> None:
        """Begin or end the recording of a sweep."""
        if self._recorder.running:
            self._recorder.stop()
        elif self._info is not None:
            self._recorder.start(self._info)

    def find(self, organ: str) -> None:
        """Put the probe where it sees most of an organ: where its frames would show most of it unshadowed."""
        info, probe, number = self._info, self._probe, self._organs().get(organ)
        if info is None or probe is None or number is None:
            return
        skin = self._meshes["skin"][0]
        placements = finding.candidates(skin, self._meshes[organ][0].vertices.mean(axis=0))

        def choose(frames: list[Pixels]) -> None:
            seen = [finding.share_seen(labels, probe, number) for labels in frames]
            best = int(np.argmax(seen))
            if seen[best] == 0:
                self._tell("Find", f"{organ} is hidden behind bone or gas at all positions tried")
                return
            self.steering.place(placements[best])
            self.page.moved()

        self._remote.labels_at([placement.pose(skin) for placement in placements], info.ct_frame, choose)

    def _send(self) -> None:
        pose, info = self.steering.pose(), self._info
        if pose is not None and info is not None and self.steering.in_control:
            self._remote.hold_demo()
            self._remote.send(pose, info.ct_frame)

    def _tell(self, title: str, text: str) -> None:
        self.get_logger().warning(f"{title}: {text}")
        self.page.tell(title, text)


def _rgb(color: Any) -> RGB:
    red, green, blue = (round(255 * channel) for channel in (color.r, color.g, color.b))
    return red, green, blue


@as_command("us_sim_viewer")
def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    return run(Viewer, lambda _: None, args)

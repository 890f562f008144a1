"""The active simulator: contact for every accepted pose, frames for the newest, in a thread of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from std_msgs.msg import Float32, Header

from us_sim.core.contact.force import wrench
from us_sim.core.errors import DeviceError
from us_sim.core.faults import delay, dried, flipped, is_lost, lines_left, misplaced
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.breathing import phase_at
from us_sim.core.tissue import CLASS_COLORS
from us_sim.ros.analysis import Analyst, Shown
from us_sim.ros.cloud import frame_cloud
from us_sim.ros.conversions import (
    bgra,
    contact_message,
    frame_info_message,
    image_message,
    later,
    nanoseconds,
    seconds,
    soft_window,
    wrench_message,
)
from us_sim.ros.mailbox import Consumer
from us_sim.ros.markers import live_markers
from us_sim.ros.outputs import Wanted, listened
from us_sim.ros.poses import ProbePose
from us_sim.ros.scene import Scene
from us_sim.ros.session import Session

if TYPE_CHECKING:
    from us_sim.core.contact.indentation import Indentation
    from us_sim.core.patient.patient import Patient
    from us_sim.core.simulator import Frame

STILL_NS = 80_000_000  # without a pose for so long, a breathing patient is drawn again


@dataclass(frozen=True, eq=False)
class Touch:
    """How the probe stood in which patient, and when, ns: the next pose's speed is taken from it."""

    patient: Patient
    indentation: Indentation
    stamp: int


class FrameStream:
    """Lives from activation to deactivation."""

    def __init__(self, session: Session) -> None:
        self._session, self._config = session, session.config
        self._outputs, self._statistics = session.outputs, session.statistics
        self._sequence = 0
        self._shown: ProbePose | None = None
        self._last: ProbePose | None = None
        self._touch: Touch | None = None
        self._breath: tuple[ProbePose, int] | None = None
        self._frozen = False
        self._analyst = Analyst(session.outputs, self._failed)
        self._renderer = Consumer("render", self._draw, partial(self._failed, "frame"))

    def accept(self, pose: ProbePose) -> None:
        """Publish contact and wrench of a pose and leave it for the render thread.

        They take a fraction of a millisecond and controllers close their loop on them: they are skipped neither
        when the picture is late nor when it is frozen.
        """
        self._last = pose
        for what, tell in (("contact", self._tell_contact), ("wrench", self._tell_wrench)):
            try:
                tell(pose)
            except Exception as error:
                self._failed(what, error)
        if self._frozen:
            self._statistics.count("frozen")
        elif self._post(pose):
            self._statistics.count("skipped")

    def _post(self, pose: ProbePose) -> bool:
        """Leave a pose for the render thread, late if that is the fault; return whether it replaced another."""
        late = delay(self._session.faults, self._session.scene_in_force.simulator.seed, nanoseconds(pose.stamp))
        return self._renderer.put(pose, pose.arrival + late if late else 0.0)

    def _actual(self, pose: ProbePose) -> Matrix:
        """Where the probe is, which may be elsewhere than its pose says."""
        return misplaced(self._session.faults, self._session.scene_in_force.simulator.seed, pose.ct_from_probe)

    def freeze(self, frozen: bool) -> None:
        """Hold the shown frame, or go on with the next pose."""
        self._frozen = frozen
        self.repeat_frozen()

    def repeat_frozen(self) -> None:
        """While frozen, draw the held pose again: late subscribers see it too, and gain still works on it."""
        if self._frozen and self._shown is not None:
            self._renderer.put(replace(self._shown, frozen=True))

    def stop(self) -> None:
        """End the threads; the frame in work is finished first."""
        self._renderer.stop()
        self._analyst.stop()

    def _failed(self, what: str, error: Exception) -> None:
        """Count and tell an error of one pose: it must end neither the stream nor the executor."""
        self._statistics.count("render errors")
        self._session.log.warn(f"no {what}", f"no {what}: {type(error).__name__}: {error}")

    def _tell_contact(self, pose: ProbePose) -> None:
        if listened(self._outputs.contact):
            simulator = self._session.scene_in_force.simulator
            contact = dried(simulator.contact(self._actual(pose)), self._session.faults, simulator.seed)
            self._outputs.contact.publish(contact_message(contact, self._header(pose)))

    def _tell_wrench(self, pose: ProbePose) -> None:
        if not listened(self._outputs.wrench):
            self._touch = None
            return
        scene, before = self._session.scene_in_force, self._touch
        now = Touch(scene.simulator.patient, scene.simulator.indentation(self._actual(pose)), nanoseconds(pose.stamp))
        self._touch = now
        settings = scene.simulator.mechanics
        if before is None or before.patient is not now.patient:
            felt = wrench(now.indentation, settings)
        else:
            felt = wrench(now.indentation, settings, before.indentation, (now.stamp - before.stamp) * 1e-9)
        self._outputs.wrench.publish(wrench_message(felt, self._header(pose)))

    def breathe(self, now: int) -> None:
        """Show a breathing patient to a probe that stands still: the last pose again, its stamp going on.

        `now` is the time of the node's clock, ns; it is counted from the first call after a pose has come.
        """
        last = self._last
        if last is None or self._frozen or not self._session.scene_in_force.simulator.mechanics.breathing_amplitude:
            return
        if self._breath is None or self._breath[0] is not last or now < self._breath[1]:
            self._breath = (last, now)
            return
        age = now - self._breath[1]
        if age >= STILL_NS:
            self._post(replace(last, stamp=later(last.stamp, age), arrival=time.monotonic()))

    def _tell_phase(self, pose: ProbePose) -> None:
        mechanics = self._session.scene_in_force.simulator.mechanics
        if mechanics.breathing_amplitude:
            phase = phase_at(seconds(pose.stamp), mechanics.breathing_period)
            self._outputs.breathing.publish(Float32(data=phase))

    def _draw(self, pose: ProbePose) -> None:
        wanted, faults, seed = self._outputs.wanted(), self._session.faults, self._session.scene_in_force.simulator.seed
        if not pose.frozen and is_lost(faults, seed, nanoseconds(pose.stamp)):
            self._statistics.count("lost")
            return
        self._shown = pose
        self._tell_phase(pose)
        if not wanted.anything:
            self._statistics.count("unwatched")
            return
        scene, segmenter = self._session.scene_in_force, self._session.segmenter
        analysed = wanted.analysis or wanted.confidence
        left = lines_left(faults, seed, scene.simulator.probe.scan_lines)
        outputs = {
            "image": wanted.image or analysed,
            "ct_slice": wanted.ct_slice,
            "labels": wanted.labels or (wanted.analysis and segmenter is None),
            "times": [seconds(pose.stamp)],
            "coupling": left,
        }
        actual = self._actual(pose)
        try:
            frame = scene.simulator.render(actual, **outputs)
        except DeviceError as error:
            scene = self._session.fall_back(error)
            frame = scene.simulator.render(actual, **outputs)
        frame = replace(frame, ct_from_probe=pose.ct_from_probe, image=flipped(frame.image, faults))
        self._publish(frame, pose, scene, wanted)
        if analysed:
            coupling = frame.contact.line_coupling if left is None else frame.contact.line_coupling * left
            self._analyst.take(Shown(frame, scene.simulator, coupling, segmenter, self._header(pose)))
        if not pose.frozen:
            self._statistics.rendered(time.monotonic() - pose.arrival)

    def _publish(self, frame: Frame, pose: ProbePose, scene: Scene, wanted: Wanted) -> None:
        out, header = self._outputs, self._header(pose)
        probe, ct_frame = scene.simulator.probe, self._config.ct_frame_id
        if wanted.markers:
            force = wrench(scene.simulator.indentation(self._actual(pose)), scene.simulator.mechanics).force
            out.markers.publish(live_markers(probe, frame.ct_from_probe, frame.contact, force, ct_frame, pose.stamp))
        image = frame.image
        if image is not None and self._config.image_encoding == "bgra8":
            image = bgra(image)
        pictures = ((out.image, image), (out.labels, frame.labels), (out.ct_slice, frame.ct_slice))
        for publisher, pixels in pictures:
            if pixels is not None and listened(publisher):
                publisher.publish(image_message(pixels, header))
        if frame.labels is not None and listened(out.labels_view):
            out.labels_view.publish(image_message(CLASS_COLORS[frame.labels], header))
        if frame.ct_slice is not None and listened(out.ct_view):
            out.ct_view.publish(image_message(soft_window(frame.ct_slice), header))
        if frame.image is not None and listened(out.cloud):
            out.cloud.publish(frame_cloud(frame.image, probe, frame.ct_from_probe, ct_frame, pose.stamp))
        out.frame_info.publish(
            frame_info_message(
                frame,
                header,
                sequence=self._sequence,
                ct_frame=ct_frame,
                config_id=scene.config_id,
                arrival=pose.arrival,
                frozen=pose.frozen,
            )
        )
        self._sequence += 1

    def _header(self, pose: ProbePose) -> Header:
        return Header(stamp=pose.stamp, frame_id=self._config.probe_frame_id)

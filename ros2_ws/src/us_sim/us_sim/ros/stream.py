# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The active simulator: contact for every accepted pose, frames for the newest, in a thread of its own."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from std_msgs.msg import Float32

from us_sim.core.compute.device import with_fall_back
from us_sim.core.faulty_simulator import FaultySimulator
from us_sim.core.frame import Views
from us_sim.core.patient.breathing import phase_at
from us_sim.ros.analysis import Analyst, Shown
from us_sim.ros.conversions import contact_message, later, nanoseconds, seconds, wrench_message
from us_sim.ros.frame_topics import FrameTopics
from us_sim.ros.mailbox import Consumer
from us_sim.ros.outputs import listened
from us_sim.ros.poses import ProbePose
from us_sim.ros.scene import Scene
from us_sim.ros.session import Session
from us_sim.ros.stepping import Stepping

if TYPE_CHECKING:
    from us_sim.core.contact.force import Wrench
    from us_sim.core.contact.touch import Touch
    from us_sim.core.frame import Frame

STILL_NS = 80_000_000  # without a pose for so long, a breathing patient is drawn again


class FrameStream:
    """Lives from activation to deactivation."""

    def __init__(self, session: Session) -> None:
        self._session, self._outputs, self._statistics = session, session.outputs, session.statistics
        self._topics = FrameTopics(session.outputs, session.config)
        self._shown: ProbePose | None = None
        self._last: ProbePose | None = None
        self._before: tuple[Touch, int] | None = None
        self._breath: tuple[ProbePose, int] | None = None
        self._frozen = False
        self._steps = Stepping(0)
        self._shown_to = 0  # subscribers of ~/frame_info
        self._unloaded: Wrench | None = None  # that the sensor calls zero
        self._analyst = Analyst(session.outputs, self._failed)
        self._renderer = Consumer("render", self._draw, partial(self._failed, "frame"))

    def accept(self, pose: ProbePose) -> None:
        """Publish contact and wrench of a pose and leave it for the render thread.

        They take a fraction of a millisecond and controllers close their loop on them: they are published even when
        the image is late or frozen.
        """
        try:
            pose = self._touched(pose)
        except Exception as error:
            self._failed("contact", error)
        self._last = pose
        if self._frozen and not self._steps.take():
            self._statistics.count("frozen")
        elif self._post(pose):
            self._statistics.count("skipped")

    def freeze(self, frozen: bool) -> None:
        """Freeze the shown frame, or resume with the next pose."""
        self._frozen = frozen
        self._steps.end()
        self.repeat_frozen()

    @property
    def frozen(self) -> bool:
        """Whether the image is frozen."""
        return self._frozen

    def step(self, poses: int) -> Stepping:
        """Draw the next poses, of 1 or more, although the image is frozen; an earlier request ends."""
        self._steps.end()
        self._steps = Stepping(poses)
        return self._steps

    def zero_wrench(self) -> bool:
        """Let ~/wrench tell what is added to the force there is now; return False before the first pose."""
        if self._last is not None:
            last = self._last
            touch = last.touch if last.touch is not None else self._session.faulty.touch(last.ct_from_probe)
            self._unloaded = touch.wrench
        return self._last is not None

    def repeat_frozen(self) -> None:
        """While frozen, draw the held pose again: late subscribers see it too, and gain still works on it."""
        if self._frozen and self._shown is not None:
            self._renderer.put(replace(self._shown, frozen=True))

    def repeat(self) -> None:
        """Draw the last pose again, its contact too: for who came late, or on another patient."""
        if self._last is not None and not self._frozen:
            self.accept(replace(self._last, arrival=time.monotonic(), touch=None, touched=None))
            self._before = None  # nothing has moved: the next pose starts from rest

    def repeat_for_new(self) -> None:
        """Draw the last pose again if somebody has subscribed since: a controller begins where the probe is."""
        if self._outputs.frame_info.get_subscription_count() > self._shown_to:
            self.repeat()

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
            touch = None if last.touch is None else last.touch.at_rest()
            again = replace(last, stamp=later(last.stamp, age), arrival=time.monotonic(), touch=touch)
            self._post(again)

    def stop(self) -> None:
        """End the threads; the frame in work is finished first."""
        self._steps.end()
        self._renderer.stop()
        self._analyst.stop()

    # -- in the executor's thread --------------------------------------------------------------------

    def _touched(self, pose: ProbePose) -> ProbePose:
        """Publish contact and wrench; return the pose with them, for its frame. Nothing is made that nobody wants."""
        out = self._outputs
        if not any(map(listened, (out.contact, out.wrench, out.markers))):
            self._before = None
            return pose
        faulty, before, stamp = self._session.faulty, self._before, nanoseconds(pose.stamp)
        touch = faulty.touch(pose.ct_from_probe)
        self._before = (touch, stamp)
        if before is not None:
            touch = touch.after(before[0], (stamp - before[1]) * 1e-9)
        header = self._topics.header(pose)
        if listened(out.contact):
            out.contact.publish(contact_message(touch.contact, header))
        if listened(out.wrench):
            wrench = touch.wrench if self._unloaded is None else touch.wrench.minus(self._unloaded)
            out.wrench.publish(wrench_message(wrench, header))
        return replace(pose, touch=touch, touched=faulty)

    def _post(self, pose: ProbePose) -> bool:
        """Leave a pose for the render thread, late if that is the fault; return whether it replaced another."""
        late = self._session.faulty.delay(nanoseconds(pose.stamp))
        return self._renderer.put(pose, pose.arrival + late if late else 0.0)

    def _failed(self, what: str, error: Exception) -> None:
        """Count and log an error of one pose: it must end neither the stream nor the executor."""
        self._statistics.count("render errors")
        self._session.log.warn(f"no {what}", f"no {what}: {type(error).__name__}: {error}")

    # -- in the render thread ------------------------------------------------------------------------

    def _draw(self, pose: ProbePose) -> None:
        try:
            self._show(pose)
        finally:
            if not pose.frozen:
                self._steps.drawn()

    def _show(self, pose: ProbePose) -> None:
        session, wanted = self._session, self._outputs.wanted()
        scene, faults, segmenter = session.scene_in_force, session.faults, session.segmenter
        stamp, analysed = nanoseconds(pose.stamp), wanted.analysis or wanted.confidence
        if not pose.frozen and FaultySimulator(scene.simulator, faults).is_lost(stamp):
            self._statistics.count("lost")
            return
        self._shown = pose
        self._shown_to = self._outputs.frame_info.get_subscription_count()
        self._tell_phase(pose, scene)
        if not wanted.anything:
            self._statistics.count("unwatched")
            return
        views = Views(
            image=wanted.image or analysed or wanted.uncertainty,
            ct_slice=wanted.ct_slice,
            labels=wanted.labels or (wanted.analysis and segmenter is None),
            uncertainty=wanted.uncertainty,
        )

        def render(scene: Scene) -> Frame:
            faulty = FaultySimulator(scene.simulator, faults)
            touch = pose.touch if pose.touched == faulty else None  # what is simulated may have changed meanwhile
            return faulty.render(pose.ct_from_probe, stamp, touch=touch, **views)

        frame, scene = with_fall_back(render, scene, session.fall_back)
        self._topics.publish(frame, pose, scene)
        if analysed:
            coupling = FaultySimulator(scene.simulator, faults).image_coupling(frame.contact)
            self._analyst.take(Shown(frame, scene.simulator, coupling, segmenter, self._topics.header(pose)))
        if not pose.frozen:
            self._statistics.rendered(time.monotonic() - pose.arrival)

    def _tell_phase(self, pose: ProbePose, scene: Scene) -> None:
        mechanics = scene.simulator.mechanics
        if mechanics.breathing_amplitude:
            phase = phase_at(seconds(pose.stamp), mechanics.breathing_period)
            self._outputs.breathing.publish(Float32(data=phase))

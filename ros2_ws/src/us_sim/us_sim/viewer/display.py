# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Brings the page up to date: frames, words and states. For the executor's thread."""

from __future__ import annotations

import time
from dataclasses import fields
from typing import Any

from us_sim_msgs.msg import ProbeInfo
from us_sim_msgs.srv import ListPatients, LoadPatient

from us_sim.core.config import ImageSettings
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.faults import FaultSettings
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix
from us_sim.ros.conversions import MM_PER_M, pose_matrix
from us_sim.ros.images import pixels_of
from us_sim.viewer import pictures, readout
from us_sim.viewer.bench import Bench
from us_sim.viewer.link import Link
from us_sim.viewer.orientation import BodyMark, body_mark
from us_sim.viewer.page import Page, show_place
from us_sim.viewer.panel import OFF
from us_sim.viewer.remote import Remote
from us_sim.viewer.scans import by_name
from us_sim.viewer.screen import Frame, Screen
from us_sim.viewer.share import LINKED, Seen, written
from us_sim.viewer.status import STILL, Facts, status
from us_sim.viewer.tissue import Tissue
from us_sim.viewer.turns import Turns

OFFERED = 60.0  # s for which a saved file is offered
OFTEN = 0.4  # s between two pictures of what is compared
SPACE = 0.19  # s between two frames in the 3-D view, for each has the whole scene drawn anew
SPARED = 3.0  # s, the same without a graphics card, where that is most of the page's work
NUMBERS = [f.name for config in (ImageSettings, MechanicsSettings, FaultSettings) for f in fields(config)]


class Display:
    """What the page shows of the simulator.

    Attributes:
        tissue: areas of the organs and CT slice.
        force: contact force, N; None until it was measured.
        busy: what is under way, for the user; empty for nothing.
        light: the page is shown in light colours.
        read: parameters that are shown.
    """

    def __init__(self, page: Page, screen: Screen, link: Link, remote: Remote) -> None:
        self._page, self._screen, self._link, self._remote = page, screen, link, remote
        self.tissue = Tissue(page, remote)
        self.force: float | None = None
        self.busy = ""
        self._saved: list[str] = []  # names of the files saved last
        self._saved_at = 0.0  # s, monotonic: when
        self.light = False
        self.read = [name for name in NUMBERS if name in page.panel.settings]
        self._info: ProbeInfo | None = None
        self._values: dict[str, float] = {}
        self._shown: Frame | None = None
        self._outlined = False  # it has classes, which may come later, and they are outlined
        self._stale = False  # it is to look otherwise
        self._in_space: Frame | None = None  # the frame that the 3-D view shows
        self._space_at = 0.0  # s, monotonic: since when
        self._placed_of: Frame | None = None  # the frame that body mark and link are of
        self._strip_of: Frame | None = None  # the frame that the strip ends with
        self._strip_line = 0
        self._compared: Frame | None = None  # the frame that another renderer was asked for
        self._other = ""  # that renderer
        self._draws = Turns(OFTEN)
        self._link_text = ""
        self._mark: BodyMark | None = None
        self._newest_at = 0.0  # s, monotonic: when the last live frame came
        self._frames, self._counted, self._rate = 0, time.monotonic(), 0.0

    # -- what the simulator says -------------------------------------------------------------------------

    def inform(self, info: ProbeInfo, probe: ProbeGeometry) -> None:
        """Take what holds; another patient or probe clears the screen."""
        before, self._info = self._info, info
        self.tissue.inform(info, probe)
        detail = "with" if info.detail else "without"
        about = f"**{info.patient}**, {detail} anatomy below CT resolution  \n`{info.patient_sha256[:12]}`"
        self._page.panel.patient.content = about
        swapped = before is not None and before.patient_sha256 != info.patient_sha256
        if probe != self._screen.probe:
            self._clear(probe)
            self._page.show_probe(probe)
        elif swapped:
            self._clear(probe)
            self._page.clear(probe)

    def _clear(self, probe: ProbeGeometry) -> None:
        self._screen.clear(probe)
        self._shown, self._in_space, self.force, self._newest_at = None, None, None, 0.0
        self.tissue.clear()
        self._mark = None

    def hold(self, values: dict[str, float]) -> None:
        """Take the parameters' values."""
        self._values = values

    def take(self, frame: Frame) -> None:
        """Take a frame."""
        probe, image = self._screen.probe, frame["image"]
        if probe is None or (image.height, image.width) != (probe.height, probe.width):
            return  # of another probe than the newest ProbeInfo's
        self._screen.take(frame)
        self._link.sign_of_life()
        if not frame["frame_info"].frozen:
            self._newest_at = time.monotonic()
            self._frames += 1

    # -- what is shown -----------------------------------------------------------------------------------

    def show_frame(self, held: Matrix | None) -> None:
        """Show the frame on the screen, if it is another one and a page has drawn the last.

        `held` is the pose of the probe that the user holds, mm; None while others move it.
        """
        frame, probe = self._screen.frame, self._screen.probe
        if frame is None or probe is None:
            return
        if self._stale:
            self._forget()
        self._show_other(frame, probe)
        self._show_in_space(frame, held)
        if not self._page.channel.asked:
            return
        self._show_strip(frame)
        outlined = "labels" in frame and self._page.panel.outlines.value
        if frame is self._shown and outlined == self._outlined:
            return
        self._shown, self._outlined = frame, outlined
        labels = pixels_of(frame["labels"]) if "labels" in frame else None
        organs = list(self.tissue.organs().values())
        self._page.show_frame(pixels_of(frame["image"]), labels, probe, self.tissue.colors, organs)

    def _show_in_space(self, frame: Frame, held: Matrix | None) -> None:
        """Show a frame in the 3-D view, if it is another one, no sooner than SPACE or SPARED after the last."""
        now = time.monotonic()
        least = SPARED if self._page.channel.sparing and held is None else SPACE
        if frame is self._in_space or now - self._space_at < least:
            return
        self._in_space, self._space_at = frame, now
        self._page.scene.show_frame(pixels_of(frame["image"]))
        show_place(self._page, held, pose_matrix(frame["frame_info"].ct_from_probe))

    def redraw(self) -> None:
        """Have the frame drawn once more, for the next look; of any thread, for one may be drawn at this moment."""
        self._stale = True

    def _forget(self) -> None:
        self._stale = False  # first: what is asked for from here on is drawn by the next look
        self._shown = self._in_space = self._placed_of = self._strip_of = self._compared = None
        self.tissue.redraw()

    def _show_strip(self, frame: Frame) -> None:
        line = self._screen.m_mode.line
        if line is None or (frame is self._strip_of and line == self._strip_line):
            return
        self._strip_of, self._strip_line = frame, line
        strip = self._screen.strip()
        if strip is not None:
            self._page.show_strip(strip)

    def _show_other(self, frame: Frame, probe: ProbeGeometry) -> None:
        """Ask for what the frame is compared with; one request at a time, and the next no sooner than OFTEN."""
        renderer = self._page.panel.compare.value
        if renderer == OFF or (frame is self._compared and renderer == self._other) or not self._draws.free:
            return
        self._compared, self._other = frame, renderer
        self._draws.ask()
        told = frame["frame_info"]

        def drawn(image: pictures.Pixels) -> None:
            self._draws.answered()
            if self._screen.probe == probe:
                self._page.show_other(image)

        self._remote.draw(pose_matrix(told.ct_from_probe), told.ct_frame, renderer, drawn)

    def show_words(self, in_control: bool) -> None:
        """Show state, contact, areas, settings."""
        now = time.monotonic()
        if now - self._counted > 1.0:
            self._rate, self._frames, self._counted = self._frames / (now - self._counted), 0, now
        probe, frame = self._screen.probe, self._screen.frame
        state: dict[str, Any] = {**self._state(in_control), **self._screen.state(), "saved": self.saved}
        if probe is not None:
            width, height = pictures.scaled(probe, pictures.WIDTH)
            state |= {"shape": round(width / height, 4), "ruler": pictures.ticks(probe)}
        compared = self._page.panel.compare.value
        state |= {"light": self.light, "compare": "" if compared == OFF else compared}
        if frame is not None and probe is not None:
            state |= self._readouts(frame, probe)
        self._page.channel.tell(state)
        if self._info is not None and self._remote.parameters.quiet:
            self._page.show_settings(self._info.renderer, self._info.height, self._settings(self._info))

    def show_bench(self, bench: Bench) -> None:
        """Show the controllers' states and the curves."""
        self._page.show_bench(bench.words(self._link.servo, self._link.scanning), bench.force, bench.place)

    def offer(self, files: list[str]) -> None:
        """Offer files, by their names, that have just been saved."""
        self._saved, self._saved_at = files, time.monotonic()

    @property
    def saved(self) -> list[str]:
        """Names of the files that are offered; for a while, as they take their place from the image."""
        return self._saved if time.monotonic() - self._saved_at < OFFERED else []

    def report(self, text: str) -> None:
        """Show what came of loading a patient, as Markdown."""
        self._page.panel.report.content = text

    def listed(self, response: ListPatients.Response) -> None:
        """Offer the scans that the simulator may load."""
        self._page.controls.show_scans(by_name(response.cts, response.labels), response.message)

    def loaded(self, response: LoadPatient.Response) -> None:
        """Show the answer to a wish for another patient."""
        lines = [f"**{response.patient}**", "Tissue: " + ", ".join(response.class_names), *response.labelling]
        lines += [f"⚠ {warning}" for warning in response.warnings]
        self.report("\n\n".join(lines) if response.success else f"Not loaded: {response.message}")

    def _state(self, in_control: bool) -> dict[str, Any]:
        there, age = self._remote.there, time.monotonic() - self._newest_at
        mover = self._link.mover(in_control, self._remote.demo_held)
        if not in_control and age > STILL and not self._screen.frozen:
            mover = ""
        facts = Facts(
            known=self._info is not None, alive=there and self._link.alive, starting=self._link.starting(there),
            failure=self._link.failure, loading=self._link.loading, frozen=self._screen.frozen,
            cine=self._screen.frozen and self._screen.place < len(self._screen.cine) - 1, age=age,
            image=self._screen.frame is not None, busy=self.busy,
            deaf=in_control and not self._remote.takes_poses,
        )  # fmt: skip
        mode, badge, note = status(facts)
        words = {"mode": mode, "badge": badge, "note": note, "patient": "", "mover": "", "rate": ""}
        if self._info is not None and mode != "lost":
            words["patient"] = f"{self._info.patient}, {self._info.renderer}"
            words["mover"] = f"moved by {mover or 'nobody'}"
        if mode == "live" and self._screen.frame is not None:
            words["rate"] = f"{1000 * self._screen.frame['frame_info'].latency:.0f} ms, {self._rate:.0f}/s"
        return words

    def _readouts(self, frame: Frame, probe: ProbeGeometry) -> dict[str, Any]:
        """Contact and areas, of the frame that is shown."""
        contact = frame["contact"]
        coupling = contact.line_coupling if contact is not None else []
        if frame is not self._placed_of:
            self._placed_of, pose = frame, pose_matrix(frame["frame_info"].ct_from_probe)
            skin = self.tissue.meshes.get("skin")
            self._mark = body_mark(pose, skin[0]) if skin is not None else None
            self._link_text = self._written(pose)
        self.tissue.look_into(frame)
        told = not self._screen.frozen or self.tissue.tells_of(frame)  # areas of another frame would mislead
        shown: dict[str, Any] = {
            "organs": self.tissue.bars if told else "",
            "body": self._mark,
            "link": self._link_text,
        }
        if contact is not None:
            force = None if self._screen.frozen else self.force
            shown["contact"] = readout.contact(coupling, contact.penetration * MM_PER_M, force)
        return shown

    def _written(self, pose: Matrix) -> str:
        """The link to a pose with the present settings."""
        info = self._info
        if info is None:
            return ""
        values = {**self._settings(info), "renderer": info.renderer, "rows": info.height}
        return written(Seen(pose, {name: value for name, value in values.items() if name in LINKED}))

    def _settings(self, info: ProbeInfo) -> dict[str, float]:
        return {
            **self._values,
            "sector": info.sector or 1.0,
            "gain": info.gain,
            "dynamic_range": info.dynamic_range,
            "frequency": info.frequency * 1e-6,
            "depth": info.depth * MM_PER_M,
        }

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What the console's screen shows: the live image or a frame of the cine loop, callipers, M-mode. For one thread."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.ros.conversions import nanoseconds, pose_matrix
from us_sim.ros.images import pixels_of
from us_sim.viewer.about import About
from us_sim.viewer.cine import Cine
from us_sim.viewer.look import PLAIN
from us_sim.viewer.m_mode import MMode, ends, nearest_line, point_at, share_of, ticks
from us_sim.viewer.measuring import M_MODE, POINTS, WORDED, Mark, line, position, share, values
from us_sim.viewer.orientation import body_mark
from us_sim.viewer.pictures import Pixels
from us_sim.viewer.saving import Clip
from us_sim.viewer.skin_mesh import SkinMesh

MOST_MARKS = 12
Frame = dict[str, Any]  # messages by topic


class Screen:
    """Frames go in by `take`; `frame` is what is to be seen.

    Attributes:
        probe: whose frames they are; None until it is known.
        frozen: the simulator holds its image.
        tool: kind of the next mark; empty for none.
        marks: on the frame that is shown.
        playing: the cine loop runs.
        m_mode: the M-mode strip.
    """

    def __init__(self) -> None:
        self.probe: ProbeGeometry | None = None
        self.frozen = False
        self.tool = ""
        self.marks: list[Mark] = []
        self.playing = False
        self.cine, self.m_mode = Cine(), MMode()
        self._newest: Frame | None = None
        self._place: int | None = None  # in the cine loop; None: the newest frame
        self._began = 0.0  # s, monotonic, at which the loop's first frame was shown
        self._changing = False  # the last mark follows the pointer

    @property
    def frame(self) -> Frame | None:
        """The frame to show; None until there is one."""
        if self.frozen and self._place is not None and len(self.cine):
            return self.cine.frame(self._place)
        return self._newest

    def clear(self, probe: ProbeGeometry | None) -> None:
        """Forget everything: another patient or probe."""
        self.probe, self._newest, self._place, self.playing = probe, None, None, False
        self.cine.clear()
        self.m_mode.clear()
        self.wipe()

    def take(self, frame: Frame) -> None:
        """Take a frame from the simulator."""
        frozen = bool(frame["frame_info"].frozen)
        if self.frozen and not frozen:
            self._place, self.playing, self.tool = None, False, ""
            self.wipe()
        self.frozen, self._newest = frozen, frame
        if not frozen:
            self.cine.add(nanoseconds(frame["frame_info"].header.stamp), frame)

    # -- cine loop ---------------------------------------------------------------------------------------

    def scrub(self, place: int) -> None:
        """Show one frame of the loop, 0 the oldest, and hold it; the marks of the last one go."""
        if self.frozen and len(self.cine):
            self._place, self.playing = min(max(place, 0), len(self.cine) - 1), False
            self.wipe()

    def step(self, by: int) -> None:
        """Show a later or earlier frame of the loop."""
        self.scrub(self.place + by)

    def play(self) -> None:
        """Play the loop, or hold it."""
        if self.frozen and len(self.cine):
            self.playing = not self.playing
            self._began = time.monotonic() - self.cine.times()[self.place]
            self.wipe()

    def tick(self) -> None:
        """While the loop plays, go on to the frame whose time it is."""
        if self.playing:
            self._place = self.cine.place_at(time.monotonic() - self._began)

    @property
    def place(self) -> int:
        """The shown frame's place in the loop."""
        last = len(self.cine) - 1
        return max(0, last if self._place is None else min(self._place, last))

    # -- M-mode --------------------------------------------------------------------------------------------

    def show_m_mode(self) -> None:
        """Show the M-mode strip of the middle scan line, or take it away."""
        if self.probe is not None:
            self._look_along(self.probe.scan_lines // 2 if self.m_mode.line is None else None)

    def _look_along(self, scan_line: int | None) -> None:
        """Show the strip of another scan line, or none; the callipers on the one before go."""
        if scan_line != self.m_mode.line:
            self.m_mode.line = scan_line
            self.marks = [mark for mark in self.marks if mark.kind != M_MODE]

    def strip(self) -> Pixels | None:
        """Return the M-mode strip up to the frame that is shown; None if there is none."""
        loop = self.cine.stamped()[: self.place + 1]
        if self.m_mode.line is None or self.probe is None or not loop:
            return None
        return self.m_mode.strip([(stamp, pixels_of(frame["image"])) for stamp, frame in loop], self.probe)

    # -- callipers ---------------------------------------------------------------------------------------

    def choose(self, tool: str) -> None:
        """Choose what to draw next; the same once more, or an unknown one, for nothing."""
        self.tool = tool if tool in POINTS and tool != self.tool else ""
        self._drop_unfinished()

    def wipe(self) -> None:
        """Take all marks away."""
        self.marks, self._changing = [], False

    def undo(self) -> None:
        """Take the last mark away."""
        self.marks, self._changing = self.marks[:-1], False

    def point(self, phase: str, u: float, v: float) -> None:
        """Follow the pointer: `down`, `move` and `up`, at shares of the frame's width and height.

        Two points are dragged; of an ellipse, the third one follows until it is let go. Without a tool, the M-mode's
        scan line goes there.
        """
        if self.probe is None:
            return
        place = position(min(max(u, 0.0), 1.0), min(max(v, 0.0), 1.0), self.probe)
        if not self.tool:
            if self.m_mode.line is not None and phase != "up":
                self._look_along(nearest_line(*place, self.probe))
        elif self.tool == "text":
            if phase == "down" and len(self.marks) < MOST_MARKS:
                self.marks = [*self.marks, Mark("text", (place,))]
        else:
            self._drag(phase, Mark(self.tool, (place, place)))

    def point_strip(self, phase: str, u: float, v: float) -> None:
        """Follow the pointer on the M-mode strip, where a distance is one in time and depth."""
        scan_line = self.m_mode.line
        if self.probe is not None and scan_line is not None and self.tool == "distance":
            place = point_at(min(max(u, 0.0), 1.0), min(max(v, 0.0), 1.0), self.probe)
            self._drag(phase, Mark(M_MODE, (place, place), scan_line=scan_line))

    def _drag(self, phase: str, begun: Mark) -> None:
        """Begin a mark, or move the end of the one that is begun to where this one would begin."""
        if self._changing:
            if self.marks[-1].kind == begun.kind:
                self._change(begun.points[0], phase == "up")
        elif phase == "down" and len(self.marks) < MOST_MARKS:
            self.marks, self._changing = [*self.marks, begun], True

    def _change(self, place: tuple[float, float], let_go: bool) -> None:
        mark = self.marks[-1]
        mark = replace(mark, points=(*mark.points[:-1], place))
        if let_go:
            if mark.points[0] == mark.points[1]:
                self.undo()  # a click draws nothing
                return
            if mark.complete:
                self._changing = False
            else:
                mark = replace(mark, points=(*mark.points, place))
        self.marks = [*self.marks[:-1], mark]

    def annotate(self, text: str) -> None:
        """Write at the last arrow, or the words that have their place; none take that away again."""
        if self.marks and self.marks[-1].kind in WORDED:
            last = self.marks[-1]
            written = [replace(last, text=text[:80])] if text or last.kind == "arrow" else []
            self.marks = [*self.marks[:-1], *written]

    def _drop_unfinished(self) -> None:
        if self._changing:
            self.undo()

    # -- what leaves it ------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what the page draws beside the picture."""
        times = self.cine.times()
        return {
            "frozen": self.frozen,
            "tool": self.tool,
            "follow": self._changing,
            "cine": {"count": len(times), "place": self.place, "playing": self.playing,
                     "seconds": round(times[self.place] - times[-1], 2) if times else 0.0},
            "m": self._shares(ends(self.m_mode.line, self.probe))
                 if self.m_mode.line is not None and self.probe is not None else [],
            "m_ruler": ticks(self.probe) if self.m_mode.line is not None and self.probe is not None else [],
            "marks": [self._drawn(number, mark) for number, mark in enumerate(self.marks, 1)],
        }  # fmt: skip

    def _drawn(self, number: int, mark: Mark) -> dict[str, Any]:
        on_strip = mark.kind == M_MODE
        return {
            "strip": on_strip,
            "measures": mark.kind not in WORDED,
            "number": number,
            "kind": mark.kind,
            "line": self._shares(line(mark), on_strip),
            "ends": self._shares(np.asarray(mark.points), on_strip),
            "text": mark.text or "  ".join(value.text for value in values(mark)),
        }

    def _shares(self, points: NDArray[np.float64], on_strip: bool = False) -> list[list[float]]:
        """Where (N, 2) points, mm in `probe`, lie on the picture; or s and mm on the M-mode strip."""
        assert self.probe is not None
        place = share_of if on_strip else share
        return [[round(at, 4) for at in place((x, z), self.probe)] for x, z in points.tolist()]

    def clip(
        self, patient: str, patient_sha256: str, look: Pixels = PLAIN, skin: SkinMesh | None = None
    ) -> Clip | None:
        """Return what can be saved, its grey levels in a (256, 3) look: the loop, the shown frame, its marks.

        With a patient's skin each frame has its body mark. None without a frame.
        """
        shown = self.frame
        if shown is None or self.probe is None:
            return None
        frames, times = self.cine.frames(), self.cine.times()
        place = self.place
        if not frames or frames[place]["frame_info"].header.stamp != shown["frame_info"].header.stamp:
            frames, times, place = [shown], [0.0], 0  # it was frozen before this page came
        about = About(patient, patient_sha256, shown["frame_info"].renderer, datetime.now())
        marks = tuple(mark for mark in self.marks if mark.complete)
        poses = [pose_matrix(frame["frame_info"].ct_from_probe) for frame in frames] if skin is not None else []
        bodies = [body_mark(pose, skin) for pose in poses if skin is not None]
        images = [pixels_of(frame["image"]) for frame in frames]
        return Clip(images, times, place, marks, self.probe, about, look, bodies, self.strip())

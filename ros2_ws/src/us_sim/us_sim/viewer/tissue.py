# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What the classes and the CT slice of the shown frame say: areas of the organs, both as pictures."""

from __future__ import annotations

import numpy as np
from us_sim_msgs.msg import ProbeInfo
from us_sim_msgs.srv import RenderFrame

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.ros.conversions import pose_matrix, probe_geometry
from us_sim.ros.images import hu_of, pixels_of
from us_sim.viewer import pictures, readout
from us_sim.viewer.orientation import edges
from us_sim.viewer.page import Page
from us_sim.viewer.remote import Remote
from us_sim.viewer.scene import RGB
from us_sim.viewer.screen import Frame
from us_sim.viewer.skin_mesh import SkinMesh
from us_sim.viewer.turns import Turns

APART = 0.25  # s between two looks into a frame


class Tissue:
    """Looks into a frame now and then: a stream of classes and CT slices would cost the simulator. For one thread.

    Attributes:
        meshes: of the patient, with their colours, by name.
        colors: (256, 3) RGB of the classes.
        bars: the organs' areas, HTML; empty before the first look.
    """

    def __init__(self, page: Page, remote: Remote) -> None:
        self._page, self._remote, self._turns = page, remote, Turns(APART)
        self.meshes: dict[str, tuple[SkinMesh, RGB]] = {}
        self.colors = np.zeros((256, 3), dtype=np.uint8)
        self.bars = ""
        self._info: ProbeInfo | None = None
        self._probe: ProbeGeometry | None = None  # the same object as long as it holds: its grids are made once
        self._of: Frame | None = None  # the frame that is told of

    def inform(self, info: ProbeInfo, probe: ProbeGeometry) -> None:
        """Take what holds."""
        self._info = info
        if probe != self._probe:
            self._probe = probe
        for number, color in zip(info.class_ids, info.class_colors, strict=False):
            self.colors[number] = [round(255 * channel) for channel in (color.r, color.g, color.b)]

    def clear(self) -> None:
        """Forget the areas: they are another patient's or another probe's."""
        self.bars, self._of = "", None

    def tells_of(self, frame: Frame) -> bool:
        """Whether the areas are a frame's, or those of the same pose drawn before, as a frozen one is each second."""
        return self._of is not None and self._of["frame_info"].header.stamp == frame["frame_info"].header.stamp

    def redraw(self) -> None:
        """Have the frame looked into once more."""
        self._of = None

    def organs(self) -> dict[str, int]:
        """Name and class of the organs that the patient has."""
        info = self._info
        known = dict(zip(info.class_names, map(int, info.class_ids), strict=False)) if info is not None else {}
        return {name: known[name] for name in self.meshes if name in known and name != "skin"}

    def look_into(self, frame: Frame) -> None:
        """Show areas, CT slice and classes of a frame, if it is another one; ask for what it lacks."""
        if self._probe is None or self.tells_of(frame):
            return
        if "ct_slice" in frame:
            self._show(frame, self._probe)
        elif self._turns.free:
            self._turns.ask()
            self._remote.look_into(frame, lambda response: self._take(frame, response))

    def _take(self, frame: Frame, response: RenderFrame.Response) -> None:
        self._turns.answered()
        asked, now = response.probe_info, self._info
        if now is None or asked.patient_sha256 != now.patient_sha256:
            return  # another patient has come meanwhile
        if self._probe is not None and probe_geometry(asked) == self._probe:
            frame["labels"], frame["ct_slice"] = response.frames[0].labels, response.frames[0].ct_slice
            self._show(frame, self._probe)

    def _show(self, frame: Frame, probe: ProbeGeometry) -> None:
        self._of, labels, contact = frame, pixels_of(frame["labels"]), frame["contact"]
        areas = pictures.areas(labels, probe, contact.line_coupling if contact is not None else [])
        soft = [(name, number) for name, number in self.organs().items() if number not in pictures.OPAQUE]
        organs = [readout.Organ(name, self.meshes[name][1], float(areas[number])) for name, number in soft]
        self.bars = readout.bars(organs)
        sides = edges(pose_matrix(frame["frame_info"].ct_from_probe))
        self._page.show_slices(hu_of(frame["ct_slice"]), labels, probe, self.colors, sides)

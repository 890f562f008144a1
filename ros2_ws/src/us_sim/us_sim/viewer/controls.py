# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What each control of the page does. Called from the threads of the page's server."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import viser

from us_sim.core.config import TGC_SLIDERS
from us_sim.viewer.channel import Message
from us_sim.viewer.panel import CHOOSE, SPANS, Panel
from us_sim.viewer.presets import PRESETS
from us_sim.viewer.scans import Scan
from us_sim.viewer.scene import Scene
from us_sim.viewer.steering import Steering, degrees


class Actions(Protocol):
    """What the page asks of the simulator. Callable from any thread."""

    def steered(self) -> None:
        """The user has moved the probe, or taken control of it."""

    def release(self) -> None:
        """Give up control of the probe."""

    def set_parameter(self, name: str, value: float | str) -> None:
        """Set a parameter of the simulator."""

    def find(self, organ: str) -> None:
        """Put the probe where it sees most of an organ."""

    def view(self, organ: str, way: str) -> None:
        """Put the probe where a standard view of an organ is seen."""

    def record(self) -> None:
        """Begin or end the recording of a sweep."""

    def load_patient(self, ct: str, labels: str) -> None:
        """Replace the patient."""

    def list_scans(self) -> None:
        """Ask which scans there are."""

    def scan(self, force: float, length: float, speed: float) -> None:
        """Begin a scan from where the probe is: N, mm, mm/s."""

    def servo(self) -> None:
        """Start the servo."""

    def stop(self) -> None:
        """Stop scan and servo."""

    def hear(self, message: Message) -> None:
        """Take a message of the console."""

    def redraw(self) -> None:
        """Draw the frame that is shown once more."""


class Controls:
    """Turns what the user does in viser's page into calls of `Actions` and `Steering`."""

    def __init__(
        self, server: viser.ViserServer, panel: Panel, scene: Scene, steering: Steering, actions: Actions
    ) -> None:
        self._panel, self._scene, self._steering, self._actions = panel, scene, steering, actions
        self._scans: dict[str, Scan] = {}
        self._grabbed = np.zeros(3)  # from the probe's face to where it was grabbed
        self._bind(server)

    def show_placement(self) -> None:
        """Set the sliders to the probe's placement, whoever controls it."""
        placement = self._steering.placement()
        if placement is not None:
            values = {name: degrees(getattr(placement, name)) for name in ("rotate", "tilt", "rock")}
            for name, value in (*values.items(), ("press", placement.press)):
                low, high, step, *_ = SPANS[name]
                put(self._panel.turns[name], min(high, max(low, round(value / step) * step)))

    def _bind(self, server: viser.ViserServer) -> None:
        panel, actions = self._panel, self._actions
        for name, slider in panel.turns.items():
            slider.on_update(_by_user(partial(self._turned, name)))
        for name, control in panel.settings.items():
            control.on_update(_by_user(partial(actions.set_parameter, name)))
        panel.renderer.on_update(_by_user(partial(actions.set_parameter, "renderer")))
        panel.rows.on_update(_by_user(lambda rows: actions.set_parameter("rows", int(rows))))
        panel.centre.on_click(lambda _: self._set_all(dict.fromkeys(TGC_SLIDERS, 0.0)))
        for shown in (panel.grey_map, panel.tint, panel.compare, panel.outlines, panel.window):
            shown.on_update(_by_user(lambda _: actions.redraw()))
        panel.preset.on_update(_by_user(self._apply_preset))
        for what, box in panel.visible.items():
            box.on_update(_by_user(partial(self._scene.show, what)))
        panel.organ.on_update(_by_user(self._find))
        for organ, group in panel.views.items():
            group.on_click(partial(self._view, organ))
        panel.mouse_control.on_update(_by_user(self._set_mouse_control))
        panel.upright.on_click(lambda _: self._upright())
        panel.record.on_click(lambda _: actions.record())
        panel.phantom.on_click(lambda _: actions.load_patient(f"phantom:{int(panel.seed.value)}", ""))
        panel.list_again.on_click(lambda _: actions.list_scans())
        panel.scan_list.on_update(_by_user(self._load_scan))
        panel.load.on_click(lambda _: actions.load_patient(panel.ct.value, panel.labels.value))
        panel.scan.on_click(lambda _: actions.scan(panel.force.value, panel.length.value, panel.speed.value))
        panel.servo.on_click(lambda _: actions.servo())
        panel.stop.on_click(lambda _: actions.stop())
        server.scene.on_click()(self._clicked)

    def _turned(self, name: str, value: float) -> None:
        self._steering.turn(**{name: value if name == "press" else math.radians(value)})
        self._slid()

    def turn_by(self, name: str, by: float) -> None:
        """Turn or press the probe by degrees or mm, as its slider does."""
        placement = self._steering.placement()
        if placement is not None:
            low, high, *_ = SPANS[name]
            now = placement.press if name == "press" else degrees(getattr(placement, name))
            wished = degrees(math.radians(now + by)) if name == "rotate" else min(high, max(low, now + by))
            self._turned(name, wished)
            self.show_placement()

    def adjust(self, name: str, by: float) -> None:
        """Change a parameter by an amount, as its slider does."""
        slider: Any = self._panel.settings[name]
        put(slider, min(slider.max, max(slider.min, slider.value + by)))
        self._actions.set_parameter(name, slider.value)

    def _upright(self) -> None:
        self._steering.turn(rotate=0.0, tilt=0.0, rock=0.0)
        self.moved()

    def _slid(self) -> None:
        pose = self._steering.pose()
        if pose is not None:
            self._scene.place(pose)
        self._actions.steered()

    def moved(self) -> None:
        """Show the probe and its placement, and send the pose."""
        self._slid()
        self.show_placement()

    def _set_mouse_control(self, by_mouse: bool) -> None:
        if by_mouse:
            self._steering.take()
            self.moved()
        else:
            self._actions.release()

    def _apply_preset(self, name: str) -> None:
        if name != CHOOSE:
            self._set_all(PRESETS[name].values)

    def _set_all(self, values: dict[str, float]) -> None:
        for parameter, value in values.items():
            put(self._panel.settings[parameter], value)
            self._actions.set_parameter(parameter, value)

    def _find(self, organ: str) -> None:
        if organ != CHOOSE:
            self._actions.find(organ)
            put(self._panel.organ, CHOOSE)  # so that it can be chosen again

    def show_scans(self, scans: dict[str, Scan], remark: str) -> None:
        """Offer the scans that can be loaded, by name."""
        self._scans = scans
        self._panel.scan_list.options = (CHOOSE, *scans)
        self._panel.scan_remark.content = remark

    def _load_scan(self, name: str) -> None:
        if name in self._scans:
            scan = self._scans[name]
            put(self._panel.ct, scan.ct)
            put(self._panel.labels, scan.labels)
            self._actions.load_patient(scan.ct, scan.labels)
            put(self._panel.scan_list, CHOOSE)  # so that it can be chosen again

    def _view(self, organ: str, event: Any) -> None:
        self._actions.view(organ, event.target.value)

    async def dragged(self, event: viser.SceneNodeDragEvent[Any]) -> None:
        """Slide the probe: the face goes where the pointer has moved to, as seen from the camera.

        A coroutine, so that the phases of a drag come in order; it awaits nothing.
        """
        pose = self._steering.pose()
        if pose is None:
            return
        if event.phase == "start":
            self._grabbed = np.array(event.start_position) - pose[:3, 3]
        eye = np.array(event.client.camera.position)
        wanted = np.array(event.end_position) - self._grabbed
        met = self._steering.ray(eye, wanted - eye)
        self._steering.slide(wanted if met is None else met)
        self._slid()

    def _clicked(self, event: viser.SceneClickEvent) -> None:
        met = self._steering.ray(event.ray_origin, event.ray_direction)
        if met is not None:
            self._steering.slide(met)
            self._slid()


def _by_user(act: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a callback that acts on a control's new value if a user has changed it, not the page itself.

    viser checks no values: what lies outside a slider is put at its end, and what is no number is not heard.
    """

    def changed(event: Any) -> None:
        if event.client is None:
            return
        control = event.target
        if isinstance(control, viser.GuiSliderHandle):
            value = float(control.value)
            if not math.isfinite(value):
                put(control, min(control.max, max(control.min, 0.0)))
                return
            put(control, min(control.max, max(control.min, value)))
        act(control.value)

    return changed


def put(control: Any, value: Any) -> None:
    """Set a control to a value, if it has another one: viser would send it all the same."""
    if control.value != value:
        control.value = value

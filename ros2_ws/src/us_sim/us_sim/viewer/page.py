# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The page: console, 3-D view and controls, and what each control does.

Controls call `Actions` and `Steering` from the threads of the page's server.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import BytesIO, StringIO
from typing import Any, Protocol

import numpy as np
import viser
from numpy.typing import NDArray
from PIL import Image

from us_sim.client.recording import Recorder
from us_sim.core.config import TGC_SLIDERS
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix
from us_sim.viewer import pictures
from us_sim.viewer.bench import Curve
from us_sim.viewer.channel import B_MODE, OTHER, STRIP, Channel, Message
from us_sim.viewer.guard import Guard, guarded
from us_sim.viewer.look import table
from us_sim.viewer.panel import CHOOSE, ROWS, SPANS, WINDOWS, Panel
from us_sim.viewer.pictures import Pixels
from us_sim.viewer.presets import PRESETS
from us_sim.viewer.scans import Scan
from us_sim.viewer.scene import RGB, Scene
from us_sim.viewer.skin_mesh import SkinMesh
from us_sim.viewer.steering import Steering, degrees
from us_sim.viewer.views import absent

GOODBYE = 1.0  # s
JPEG_QUALITY = 92


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


class Page:
    """What the browser shows."""

    def __init__(self, host: str, port: int, steering: Steering, actions: Actions, warn: Callable[[str], None]) -> None:
        """Serve it; `warn(text)` reports refused requests and messages."""
        self.guard = Guard(host, warn)
        self.channel = Channel(actions.hear, self.guard.refuse)
        with redirect_stdout(StringIO()), guarded(self.guard, self.channel):  # the node says where the page is
            self.server = viser.ViserServer(host, port, verbose=False)
        self.panel, self.scene = Panel(self.server), Scene(self.server)
        self._steering, self._actions = steering, actions
        self._scans: dict[str, Scan] = {}
        self._grabbed = np.zeros(3)  # from the probe's face to where it was grabbed
        self._bind()

    @property
    def url(self) -> str:
        """Where the page is found, with the token where other machines are admitted."""
        host, token = self.server.get_host(), self.guard.token
        host = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.server.get_port()}" + (f"/?token={token}" if token else "")

    @property
    def watched(self) -> bool:
        """Whether a browser shows the page."""
        return self.channel.watched or bool(self.server.get_clients())

    def close(self) -> None:
        """Stop serving; a browser that is too busy to say goodbye is not waited for."""
        with redirect_stdout(StringIO()):
            goodbye = threading.Thread(target=self.server.stop, daemon=True)
            goodbye.start()
            goodbye.join(GOODBYE)

    def light(self, on: bool) -> None:
        """Show viser's part in light colours, or in dark ones."""
        self.panel.show_theme(on)

    def tell(self, title: str, text: str) -> None:
        """Show a notice in every open browser."""
        for client in self.server.get_clients().values():
            client.add_notification(title, text, auto_close_seconds=8.0)

    # -- what is shown -------------------------------------------------------------------------------

    def show_patient(self, meshes: dict[str, tuple[SkinMesh, RGB]]) -> None:
        """Show another patient, `skin` among the meshes, with the organs that can be found."""
        self.scene.show_patient(meshes)
        self.scene.look_at(meshes["skin"][0])
        self.panel.organ.options = (CHOOSE, *(name for name in meshes if name != "skin"))
        shapes = {name: mesh for name, (mesh, _) in meshes.items()}
        self.panel.show_views(absent(shapes))

    def show_probe(self, probe: ProbeGeometry) -> None:
        """Show another probe, ready to be grabbed, with an empty image."""
        self.scene.show_probe(probe).on_drag("left")(self._dragged)
        self.clear(probe)

    def clear(self, probe: ProbeGeometry) -> None:
        """Take the image away: it is another patient's or another probe's."""
        nothing = np.zeros((probe.height, probe.width), np.uint8)
        self._show_picture(nothing)
        self._show_picture(nothing, STRIP)
        self.scene.show_frame(nothing)
        self.panel.show_slices(pictures.side_by_side(nothing, nothing, probe, np.zeros((256, 3), np.uint8)))

    def show_frame(
        self,
        image: Pixels,
        labels: Pixels | None,
        probe: ProbeGeometry,
        colors: NDArray[np.uint8],
        organs: list[int],
    ) -> None:
        """Show a frame; images are (H, W), colours (256, 3), organs the classes that may be outlined.

        Without labels, which may come later, there are no outlines.
        """
        if self.panel.outlines.value and labels is not None:
            classes = np.where(np.isin(labels, organs), labels, np.uint8(0))
            self._show_picture(pictures.outlined(image, probe, classes, colors, self.look))
        else:
            self._show_picture(self._tinted(image))

    def show_strip(self, strip: Pixels) -> None:
        """Show the M-mode strip, grey."""
        self._show_picture(self._tinted(strip), STRIP)

    def show_other(self, image: Pixels) -> None:
        """Show what the frame is compared with, (H, W)."""
        self._show_picture(self._tinted(image), OTHER)

    def show_slices(
        self, hu: NDArray[np.int16], labels: Pixels, probe: ProbeGeometry, colors: Pixels, sides: tuple[str, str]
    ) -> None:
        """Show CT slice and classes of a frame, (H, W), with the letters of its sides."""
        step = max(1, round(2 * probe.width / pictures.PAIR))  # no more pixels than are shown
        shown = pictures.windowed(hu[::step, ::step], WINDOWS[self.panel.window.value])
        self.panel.show_slices(pictures.side_by_side(shown, labels[::step, ::step], probe, colors, sides))

    @property
    def look(self) -> Pixels:
        """The grey map and tint that are chosen, (256, 3) RGB."""
        return table(self.panel.grey_map.value, self.panel.tint.value)

    def _tinted(self, image: Pixels) -> Pixels:
        """An (H, W) picture at its own pixels, which the page stretches to true proportions."""
        return np.asarray(pictures.tinted(Image.fromarray(image), self.look))

    def _show_picture(self, picture: Pixels, kind: int = B_MODE) -> None:
        file = BytesIO()
        Image.fromarray(picture).save(file, "jpeg", quality=JPEG_QUALITY)
        self.channel.show(file.getvalue(), kind)

    def show_placement(self) -> None:
        """Set the sliders to the probe's placement, whoever controls it."""
        placement = self._steering.placement()
        if placement is not None:
            values = {name: degrees(getattr(placement, name)) for name in ("rotate", "tilt", "rock")}
            for name, value in (*values.items(), ("press", placement.press)):
                low, high, step, *_ = SPANS[name]
                _set(self.panel.turns[name], min(high, max(low, round(value / step) * step)))

    def show_settings(self, renderer: str, rows: int, values: dict[str, float]) -> None:
        """Set the controls to what holds."""
        _set(self.panel.renderer, renderer)
        if str(rows) not in self.panel.rows.options:
            self.panel.rows.options = (*ROWS, str(rows))
        _set(self.panel.rows, str(rows))
        self.panel.show_renderer(renderer)
        for name, value in values.items():
            slider: Any = self.panel.settings[name]
            _set(slider, min(slider.max, max(slider.min, round(value, 3))))

    def show_state(self, recorder: Recorder, follows: bool) -> None:
        """Show whether a sweep is recorded, and who controls the probe."""
        self.panel.show_recording(recorder.running, recorder.words)
        _set(self.panel.mouse_control, not follows)
        if follows:
            self.show_placement()

    def show_bench(self, words: str, force: Curve, place: Curve) -> None:
        """Show the controllers' states, and force and pose over time."""
        panel = self.panel
        if panel.bench.content != words:
            panel.bench.content = words
        for plot, curve in ((panel.force_curve, force), (panel.pose_curve, place)):
            if (data := curve.columns()) and (
                len(data[0]) != len(plot.data[0]) or not np.array_equal(data[-1], plot.data[-1])
            ):
                plot.data = data

    # -- what the controls do --------------------------------------------------------------------------

    def _bind(self) -> None:
        panel, actions = self.panel, self._actions
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
            box.on_update(_by_user(partial(self.scene.show, what)))
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
        self.server.scene.on_click()(self._clicked)

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
        slider: Any = self.panel.settings[name]
        _set(slider, min(slider.max, max(slider.min, slider.value + by)))
        self._actions.set_parameter(name, slider.value)

    def _upright(self) -> None:
        self._steering.turn(rotate=0.0, tilt=0.0, rock=0.0)
        self.moved()

    def _slid(self) -> None:
        pose = self._steering.pose()
        if pose is not None:
            self.scene.place(pose)
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
            _set(self.panel.settings[parameter], value)
            self._actions.set_parameter(parameter, value)

    def _find(self, organ: str) -> None:
        if organ != CHOOSE:
            self._actions.find(organ)
            _set(self.panel.organ, CHOOSE)  # so that it can be chosen again

    def show_scans(self, scans: dict[str, Scan], remark: str) -> None:
        """Offer the scans that can be loaded, by name."""
        self._scans = scans
        self.panel.scan_list.options = (CHOOSE, *scans)
        self.panel.scan_remark.content = remark

    def _load_scan(self, name: str) -> None:
        if name in self._scans:
            scan = self._scans[name]
            _set(self.panel.ct, scan.ct)
            _set(self.panel.labels, scan.labels)
            self._actions.load_patient(scan.ct, scan.labels)
            _set(self.panel.scan_list, CHOOSE)  # so that it can be chosen again

    def _view(self, organ: str, event: Any) -> None:
        self._actions.view(organ, event.target.value)

    async def _dragged(self, event: viser.SceneNodeDragEvent[Any]) -> None:
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


def show_place(page: Page, body: Matrix | None, plane: Matrix) -> None:
    """Move the probe, and the plane that its frame shows, in the view."""
    page.scene.place(plane if body is None else body)
    page.scene.place_plane(plane)


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
                _set(control, min(control.max, max(control.min, 0.0)))
                return
            _set(control, min(control.max, max(control.min, value)))
        act(control.value)

    return changed


def _set(control: Any, value: Any) -> None:
    if control.value != value:
        control.value = value

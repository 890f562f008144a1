"""The page: view, pictures and controls, and what each control does.

Controls call `Actions` and `Steering` from the threads of the page's server.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from typing import Any, Protocol

import numpy as np
import viser
from numpy.typing import NDArray
from us_sim_msgs.msg import ProbeInfo

from us_sim.client.recording import Recorder
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix
from us_sim.ros.conversions import MM_PER_M
from us_sim.viewer import pictures
from us_sim.viewer.guard import Guard, guarded
from us_sim.viewer.panel import CHOOSE, SPANS, Panel
from us_sim.viewer.parameter_client import QUIET
from us_sim.viewer.pictures import Pixels
from us_sim.viewer.scene import RGB, Scene
from us_sim.viewer.skin_mesh import SkinMesh
from us_sim.viewer.steering import Steering, degrees

GOODBYE = 1.0  # s


class Actions(Protocol):
    """What the page asks of the simulator. Callable from any thread."""

    def steered(self) -> None:
        """The user has moved the probe, or taken control of it."""

    def release(self) -> None:
        """Give up control of the probe."""

    def set_parameter(self, name: str, value: float | str) -> None:
        """Set a parameter."""

    def freeze(self, frozen: bool) -> None:
        """Freeze the image, or resume."""

    def find(self, organ: str) -> None:
        """Put the probe where it sees most of an organ."""

    def record(self) -> None:
        """Begin or end the recording of a sweep."""


class Page:
    """What the browser shows."""

    def __init__(self, host: str, port: int, steering: Steering, actions: Actions, warn: Callable[[str], None]) -> None:
        """Serve it; `warn(text)` reports refused requests and messages."""
        self.guard = Guard(host, warn)
        with redirect_stdout(StringIO()), guarded(self.guard):  # the node says where the page is
            self.server = viser.ViserServer(host, port, verbose=False)
        self.panel, self.scene = Panel(self.server), Scene(self.server)
        self._steering, self._actions = steering, actions
        self._grabbed = np.zeros(3)  # from the probe's face to where it was grabbed
        self._freeze_asked = 0.0
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
        return bool(self.server.get_clients())

    def close(self) -> None:
        """Stop serving; a browser that is too busy to say goodbye is not waited for."""
        with redirect_stdout(StringIO()):
            goodbye = threading.Thread(target=self.server.stop, daemon=True)
            goodbye.start()
            goodbye.join(GOODBYE)

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

    def show_probe(self, probe: ProbeGeometry) -> None:
        """Show another probe, ready to be grabbed."""
        self.scene.show_probe(probe).on_drag("left")(self._dragged)

    def show_frame(
        self,
        image: Pixels,
        ct_view: Pixels,
        labels: Pixels,
        probe: ProbeGeometry,
        colors: NDArray[np.uint8],
        organs: list[int],
    ) -> None:
        """Show the newest frame; images are (H, W), colours (256, 3), organs the classes that may be outlined."""
        outlines = None
        if self.panel.outlines.value:
            outlines = np.where(np.isin(labels, organs), labels, np.uint8(0))
        self.panel.show_pictures(
            pictures.b_mode(image, probe, outlines, colors), pictures.side_by_side(ct_view, labels, probe, colors)
        )
        self.scene.show_frame(image)

    def show_placement(self) -> None:
        """Set the sliders to the probe's placement, whoever controls it."""
        placement = self._steering.placement()
        if placement is not None:
            values = {name: degrees(getattr(placement, name)) for name in ("rotate", "tilt", "rock")}
            for name, value in (*values.items(), ("press", placement.press)):
                low, high, step, *_ = SPANS[name]
                _set(self.panel.turns[name], min(high, max(low, round(value / step) * step)))

    def show_settings(self, info: ProbeInfo) -> None:
        """Set the image's controls to what holds."""
        _set(self.panel.renderer, info.renderer)
        values = {
            "gain": info.gain,
            "dynamic_range": info.dynamic_range,
            "frequency": info.frequency * 1e-6,
            "depth": info.depth * MM_PER_M,
        }
        for name, value in values.items():
            slider = self.panel.settings[name]
            _set(slider, min(slider.max, max(slider.min, round(value, 1))))

    def show_state(self, recorder: Recorder, follows: bool, frozen: bool) -> None:
        """Show whether a sweep is recorded, who controls the probe, and whether the image is frozen."""
        self.panel.record.label = "Stop" if recorder.running else "Record"
        self.panel.recorded.content = recorder.words
        _set(self.panel.mouse_control, not follows)
        if follows:
            self.show_placement()
        if time.monotonic() - self._freeze_asked > QUIET:
            _set(self.panel.freeze, frozen)

    def show_place(self, ct_from_probe: Matrix) -> None:
        """Move the probe in the view."""
        self.scene.place(ct_from_probe)

    # -- what the controls do --------------------------------------------------------------------------

    def _bind(self) -> None:
        panel, actions = self.panel, self._actions
        for name, slider in panel.turns.items():
            slider.on_update(_by_user(partial(self._turned, name)))
        for name, slider in panel.settings.items():
            slider.on_update(_by_user(partial(actions.set_parameter, name)))
        panel.renderer.on_update(_by_user(partial(actions.set_parameter, "renderer")))
        panel.freeze.on_update(_by_user(self._freeze))
        for what, box in panel.visible.items():
            box.on_update(_by_user(partial(self.scene.show, what)))
        panel.organ.on_update(_by_user(self._find))
        panel.mouse_control.on_update(_by_user(self._set_mouse_control))
        panel.upright.on_click(lambda _: self._upright())
        panel.record.on_click(lambda _: actions.record())
        self.server.scene.on_click()(self._clicked)

    def _turned(self, name: str, value: float) -> None:
        self._steering.turn(**{name: value if name == "press" else math.radians(value)})
        self._slid()

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

    def _freeze(self, frozen: bool) -> None:
        self._freeze_asked = time.monotonic()
        self._actions.freeze(frozen)

    def _find(self, organ: str) -> None:
        if organ != CHOOSE:
            self._actions.find(organ)
            _set(self.panel.organ, CHOOSE)  # so that it can be chosen again

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

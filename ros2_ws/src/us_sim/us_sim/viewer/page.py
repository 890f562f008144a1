# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The page: what console, 3-D view and controls show."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from typing import Any

import numpy as np
import viser
from numpy.typing import NDArray
from PIL import Image

from us_sim.client.recording import Recorder
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix
from us_sim.viewer import pictures
from us_sim.viewer.bench import Curve
from us_sim.viewer.channel import B_MODE, OTHER, STRIP, Channel
from us_sim.viewer.controls import Actions, Controls, put
from us_sim.viewer.guard import Guard, guarded
from us_sim.viewer.look import table
from us_sim.viewer.panel import CHOOSE, ROWS, WINDOWS, Panel
from us_sim.viewer.pictures import Pixels
from us_sim.viewer.scene import RGB, Scene
from us_sim.viewer.skin_mesh import SkinMesh
from us_sim.viewer.steering import Steering
from us_sim.viewer.views import absent

GOODBYE = 1.0  # s
JPEG_QUALITY = 92


class Page:
    """What the browser shows.

    Attributes:
        guard: refuses what other sites ask for.
        channel: to the console.
        server: viser's.
        panel, scene: its controls and its 3-D view.
        controls: what the user does there.
    """

    def __init__(self, host: str, port: int, steering: Steering, actions: Actions, warn: Callable[[str], None]) -> None:
        """Serve it; `warn(text)` reports refused requests and messages."""
        self.guard = Guard(host, warn)
        self.channel = Channel(actions.hear, self.guard.refuse)
        with redirect_stdout(StringIO()), guarded(self.guard, self.channel):  # the node says where the page is
            self.server = viser.ViserServer(host, port, verbose=False)
        self.panel, self.scene = Panel(self.server), Scene(self.server)
        self.controls = Controls(self.server, self.panel, self.scene, steering, actions)

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

    def await_patient(self) -> None:
        """Take skin and organs of the patient before away."""
        self.scene.forget_patient()
        self.panel.await_patient()

    def show_probe(self, probe: ProbeGeometry) -> None:
        """Show another probe, ready to be grabbed, with an empty image."""
        self.scene.show_probe(probe).on_drag("left")(self.controls.dragged)
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

    def show_settings(self, renderer: str, rows: int, values: dict[str, float]) -> None:
        """Set the controls to what holds."""
        put(self.panel.renderer, renderer)
        if str(rows) not in self.panel.rows.options:
            self.panel.rows.options = (*ROWS, str(rows))
        put(self.panel.rows, str(rows))
        self.panel.show_renderer(renderer)
        for name, value in values.items():
            slider: Any = self.panel.settings[name]
            put(slider, min(slider.max, max(slider.min, round(value, 3))))

    def show_state(self, recorder: Recorder, follows: bool) -> None:
        """Show whether a sweep is recorded, and who controls the probe."""
        self.panel.show_recording(recorder.running, recorder.words)
        put(self.panel.mouse_control, not follows)
        if follows:
            self.controls.show_placement()

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


def show_place(page: Page, body: Matrix | None, plane: Matrix) -> None:
    """Move the probe, and the plane that its frame shows, in the view."""
    page.scene.place(plane if body is None else body)
    page.scene.place_plane(plane)

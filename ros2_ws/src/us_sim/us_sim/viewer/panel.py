# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The controls beside the 3-D view, in tabs. What they do is bound by the page."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import fields
from typing import Any

import numpy as np
import viser
import viser.uplot

from us_sim.core.config import RENDERERS, SOFT_WINDOW, TGC_SLIDERS, ImageSettings
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.faults import FaultSettings
from us_sim.viewer.look import GREY_MAPS, TINTS
from us_sim.viewer.pictures import Pixels
from us_sim.viewer.presets import PRESETS
from us_sim.viewer.scene import OPACITY
from us_sim.viewer.views import FAST, VIEWS

WAITING = "*The patient's skin and organs have not come yet.*"
CHOOSE = "choose"
HELP = """**Drag the probe** over the skin, or **click the skin** to place it there.
Drag next to the body to orbit the view, scroll to zoom. Keys: **?**"""
SPANS = {  # of the sliders, least, greatest, step; and what a sonographer calls it
    "rotate": (-180.0, 180.0, 1.0, "Rotate °", "about the beam; 0 is transverse, marker to the patient's right"),
    "tilt": (-60.0, 60.0, 1.0, "Tilt °", "elevational: tilts the image plane (fanning)"),
    "rock": (-45.0, 45.0, 1.0, "Rock °", "heel to toe, within the image plane"),
    "press": (-10.0, 30.0, 0.5, "Press mm", "indentation of the skin by the face; below 0, a gap"),
}
DEPTHS = (30.0, 300.0)  # mm, on the slider
SETTINGS = (  # parameter, label, step
    ("gain", "Gain dB", 1.0),
    ("dynamic_range", "Dyn. range dB", 1.0),
    ("frequency", "Freq. MHz", 0.1),
    ("focus", "Focus mm", 5.0),
    ("tgc", "TGC dB/cm/MHz", 0.05),
)
ROWS = ("256", "384", "512", "768")
WINDOWS = {  # of the CT slice: HU shown as black and as white
    "soft tissue": SOFT_WINDOW, "liver": (-20.0, 160.0), "bone": (-450.0, 1050.0), "lung": (-1350.0, 150.0),
}  # fmt: skip
OFF = "off"
IGNORED = {  # by a renderer: which settings, and what to say
    "generator": (("frequency", "focus"), "*generator* draws as it was trained: frequency and focus have no effect. "
                  "*physics* obeys them."),
    "ct": (("gain", "dynamic_range", "frequency", "focus", "tgc", *TGC_SLIDERS),
           "*ct* shows the CT slice: depth alone matters."),
    "physics": ((), ""),
}  # fmt: skip
BENCH = {  # parameter: label, step
    "breathing_amplitude": ("Breathing mm", 1.0),
    "breathing_period": ("Period s", 0.5),
    "stiffness": ("Stiffness", 0.1),
    "fault_latency": ("Latency s", 0.05),
    "fault_drop": ("Drop frames", 0.05),
    "fault_position": ("Pose error mm", 1.0),
    "fault_dead": ("Dead elements", 0.05),
    "fault_gel": ("Gel lost", 0.05),
}
AXES = {"x": "#ff6b6b", "y": "#63d471", "z": "#6ba8ff"}
SECONDS = {"x": viser.uplot.Scale(time=False)}
_RULES = {item.name: item for config in (ImageSettings, MechanicsSettings, FaultSettings) for item in fields(config)}


class Panel:
    """All elements of viser's page that are not in space."""

    def __init__(self, server: viser.ViserServer) -> None:
        gui = server.gui
        self._gui = gui
        self.show_theme(light=False)
        gui.set_panel_label("Controls")
        gui.main_panel.dock_right()
        gui.main_panel.set_width(300)
        self.settings: dict[str, viser.GuiInputHandle[float]] = {}
        self._without: dict[str, viser.GuiButtonHandle] = {}  # what stands for a view that there is not
        tabs = gui.add_tab_group()
        with tabs.add_tab("Probe"):
            self._probe(gui)
        with tabs.add_tab("Image"):
            self._image(gui)
        with tabs.add_tab("Patient"):
            self._patient(gui)
        with tabs.add_tab("Bench"):
            self._bench(gui)

    def _probe(self, gui: viser.GuiApi) -> None:
        gui.add_markdown(HELP)
        self.mouse_control = gui.add_checkbox(
            "Mouse control", False, hint="off: the demo or another program moves the probe"
        )
        self.organ = gui.add_dropdown("Find", (CHOOSE,), hint="find the probe position that shows most of an organ")
        with gui.add_folder("Standard views"):
            self.views = {organ: self._view(gui, organ) for organ in VIEWS if organ not in FAST}
        with gui.add_folder("FAST: free fluid"):
            self.views |= {organ: self._view(gui, organ) for organ in FAST}
        self.absent = gui.add_markdown(WAITING)
        with gui.add_folder("Position"):
            self.turns = {
                name: gui.add_slider(label, low, high, step, max(low, min(high, 0.0)), hint=hint)
                for name, (low, high, step, label, hint) in SPANS.items()
            }
            self.upright = gui.add_button("Upright, transverse", hint="rotate, tilt and rock to 0")
        with gui.add_folder("Sweep"):
            self.record = gui.add_button("Record", color="red", icon=viser.Icon.PLAYER_RECORD)
            self.recorded = gui.add_markdown("Records frames, labels and poses to a folder.")

    def _view(self, gui: viser.GuiApi, organ: str) -> viser.GuiButtonGroupHandle:
        """The buttons of an organ's views, and what stands there without it: viser cannot disable a group."""
        self._without[organ] = gui.add_button(organ, disabled=True, hint="not in this patient")
        return gui.add_button_group(organ, tuple(VIEWS[organ]), visible=False)

    def await_patient(self) -> None:
        """Offer no view and no organ until the patient's skin and organs come."""
        self.organ.options = (CHOOSE,)
        self._offer_views_but(VIEWS)
        self.absent.content = WAITING

    def show_views(self, absent: dict[str, str]) -> None:
        """Disable the views that a patient has not, and say why."""
        self._offer_views_but(absent)
        self.absent.content = "  \n".join(f"*{organ}*: {why}." for organ, why in absent.items())

    def _offer_views_but(self, absent: Container[str]) -> None:
        for organ, group in self.views.items():
            group.visible, self._without[organ].visible = organ not in absent, organ in absent

    def _image(self, gui: viser.GuiApi) -> None:
        self.preset = gui.add_dropdown(
            "Preset", (CHOOSE, *PRESETS), hint="depth, focus, frequency, TGC and dynamic range for an examination"
        )
        self.renderer = gui.add_dropdown("Renderer", RENDERERS, initial_value="physics")
        self.settings["depth"] = gui.add_slider("Depth mm", *DEPTHS, 5.0, 180.0, hint="imaging depth")
        self.settings["sector"] = gui.add_slider(
            "Sector", 0.2, 1.0, 0.05, 1.0, hint="sector width: share of the scan lines that is shown, in any renderer"
        )
        for name, label, step in SETTINGS:
            self.settings[name] = self._slider(gui, name, label, step)
        with gui.add_folder("TGC dB, by depth"):
            for number, name in enumerate(TGC_SLIDERS, 1):
                self.settings[name] = self._slider(gui, name, str(number), 1.0)
            self.centre = gui.add_button("All to the middle", hint="the eight TGC sliders to 0 dB")
        self.ignored = gui.add_markdown("")
        with gui.add_folder("Display"):
            self.grey_map = gui.add_dropdown("Grey map", tuple(GREY_MAPS), hint="of the picture here; ~/image stays")
            self.tint = gui.add_dropdown("Tint", tuple(TINTS))
            self.rows = gui.add_dropdown("Frame rows", ROWS, hint="rows of ~/image: more are sharper and take longer")
            self.compare = gui.add_dropdown("Compare with", (OFF, *RENDERERS), hint="behind a curtain over the image")
            self.outlines = gui.add_checkbox("Organ outlines", False, hint="outline the organs on the B-mode image")
        self.window = gui.add_dropdown("CT window", tuple(WINDOWS), hint="HU of black and white in the CT slice")
        self.slices = gui.add_image(np.zeros((222, 560, 3), np.uint8), label="CT slice and tissue", jpeg_quality=88)

    def _patient(self, gui: viser.GuiApi) -> None:
        self.patient = gui.add_markdown("")
        self.seed = gui.add_number("Phantom seed", 0, min=0, max=999_999_999, step=1, hint="another built-in patient")
        self.phantom = gui.add_button("Load phantom", icon=viser.Icon.USER)
        self.scan_list = gui.add_dropdown(
            "Scan", (CHOOSE,), hint="CT scans in the simulator's data_folders, with the labels beside; chosen, it loads"
        )
        self.scan_remark = gui.add_markdown("")
        self.list_again = gui.add_button("List scans again", hint="after files have come or gone")
        self.ct = gui.add_text("CT", "", hint="file or DICOM folder on the simulator's computer, within data_folders; "
                               "empty for the built-in phantom")  # fmt: skip
        self.labels = gui.add_text("Labels", "", hint="segmentation: file or folder of masks; empty: tissue by HU")
        self.load = gui.add_button("Load", icon=viser.Icon.USER)
        self.report = gui.add_markdown("")
        self.visible = {what: gui.add_checkbox(what.capitalize(), True, hint="in the 3-D view") for what in OPACITY}

    def _bench(self, gui: viser.GuiApi) -> None:
        self.bench = gui.add_markdown("")
        self.servo = gui.add_button(
            "Start servo", icon=viser.Icon.PLAYER_PLAY, hint="us_sim_servo finds its organ from where the probe is"
        )
        self.stop = gui.add_button("Stop scan and servo", color="red", icon=viser.Icon.PLAYER_STOP)
        with gui.add_folder("Scan"):
            self.force = gui.add_slider("Force N", 1.0, 15.0, 0.5, 5.0, hint="set point of the contact force")
            self.length = gui.add_slider("Length mm", 20.0, 150.0, 5.0, 60.0, hint="of the path, along the body")
            self.speed = gui.add_slider("Speed mm/s", 2.0, 50.0, 1.0, 15.0)
            self.scan = gui.add_button("Scan from here", icon=viser.Icon.PLAYER_PLAY)
        nothing = np.zeros(1)
        x = viser.uplot.Series(label="s")
        self.force_curve = gui.add_uplot(
            (nothing, nothing), (x, viser.uplot.Series(label="force N", stroke="#ff8a3d")), aspect=1.9,
            title="Contact force, N", scales=SECONDS,
        )  # fmt: skip
        axes = [viser.uplot.Series(label=f"{axis} mm", stroke=ink) for axis, ink in AXES.items()]
        self.pose_curve = gui.add_uplot(
            (nothing, nothing, nothing, nothing), (x, *axes), aspect=1.9, title="Probe in ct, mm", scales=SECONDS,
        )  # fmt: skip
        with gui.add_folder("Breathing and faults", expand_by_default=False):
            for name, (label, step) in BENCH.items():
                self.settings[name] = self._slider(gui, name, label, step)

    @staticmethod
    def _slider(gui: viser.GuiApi, name: str, label: str, step: float) -> viser.GuiInputHandle[float]:
        """A slider with the range and description of a parameter."""
        rule: Any = _RULES[name]
        low, high, hint = (rule.metadata[key] for key in ("low", "high", "description"))
        return gui.add_slider(label, low, high, step, rule.default, hint=hint)

    def show_theme(self, light: bool) -> None:
        """Show the controls in light colours, or in dark ones."""
        self._gui.configure_theme(
            dark_mode=not light, show_logo=False, show_share_button=False, brand_color=(62, 146, 204)
        )

    def show_recording(self, running: bool, words: str) -> None:
        """Show whether a sweep is recorded, and where to; viser checks and sends whatever is set, the same too."""
        label = "Stop" if running else "Record"
        if self.record.label != label:
            self.record.label = label
        if self.recorded.content != words:
            self.recorded.content = words

    def show_renderer(self, renderer: str) -> None:
        """Disable what a renderer ignores, and say so."""
        ignored, why = IGNORED.get(renderer, ((), ""))
        for name in (*(name for name, *_ in SETTINGS), *TGC_SLIDERS):
            if self.settings[name].disabled != (name in ignored):
                self.settings[name].disabled = name in ignored
        if self.ignored.content != why:
            self.ignored.content = why

    def show_slices(self, slices: Pixels) -> None:
        """Show CT slice and classes of the newest frame."""
        self.slices.image = slices

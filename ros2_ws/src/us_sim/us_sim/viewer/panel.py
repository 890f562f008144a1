"""The page around the 3-D view: pictures on the right, controls on the left."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import viser

from us_sim.core.config import RENDERERS, ImageSettings
from us_sim.viewer import readout
from us_sim.viewer.pictures import Pixels
from us_sim.viewer.scene import OPACITY

CHOOSE = "choose"
HELP = """**Drag the probe** over the skin, or **click the skin** to place it there.
Drag next to the body to orbit the view, scroll to zoom."""
SPANS = {  # of the sliders, least, greatest, step; and what a sonographer calls it
    "rotate": (-180.0, 180.0, 1.0, "Rotate °", "about the beam; 0 is transverse, marker to the patient's right"),
    "tilt": (-60.0, 60.0, 1.0, "Tilt °", "elevational: tilts the image plane (fanning)"),
    "rock": (-45.0, 45.0, 1.0, "Rock °", "heel to toe, within the image plane"),
    "press": (-10.0, 30.0, 0.5, "Press mm", "indentation of the skin by the face; below 0, a gap"),
}
DEPTHS = (30.0, 300.0)  # mm, on the slider


class Panel:
    """All elements of the page that are not in space. What they do is bound by the viewer."""

    def __init__(self, server: viser.ViserServer) -> None:
        gui = server.gui
        gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False, brand_color=(62, 146, 204))
        gui.set_panel_label("Ultrasound simulator")
        gui.main_panel.dock_left()
        gui.main_panel.set_width(300)
        self.status = gui.add_html(readout.line(["waiting for the simulator"]))
        self._probe(gui)
        self._image(gui)
        self._sweep(gui)
        self._pictures(gui)

    def _probe(self, gui: viser.GuiApi) -> None:
        with gui.add_folder("Probe"):
            gui.add_markdown(HELP)
            self.mouse_control = gui.add_checkbox(
                "Mouse control",
                False,
                hint="off: the demo or another program moves the probe",
            )
            self.organ = gui.add_dropdown("Find", (CHOOSE,), hint="find the probe position that shows most of an organ")
            self.turns = {
                name: gui.add_slider(label, low, high, step, max(low, min(high, 0.0)), hint=hint)
                for name, (low, high, step, label, hint) in SPANS.items()
            }
            self.upright = gui.add_button("Upright, transverse", hint="rotate, tilt and rock to 0")

    def _image(self, gui: viser.GuiApi) -> None:
        rules = {item.name: item.metadata for item in fields(ImageSettings)}
        with gui.add_folder("Image"):
            self.renderer = gui.add_dropdown("Renderer", RENDERERS, initial_value="physics")
            self.settings = {
                name: gui.add_slider(
                    label, rules[name]["low"], rules[name]["high"], step, value, hint=rules[name]["description"]
                )
                for name, label, step, value in (
                    ("gain", "Gain dB", 1.0, 0.0),
                    ("dynamic_range", "Dyn. range dB", 1.0, 60.0),
                    ("frequency", "Freq. MHz", 0.1, 3.5),
                )
            }
            self.settings["depth"] = gui.add_slider("Depth mm", *DEPTHS, 5.0, 180.0, hint="imaging depth")
            self.freeze = gui.add_checkbox("Freeze", False)
            self.outlines = gui.add_checkbox("Organ outlines", False, hint="outline the organs on the B-mode image")
            self.visible = {what: gui.add_checkbox(what.capitalize(), True, hint="in the 3-D view") for what in OPACITY}

    def _sweep(self, gui: viser.GuiApi) -> None:
        with gui.add_folder("Sweep"):
            self.record = gui.add_button("Record", color="red", icon=viser.Icon.PLAYER_RECORD)
            self.recorded = gui.add_markdown("Records frames, labels and poses to a folder.")

    def _pictures(self, gui: viser.GuiApi) -> None:
        panel = gui.add_panel()
        with panel.add_tab("Ultrasound"):
            self.b_mode = gui.add_image(np.zeros((455, 560, 3), np.uint8), jpeg_quality=88)
            self.contact = gui.add_html("")
            self.bars = gui.add_html("")
            self.slices = gui.add_image(np.zeros((222, 560, 3), np.uint8), jpeg_quality=88)
        panel.dock_right()
        panel.set_width(415)

    def show_pictures(self, b_mode: Pixels, slices: Pixels) -> None:
        """Show the newest frame."""
        self.b_mode.image = b_mode
        self.slices.image = slices

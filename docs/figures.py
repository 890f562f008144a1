"""Draw the figures of the documentation: python docs/figures.py (in the shell of env.sh)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Polygon
from numpy.typing import NDArray
from PIL import Image

from us_sim.core.analysis.confidence import confidence_map
from us_sim.core.analysis.organ_views import analyse, shadow
from us_sim.core.assembly import open_generator
from us_sim.core.contact.deformation import displacement
from us_sim.core.contact.force import wrench
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.geometry.probe import PRESSED, preset
from us_sim.core.geometry.transforms import Matrix, apply, rigid
from us_sim.core.patient.patient import Patient, builtin_patient
from us_sim.core.robot.motion import motion
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import CLASS_COLORS
from us_sim.offline.sheet import pictures

matplotlib.use("Agg")
IMAGES = Path(__file__).parent / "images"
Point = NDArray[np.float64]
PROBE = preset("c5_2")


def main() -> None:
    """Draw all figures."""
    patient = builtin_patient(0)
    pose = motion("liver_sweep", patient, 12)[3]
    draw_front(patient, pose)
    figure, (body, frame) = plt.subplots(1, 2, figsize=(11, 5), facecolor="white")
    draw_body(body, patient, pose)
    draw_frame(frame, patient, pose)
    figure.tight_layout()
    figure.savefig(IMAGES / "conventions.png", dpi=110)
    draw_pressed(patient, pose)
    draw_analysis(patient, motion("rotation", patient, 16)[6] @ rigid(np.eye(3), [-12.0, 0.0, 0.0]))


def draw_front(patient: Patient, pose: Matrix) -> None:
    """The README's picture: B-mode, CT slice and labels of one pose, 1.5 pixels to a mm."""
    probe = replace(PROBE, width=346, height=280)
    generator = open_generator("", "cpu")
    frame = Simulator(patient, probe, renderer="generator", generator=generator, device="cpu").render(pose)
    front = Image.new("RGB", (3 * 350 - 4, 280))
    for place, picture in enumerate(pictures(frame, probe)):
        front.paste(picture.convert("RGB"), (350 * place, 0))
    front.save(IMAGES / "front.png")


def draw_body(axes: Axes, patient: Patient, pose: Matrix) -> None:
    """The slice of the CT at the probe's height, seen from the feet, with the frames `ct` and `probe`."""
    volume = patient.volume
    k = round(float(np.linalg.solve(volume.ct_from_voxel, [*pose[:3, 3], 1])[2]))
    low, high = volume.bounds
    hu = volume.hu[:, :, k].T
    axes.imshow(hu, cmap="gray", vmin=-150, vmax=250, origin="lower", extent=(low[0], high[0], low[1], high[1]))
    fan = apply(pose, np.concatenate([PROBE.line_origins, PROBE.polar_points[::-1, -1]]))
    axes.add_patch(Polygon(fan[:, :2], closed=True, fill=False, color="gold", linewidth=1.5))
    for name, direction, color in (("x", (1, 0), "red"), ("y", (0, 1), "lime")):
        arrow(axes, np.array([low[0] + 15, low[1] + 15]), np.array(direction), f"ct {name}", color)
    for name, column, color in (("x", 0, "red"), ("z", 2, "deepskyblue")):
        arrow(axes, pose[:2, 3], pose[:2, column], f"probe {name}", color)
    marker = apply(pose, PROBE.line_origins[0])
    axes.plot(*marker[:2], "o", color="magenta", markersize=7)
    axes.annotate("marker", (marker[0], marker[1]), color="magenta", xytext=(12, 10), textcoords="offset points")
    axes.set(title="CT at the probe, seen from the head: z points towards you",
             xlabel="ct x, mm: patient's left ← 0 → right", ylabel="ct y, mm: posterior ← 0 → anterior")  # fmt: skip
    axes.title.set_fontsize(9)


def draw_frame(axes: Axes, patient: Patient, pose: Matrix) -> None:
    """The frame with the axes of `probe`."""
    image = Simulator(patient, PROBE, device="cpu").render(pose, ct_slice=False, labels=False).image
    assert image is not None
    left, right, top, bottom = PROBE.fan_size
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(left, right, bottom, top))
    arrow(axes, np.zeros(2), np.array([1, 0]), "probe x (columns)", "red", 40)
    arrow(axes, np.zeros(2), np.array([0, 1]), "probe z (rows)", "deepskyblue", 40)
    axes.plot(*PROBE.line_origins[0][[0, 2]], "o", color="magenta", markersize=7)
    axes.set(title="The frame: marker on the left, depth downwards, y towards you",
             xlabel="probe x, mm", ylabel="probe z, mm")  # fmt: skip
    axes.title.set_fontsize(9)


def draw_pressed(patient: Patient, pose: Matrix) -> None:
    """Image, labels and force at indentations of 0, 5, 10 and 15 mm, and the force over the indentation."""
    probe, depths = replace(PROBE, depth=120.0), np.array([0.0, 5.0, 10.0, 15.0])
    simulator = Simulator(patient, probe, device="cpu", mechanics=MechanicsSettings())
    poses = [pose @ rigid(np.eye(3), [0, 0, depth - PRESSED]) for depth in np.linspace(0, 15, 31)]
    forces = [-wrench(simulator.indentation(p), simulator.mechanics).force[2] for p in poses]
    figure, rows = plt.subplots(2, 5, figsize=(14, 4.8), facecolor="white", width_ratios=[1, 1, 1, 1, 0.9])
    left, right, top, bottom = probe.fan_size
    for column, depth in enumerate(depths):
        frame = simulator.render(poses[int(2 * depth)])
        assert frame.image is not None
        assert frame.labels is not None
        colors = CLASS_COLORS[frame.labels] * probe.fan_mask[..., None]
        for axes, picture in zip(rows[:, column], (frame.image, colors), strict=True):
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=(left, right, bottom, top))
            axes.set(xticks=[], yticks=range(0, 121, 20) if column == 0 else [])
        rows[0, column].set_title(f"{depth:.0f} mm, {forces[int(2 * depth)]:.1f} N")
    way = rows[0, 4]
    way.plot(np.linspace(0, 15, 31), forces, color="tab:red")
    way.plot(depths, np.array(forces)[(2 * depths).astype(int)], "o", color="tab:red")
    way.set(xlabel="indentation, mm", ylabel="contact force, N")
    draw_grid(rows[1, 4], simulator, poses[-1])
    figure.tight_layout()
    figure.savefig(IMAGES / "pressed.png", dpi=70)


def draw_grid(axes: Axes, simulator: Simulator, pose: Matrix) -> None:
    """A deformed grid of lines 10 mm apart."""
    probe = simulator.probe
    field = displacement(simulator.indentation(pose), probe)
    assert field is not None
    points = torch.tensor(probe.pixel_points)
    lain = field.source(points).numpy()
    x, z = probe.pixel_points[0, :, 0], probe.pixel_points[:, 0, 2]
    for axis in (0, 2):
        style = {"colors": "tab:blue", "linewidths": 0.8, "linestyles": "solid"}
        axes.contour(x, z, lain[..., axis], levels=np.arange(-100, 130, 10), **style)
    axes.plot(*probe.line_origins[:, [0, 2]].T, color="black", linewidth=2)
    axes.set(aspect="equal", xlim=(-60, 60), ylim=(120, -8), title="tissue grid at 15 mm")
    axes.title.set_fontsize(9)


def arrow(axes: Axes, start: Point, direction: Point, name: str, color: str, length: float = 35) -> None:
    """An arrow of some mm with its name."""
    x, y = start + length * direction / max(float(np.linalg.norm(direction)), 1e-9)
    end, tail = (float(x), float(y)), (float(start[0]), float(start[1]))
    axes.annotate("", end, tail, arrowprops={"arrowstyle": "->", "color": color, "linewidth": 2})
    axes.annotate(name, end, color=color, fontsize=9, weight="bold")


def draw_analysis(patient: Patient, pose: Matrix) -> None:
    """Image, classes with centroids and shadow, and confidence of one pose."""
    simulator = Simulator(patient, PROBE, device="cpu")
    frame = simulator.render(pose, ct_slice=False)
    assert frame.image is not None
    assert frame.labels is not None
    coupling, frequency = frame.contact.line_coupling, simulator.settings.frequency
    confidence = confidence_map(frame.image, PROBE)
    found = analyse(frame.image, frame.labels, confidence, coupling, pose, PROBE, frequency)
    colors = CLASS_COLORS[frame.labels].astype(np.float64) / 255
    colors[shadow(frame.labels, coupling, PROBE, frequency)] *= 0.35
    colors[~PROBE.fan_mask] = 0
    figure, (image, organs, trust) = plt.subplots(1, 3, figsize=(13, 4.4), facecolor="white")
    left, right, top, bottom = PROBE.fan_size
    extent = (left, right, bottom, top)
    image.imshow(frame.image, cmap="gray", vmin=0, vmax=160, extent=extent)
    organs.imshow(colors, extent=extent)
    for view in found.organs:
        if view.area > 200 and view.organ.name not in ("BONE", "LUNG"):
            x, _, z = view.centroid_probe
            organs.plot(x, z, "+", color="white", markersize=11, markeredgewidth=2)
            text = f"{view.organ.name.lower()} {view.area / 100:.0f} cm²\n{view.shadow_fraction:.0%} in shadow"
            organs.annotate(text, (x, z), (0, 9), textcoords="offset points", fontsize=8, ha="center",
                            bbox={"color": "white", "alpha": 0.75, "pad": 1.5})  # fmt: skip
    shown = trust.imshow(confidence, vmin=0, vmax=1, extent=extent)
    figure.colorbar(shown, ax=trust, fraction=0.04)
    titles = ("B-mode, contrast raised", "classes and their centroids; dark: shadow",
              f"confidence, mean {found.confidence:.2f}")  # fmt: skip
    for axes, title in zip((image, organs, trust), titles, strict=True):
        axes.set(title=title, xlabel="probe x, mm", ylabel="probe z, mm")
    figure.tight_layout()
    figure.savefig(IMAGES / "analysis.png", dpi=90)


if __name__ == "__main__":
    main()

"""Draw docs/images/arm.png, what `arm:=true` shows: the arm, the patient on the table, the probe and its fan.

python docs/figure_arm.py docs/images
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import trimesh
from matplotlib.colors import LightSource, to_rgb
from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]
from numpy.typing import NDArray

from us_sim.core.generator.shipped import shipped_arm
from us_sim.core.geometry.probe import preset
from us_sim.core.geometry.transforms import Matrix, apply
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.robot.arm import Arm, solve
from us_sim.core.robot.motion import motion
from us_sim.core.robot.placement import TABLE, TABLE_ORDER, six_numbers
from us_sim.core.robot.urdf import chain, pose
from us_sim.core.tissue import CLASS_COLORS, TissueClass
from us_sim.ros.fake_arm import HOME
from us_sim.ros.markers import fan_outline

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LIGHT = LightSource(azdeg=-60, altdeg=50)


def shapes(urdf: str, link: str) -> list[tuple[trimesh.Trimesh, str]]:
    """Return the link's visuals as meshes in its frame, mm, with their colours."""
    robot = ElementTree.fromstring(urdf)
    colors = {m.get("name"): m.find("color").get("rgba") for m in robot.findall("material")}  # type: ignore[union-attr]
    found = []
    for visual in robot.findall(f"link[@name='{link}']/visual"):
        origin, box = visual.find("origin"), visual.find("geometry/box")
        cylinder, material = visual.find("geometry/cylinder"), visual.find("material")
        assert origin is not None
        assert material is not None
        if box is not None:
            mesh = trimesh.creation.box([1000 * float(s) for s in box.attrib["size"].split()])
        else:
            assert cylinder is not None
            mesh = trimesh.creation.cylinder(
                1000 * float(cylinder.attrib["radius"]), 1000 * float(cylinder.attrib["length"]), sections=32
            )
        x, y, z = map(float, origin.attrib["xyz"].split())
        mesh.apply_transform(pose((x, y, z), *map(float, origin.attrib.get("rpy", "0 0 0").split())))
        found.append((mesh, str(colors[material.get("name")])))
    return found


def draw(axes: Any, mesh: trimesh.Trimesh, color: object, world_from_mesh: Matrix, alpha: float = 1.0) -> None:
    """Add a shaded mesh, given in mm, in m."""
    vertices = apply(world_from_mesh, mesh.vertices) / 1000
    part = Poly3DCollection(vertices[mesh.faces], alpha=alpha)
    normals = mesh.face_normals @ world_from_mesh[:3, :3].T
    shade = 0.55 + 0.45 * np.clip(normals @ LIGHT.direction, 0, 1)
    colors = np.column_stack([shade[:, None] * np.array(color)[:3], np.full(len(shade), alpha)])
    part.set(facecolor=colors, edgecolor=colors if alpha == 1 else "none", linewidth=0.3)
    axes.add_collection3d(part)


def main(folder: Path) -> None:
    """Write the picture."""
    x, y, z, yaw, pitch, roll = six_numbers("world_from_ct", TABLE, TABLE_ORDER)
    world_from_ct = pose((x, y, z), roll, pitch, yaw)
    patient, urdf = builtin_patient(0), shipped_arm()
    arm = Arm(chain(urdf, "base_link", "probe"), HOME)
    world_from_probe = world_from_ct @ motion("liver_sweep", patient, 12)[2]
    angles = solve(arm, world_from_probe)

    figure = plt.figure(figsize=(9, 6), dpi=130)
    axes = figure.add_subplot(projection="3d", computed_zorder=False)
    low = apply(world_from_ct, patient.skin_mesh.bounds)
    top = low[:, 2].min() - 2
    table = trimesh.creation.box((420, 900, 30)).subdivide_to_size(40)  # matplotlib sorts faces by their middles
    draw(axes, table, (0.75, 0.80, 0.83), pose((x, y, (top - 15) / 1000), 0, 0, 0))
    for organ in (TissueClass.BONE, TissueClass.LIVER, TissueClass.KIDNEY, TissueClass.SPLEEN):
        mesh = patient.organ_meshes[organ]
        draw(axes, mesh, np.array(CLASS_COLORS[organ]) / 255, world_from_ct)
    draw(axes, patient.skin_mesh, to_rgb("#e9b89a"), world_from_ct, 0.25)
    for index, joint in enumerate([None, *arm.joints]):
        links = {
            j.find("child").get("link"): j.get("name")  # type: ignore[union-attr]
            for j in ElementTree.fromstring(urdf).findall("joint")
        }
        link = next((name for name, own in links.items() if joint and own == joint.name), "base_link")
        frame = frames(arm, angles)[index]
        for mesh, rgba in shapes(urdf, str(link)):
            draw(axes, mesh, [float(c) for c in rgba.split()], frame)
    fan = apply(world_from_probe, fan_outline(preset("c5_2"))) / 1000
    axes.plot(*fan.T, color="#1e9e56", linewidth=1.5, zorder=50)
    for name, frame in (("world", np.eye(4)), ("ct", world_from_ct), ("probe", world_from_probe)):
        origin = frame[:3, 3] / 1000
        for axis, color in zip(frame[:3, :3].T, ("#d22", "#2a2", "#22d"), strict=True):
            axes.plot(*np.stack([origin, origin + 0.12 * axis]).T, color=color, linewidth=2, zorder=60)
        axes.text(origin[0] + 0.06, origin[1] - 0.1, origin[2], name, zorder=61)
    axes.set(xlim=(-0.15, 0.85), ylim=(-0.5, 0.5), zlim=(-0.05, 0.85))
    axes.set_box_aspect((1, 1, 0.9), zoom=1.35)
    axes.view_init(elev=22, azim=-58)
    axes.set_axis_off()
    figure.savefig(folder / "arm.png", bbox_inches="tight", pad_inches=0)


def frames(arm: Arm, angles: NDArray[np.float64]) -> list[Matrix]:
    """Return `world_from_link` of the base and of every joint's child, mm."""
    found, taken = [np.eye(4)], 0
    for count, joint in enumerate(arm.joints, 1):
        taken += joint.axis is not None
        part = Arm(arm.joints[:count], arm.home[:taken])
        found.append(part.base_from_tip(angles[:taken]))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))

# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The demo's arm as shapes: its URDF's cylinders and boxes, and where its links are at joint angles. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from xml.etree import ElementTree

import numpy as np
import trimesh
from numpy.typing import ArrayLike

from us_sim.core.geometry.transforms import MM_PER_M, Matrix, inverse, rigid, rotation_from_vector
from us_sim.core.robot.urdf import Joint, chain, pose

RGB = tuple[int, int, int]
BASE, TIP = "base_link", "probe"
GREY: RGB = (200, 200, 205)


@dataclass(frozen=True, eq=False)
class ArmShape:
    """An arm whose flange carries the probe.

    Attributes:
        urdf: with the links `base_link` and `probe`.
    """

    urdf: str

    @cached_property
    def joints(self) -> tuple[Joint, ...]:
        """From base to probe, fixed ones included."""
        return chain(self.urdf, BASE, TIP)

    @property
    def names(self) -> list[str]:
        """Of the joints that turn."""
        return [joint.name for joint in self.joints if joint.axis is not None]

    @cached_property
    def links(self) -> list[str]:
        """From base to probe: one more than joints."""
        robot = ElementTree.fromstring(self.urdf)
        child = {j.get("name"): j.find("child").get("link") for j in robot.findall("joint")}  # type: ignore[union-attr]
        return [BASE, *(str(child[joint.name]) for joint in self.joints)]

    def frames(self, angles: ArrayLike) -> list[Matrix]:
        """Return `base_from_link`, (4, 4) mm, of every link at (J,) joint angles, rad."""
        turns = iter(np.asarray(angles, dtype=np.float64))
        frames = [np.eye(4)]
        for joint in self.joints:
            frame = frames[-1] @ joint.parent_from_joint
            if joint.axis is not None:
                frame = frame @ rigid(rotation_from_vector(next(turns) * joint.axis), (0.0, 0.0, 0.0))
            frames.append(frame)
        return frames

    def base(self, ct_from_probe: Matrix, angles: ArrayLike) -> Matrix:
        """Return where the base stands, `ct_from_base`, of an arm that holds the probe there at (J,) angles."""
        return np.asarray(ct_from_probe @ inverse(self.frames(angles)[-1]))

    def shapes(self) -> dict[str, list[tuple[trimesh.Trimesh, RGB]]]:
        """Return each link's visible bodies with their colours, mm in the link's frame; the probe is left out."""
        robot = ElementTree.fromstring(self.urdf)
        colors = {one.get("name"): _color(one.find("color")) for one in robot.findall("material")}
        return {
            str(link.get("name")): [_body(visual, colors) for visual in link.findall("visual")]
            for link in robot.findall("link")
            if link.get("name") in self.links[:-1]
        }


def _body(visual: ElementTree.Element, colors: dict[str | None, RGB]) -> tuple[trimesh.Trimesh, RGB]:
    origin, material = visual.find("origin"), visual.find("material")
    place = np.eye(4)
    if origin is not None:
        place = pose(_floats(origin.get("xyz", "0 0 0")), *_floats(origin.get("rpy", "0 0 0")))
    cylinder, box = visual.find("geometry/cylinder"), visual.find("geometry/box")
    if cylinder is not None:
        radius, length = (MM_PER_M * float(cylinder.get(name, "0")) for name in ("radius", "length"))
        body = trimesh.creation.cylinder(radius, length, sections=24)
    else:
        size = _floats(box.get("size", "0 0 0")) if box is not None else [0.01] * 3
        body = trimesh.creation.box(np.asarray(size) * MM_PER_M)
    color = colors.get(material.get("name"), GREY) if material is not None else GREY
    return body.apply_transform(place), color


def _color(color: ElementTree.Element | None) -> RGB:
    if color is None:
        return GREY
    red, green, blue, *_ = (round(255 * value) for value in _floats(color.get("rgba", "0.8 0.8 0.8 1")))
    return red, green, blue


def _floats(text: str) -> Sequence[float]:
    return [float(word) for word in text.split()]

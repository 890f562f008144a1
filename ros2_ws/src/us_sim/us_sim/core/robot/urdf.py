# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A serial arm read from a URDF, and a tool put on its flange. Lengths turn from metres to mm here.

What counts of a joint: type, origin, axis and limits, as http://wiki.ros.org/urdf/XML/joint defines them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from us_sim.core.errors import ArmError
from us_sim.core.geometry.transforms import MM_PER_M, Matrix, rigid


@dataclass(frozen=True, eq=False)
class Joint:
    """One joint of a chain.

    Attributes:
        name: as in the URDF.
        parent_from_joint: (4, 4) mm, at angle 0.
        axis: (3,) unit axis of turning in the joint's frame; None for a fixed joint.
        low, high: limits, rad.
        speed: fastest turning, rad/s.
    """

    name: str
    parent_from_joint: Matrix
    axis: NDArray[np.float64] | None = None
    low: float = 0.0
    high: float = 0.0
    speed: float = math.inf


def chain(urdf: str, base: str, tip: str) -> tuple[Joint, ...]:
    """Return the joints from link `base` to link `tip`, in that order.

    Raises:
        ArmError: not a URDF, no such link, no chain from base to tip, a joint that neither turns nor is fixed, or
            numbers that are none.
    """
    joints = {_link(joint, "child"): joint for joint in _robot(urdf).findall("joint")}
    way: list[Joint] = []
    link = tip
    while link != base:
        if link not in joints or len(way) > len(joints):
            raise ArmError(f"no joint leads from link {base!r} to link {tip!r}; expected the names of two links")
        way.append(_joint(joints[link]))
        link = _link(joints[link], "parent")
    return tuple(reversed(way))


def attached(arm: str, tool: str, flange: str, calibration: Sequence[float] | None = None) -> str:
    """Return the URDF of an arm with a tool on one of its links.

    Args:
        arm, tool: URDFs; the tool's first link comes on the flange.
        flange: the arm's link.
        calibration: x, y, z, roll, pitch, yaw in m and rad, the tool's joint `flange_to_probe`; None for the file's.

    Raises:
        ArmError: not a URDF, or no such link or joint.
    """
    robot, extra = _robot(arm), _robot(tool)
    links = [link.get("name", "") for link in robot.findall("link")]
    if flange not in links:
        raise ArmError(f"the arm has no link {flange!r}; expected one of {', '.join(links)}")
    first = extra.find("link")
    if first is None:
        raise ArmError("the tool has no link; expected a URDF with the links probe_flange and probe")
    if calibration is not None:
        joint = extra.find("joint[@name='flange_to_probe']")
        origin = joint.find("origin") if joint is not None else None
        if origin is None:
            raise ArmError("the tool has no joint flange_to_probe with an origin to calibrate")
        words = [f"{number:.9g}" for number in calibration]
        origin.attrib.update(xyz=" ".join(words[:3]), rpy=" ".join(words[3:]))
    name = first.get("name", "")
    mount = ElementTree.SubElement(robot, "joint", name=f"{flange}_to_{name}", type="fixed")
    ElementTree.SubElement(mount, "parent", link=flange)
    ElementTree.SubElement(mount, "child", link=name)
    robot.extend(copy.deepcopy(part) for part in extra)
    return ElementTree.tostring(robot, encoding="unicode")


def pose(xyz: Sequence[float], roll: float, pitch: float, yaw: float) -> Matrix:
    """Return the (4, 4) transform, mm, of a translation in m and turns in rad about the fixed axes x, y, z."""
    (cr, cp, cy), (sr, sp, sy) = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return rigid(about_z @ about_y @ about_x, np.asarray(xyz) * MM_PER_M)


def _robot(urdf: str) -> ElementTree.Element:
    try:
        robot = ElementTree.fromstring(urdf)
    except ElementTree.ParseError as error:
        raise ArmError(f"not a URDF: {error}; expected XML with a <robot>; turn xacro into URDF first") from None
    if robot.tag != "robot":
        raise ArmError(f"the XML's root is <{robot.tag}>; expected the <robot> of a URDF")
    return robot


def _link(joint: ElementTree.Element, role: str) -> str:
    found = joint.find(role)
    return found.get("link", "") if found is not None else ""


def _joint(joint: ElementTree.Element) -> Joint:
    name, kind = joint.get("name", ""), joint.get("type", "")
    origin, axis, limit = joint.find("origin"), joint.find("axis"), joint.find("limit")
    xyz = _numbers(origin, "xyz", "0 0 0", name)
    parent_from_joint = pose(xyz, *_numbers(origin, "rpy", "0 0 0", name))
    if kind == "fixed":
        return Joint(name, parent_from_joint)
    direction = np.array(_numbers(axis, "xyz", "1 0 0", name))
    length = float(np.linalg.norm(direction))
    if length == 0:
        raise ArmError(f"joint {name!r} has axis 0 0 0; expected a direction")
    if kind == "continuous":
        low, high = -math.inf, math.inf
    elif kind == "revolute" and limit is not None:
        ((low,), (high,)) = (_numbers(limit, side, "0", name, 1) for side in ("lower", "upper"))
    else:
        raise ArmError(f"joint {name!r} is {kind!r}; expected revolute with limits, continuous or fixed")
    (speed,) = _numbers(limit, "velocity", "inf", name, 1)
    return Joint(name, parent_from_joint, direction / length, low, high, speed)


def _numbers(element: ElementTree.Element | None, key: str, default: str, name: str, count: int = 3) -> list[float]:
    text = element.get(key, default) if element is not None else default
    try:
        found = [float(word) for word in text.split()]
    except ValueError:
        found = []
    if len(found) != count or not (np.isfinite(found).all() or text == default):
        raise ArmError(f"joint {name!r} has {key} {text!r}; expected {count} finite numbers")
    return found

"""The arm and the probe's flange that are shipped, and what is read from any URDF."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from us_sim.core.errors import ArmError
from us_sim.core.robot.urdf import attached, chain, pose

FOLDER = Path(__file__).resolve().parents[3] / "ros2_ws" / "src" / "us_sim" / "us_sim" / "resources" / "urdf"
ARM, PROBE = ((FOLDER / name).read_text() for name in ("arm.urdf", "probe.urdf"))
CALIBRATION = [0.01, -0.02, 0.15, 0.1, -0.2, 0.3]


def one_joint(joint: str) -> str:
    return f'<robot name="r"><link name="a"/><link name="b"/>{joint}</robot>'


def joint(kind: str = "revolute", inside: str = '<limit lower="-1" upper="1"/>') -> str:
    return one_joint(f'<joint name="j" type="{kind}"><parent link="a"/><child link="b"/>{inside}</joint>')


# -- what is shipped ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [ARM, PROBE, attached(ARM, PROBE, "flange", CALIBRATION)], ids=["arm", "probe", "both"]
)
def test_links_and_joints_are_one_tree(text: str) -> None:
    robot = ElementTree.fromstring(text)
    links = [link.get("name", "") for link in robot.findall("link")]
    joints = robot.findall("joint")
    assert len(set(links)) == len(links) == len(joints) + 1
    assert len({j.get("name") for j in joints}) == len(joints)
    parents = {j.find("child").get("link"): j.find("parent").get("link") for j in joints}  # type: ignore[union-attr]
    assert {*parents, *parents.values()} == set(links)
    roots = {link for link in links if link not in parents}
    assert roots == {links[0]}
    for link in links:
        way = [link]
        while way[-1] in parents:
            way.append(parents[way[-1]])  # type: ignore[arg-type]
            assert len(way) <= len(links)
        assert way[-1] == links[0]


def test_the_arm_has_seven_axes_with_limits() -> None:
    joints = [j for j in ElementTree.fromstring(ARM).findall("joint") if j.get("type") != "fixed"]
    assert len(joints) == 7
    for j in joints:
        limit = j.find("limit")
        assert limit is not None
        low, high, effort, speed = (float(limit.attrib[k]) for k in ("lower", "upper", "effort", "velocity"))
        assert -math.pi < low < 0 < high < math.pi
        assert effort > 0
        assert 0 < speed < 5


@pytest.mark.parametrize("text", [ARM, PROBE], ids=["arm", "probe"])
def test_inertias_are_those_of_bodies(text: str) -> None:
    robot = ElementTree.fromstring(text)
    with_inertia = [link for link in robot.findall("link") if link.find("inertial") is not None]
    # Links without mass: the root, which KDL wants so, and frames.
    assert {link.get("name") for link in robot.findall("link")} - {link.get("name") for link in with_inertia} <= {
        "base_link",
        "flange",
    }
    for link in with_inertia:
        mass, inertia = link.find("inertial/mass"), link.find("inertial/inertia")
        assert mass is not None
        assert inertia is not None
        assert float(mass.attrib["value"]) > 0
        xx, yy, zz = sorted(float(inertia.attrib[k]) for k in ("ixx", "iyy", "izz"))
        assert xx > 0
        assert xx + yy > zz  # what every body obeys
        assert {float(inertia.attrib[k]) for k in ("ixy", "ixz", "iyz")} == {0.0}


def test_the_probes_face_lies_on_the_fans_arc() -> None:
    """The outer faces of the five facets touch the circle of radius 50.4 mm around its centre behind the face."""
    facets = ElementTree.fromstring(PROBE).findall("link[@name='probe']/visual")[:5]
    for facet, angle in zip(facets, np.radians([-24, -12, 0, 12, 24]), strict=True):
        origin, box = facet.find("origin"), facet.find("geometry/box")
        assert origin is not None
        assert box is not None
        x, y, z = map(float, origin.attrib["xyz"].split())
        thickness = float(box.attrib["size"].split()[2])
        face = np.array([x, z]) + 0.5 * thickness * np.array([np.sin(angle), np.cos(angle)])
        assert np.hypot(face[0], face[1] + 0.0504) == pytest.approx(0.0504, abs=2e-5)
        assert np.arctan2(face[0], face[1] + 0.0504) == pytest.approx(angle, abs=2e-3)
        assert y == 0


# -- reading --------------------------------------------------------------------------------------------


def test_a_chain_is_read_in_mm_and_rad() -> None:
    text = joint(
        inside='<origin xyz="0.1 0 -0.2" rpy="0 0 1.5707963267948966"/><axis xyz="0 0 2"/>'
        '<limit lower="-1" upper="2" velocity="0.5" effort="1"/>'
    )
    (found,) = chain(text, "a", "b")
    assert (found.name, found.low, found.high, found.speed) == ("j", -1.0, 2.0, 0.5)
    assert found.axis is not None
    assert found.axis.tolist() == [0, 0, 1]
    expected = [[0, -1, 0, 100], [1, 0, 0, 0], [0, 0, 1, -200], [0, 0, 0, 1]]
    np.testing.assert_allclose(found.parent_from_joint, expected, atol=1e-12)


def test_defaults_are_those_of_the_format() -> None:
    (turning,) = chain(joint(), "a", "b")
    assert turning.axis is not None
    assert turning.axis.tolist() == [1, 0, 0]
    assert turning.speed == math.inf
    np.testing.assert_array_equal(turning.parent_from_joint, np.eye(4))
    (endless,) = chain(joint("continuous", ""), "a", "b")
    assert (endless.low, endless.high) == (-math.inf, math.inf)
    assert chain(joint("fixed", ""), "a", "b")[0].axis is None


def test_roll_pitch_yaw_turn_about_fixed_axes() -> None:
    """x up after the pitch of -90°; the yaw of 90° leaves it; the roll came first."""
    turned = pose((0, 0, 0), math.pi / 2, -math.pi / 2, math.pi / 2)[:3, :3]
    np.testing.assert_allclose(turned @ [1, 0, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(turned @ [0, 1, 0], [0, -1, 0], atol=1e-12)  # y, z by roll, -x by pitch, -y by yaw


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no xml", "not a URDF: .*; expected XML with a <robot>; turn xacro into URDF first"),
        ("<model/>", "the XML's root is <model>; expected the <robot> of a URDF"),
        (one_joint(""), "no joint leads from link 'a' to link 'b'; expected the names of two links"),
        (joint("prismatic"), "joint 'j' is 'prismatic'; expected revolute with limits, continuous or fixed"),
        (joint(inside=""), "joint 'j' is 'revolute'; expected revolute with limits"),
        (joint(inside='<origin xyz="0 0"/>'), "joint 'j' has xyz '0 0'; expected 3 finite numbers"),
        (joint(inside='<origin rpy="0 nan 0"/>'), "joint 'j' has rpy '0 nan 0'; expected 3 finite numbers"),
        (joint(inside='<limit lower="low" upper="1"/>'), "joint 'j' has lower 'low'; expected 1 finite numbers"),
        (joint(inside='<axis xyz="0 0 0"/><limit lower="0" upper="1"/>'), "joint 'j' has axis 0 0 0; expected a dir"),
        (one_joint('<joint name="j" type="fixed"><parent link="b"/><child link="b"/></joint>'), "no joint leads"),
    ],
)
def test_a_bad_description_is_refused(text: str, message: str) -> None:
    with pytest.raises(ArmError, match=message):
        chain(text, "a", "b")


# -- a tool on a flange ---------------------------------------------------------------------------------


def test_the_probe_comes_on_the_flange_by_its_calibration() -> None:
    joints = chain(attached(ARM, PROBE, "flange", CALIBRATION), "flange", "probe")
    assert [j.name for j in joints] == ["flange_to_probe_flange", "flange_to_probe"]
    np.testing.assert_array_equal(joints[0].parent_from_joint, np.eye(4))
    np.testing.assert_allclose(joints[1].parent_from_joint, pose(CALIBRATION[:3], 0.1, -0.2, 0.3), atol=1e-9)


def test_without_a_calibration_the_files_own_holds() -> None:
    joints = chain(attached(ARM, PROBE, "link_3"), "link_3", "probe")
    assert joints[-1].parent_from_joint[:3, 3].tolist() == [0, 0, 140]


@pytest.mark.parametrize(
    ("arm", "tool", "message"),
    [
        (ARM.replace('"flange"', '"tool0"'), PROBE, "the arm has no link 'flange'; expected one of base_link, link_1"),
        (ARM, "<robot/>", "the tool has no link; expected a URDF with the links probe_flange and probe"),
        (ARM, joint("fixed", ""), "the tool has no joint flange_to_probe with an origin"),
    ],
)
def test_what_cannot_be_attached_is_refused(arm: str, tool: str, message: str) -> None:
    with pytest.raises(ArmError, match=message):
        attached(arm, tool, "flange", CALIBRATION)

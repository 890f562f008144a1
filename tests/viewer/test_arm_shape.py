"""The demo's arm as shapes: its kinematics against those of `core.robot`, its bodies by hand."""

from __future__ import annotations

import numpy as np
import pytest

from us_sim.core.generator.shipped import shipped_arm
from us_sim.core.geometry.transforms import pose_on_skin
from us_sim.core.robot.arm import Arm
from us_sim.viewer.arm_shape import ArmShape

SHAPE = ArmShape(shipped_arm())
ANGLES = np.array([0.3, 0.5, -0.2, 1.4, 0.1, 0.9, -0.4])


def test_the_last_link_is_where_the_arms_tip_is() -> None:
    arm = Arm(SHAPE.joints, 0 * ANGLES + 0.1)
    np.testing.assert_allclose(SHAPE.frames(ANGLES)[-1], arm.base_from_tip(ANGLES), atol=1e-9)
    assert SHAPE.names == arm.names
    assert (SHAPE.links[0], SHAPE.links[-1], len(SHAPE.links)) == ("base_link", "probe", len(SHAPE.joints) + 1)


def test_the_base_stands_where_the_probe_and_the_angles_put_it() -> None:
    probe = pose_on_skin(np.array([10.0, 90.0, -30.0]), np.array([0.1, 0.9, 0.2]), [-1.0, 0.0, 0.0])
    base = SHAPE.base(probe, ANGLES)
    np.testing.assert_allclose(base @ SHAPE.frames(ANGLES)[-1], probe, atol=1e-9)


def test_bodies_have_the_sizes_of_the_urdf_in_mm() -> None:
    shapes = SHAPE.shapes()
    ((base, color),) = shapes["base_link"]  # a cylinder of 90 mm radius, 160 mm high, standing on its origin
    np.testing.assert_allclose(base.bounds, [[-90, -90, 0], [90, 90, 160]], atol=1e-6)
    assert color == (69, 107, 140)
    assert "probe" not in shapes
    assert sum(map(len, shapes.values())) >= 8


def test_what_has_no_shape_that_is_known_is_a_small_box() -> None:
    urdf = """<robot name="r"><link name="base_link"><visual><geometry><mesh filename="x"/></geometry></visual></link>
        <link name="probe"/><joint name="j" type="fixed"><parent link="base_link"/><child link="probe"/></joint>
        </robot>"""
    ((body, _),) = ArmShape(urdf).shapes()["base_link"]
    assert body.extents == pytest.approx([10.0, 10.0, 10.0])

"""Letters of the sides, and the body mark: x of `ct` points to the patient's right, y forward, z to the head."""

from __future__ import annotations

import math

import numpy as np
import pytest
import trimesh

from us_sim.core.geometry.transforms import rigid
from us_sim.viewer.orientation import around, body_mark, edges, letter
from us_sim.viewer.skin_mesh import SkinMesh


def box() -> SkinMesh:
    """200 mm wide, 100 deep, 400 high around the origin."""
    return SkinMesh(trimesh.creation.box((200.0, 100.0, 400.0)).triangles)


@pytest.mark.parametrize(
    ("direction", "name"),
    [((1, 0, 0), "R"), ((-2, 0.1, 0), "L"), ((0, 1, 0), "A"), ((0, -1, 0), "P"), ((0, 0, 3), "H"), ((0, 0.2, -1), "F"),
     ((-1, 0.9, 0), "LA"), ((0, 0, 0), "")],
)  # fmt: skip
def test_a_direction_is_named_by_the_side_it_points_to(direction: tuple[float, ...], name: str) -> None:
    assert letter(direction) == name


def test_a_transverse_image_shows_the_patients_right_at_its_left() -> None:
    """Beam backwards (−y), image's right towards the patient's left (−x); elevation is what is left: −z."""
    transverse = rigid(np.stack([(-1, 0, 0), (0, 0, -1), (0, -1, 0)], axis=-1), (50.0, 50.0, 100.0))
    assert edges(transverse) == ("R", "L")
    mark = body_mark(transverse, box())
    assert (mark.u, mark.v) == (0.25, 0.25)  # on the patient's right, which a front view shows at its left
    assert abs(mark.angle) == pytest.approx(math.pi, abs=1e-3)  # the image's left points to the picture's left
    along = rigid(np.stack([(0, 0, -1), (1, 0, 0), (0, -1, 0)], axis=-1), (0.0, 50.0, 0.0))
    assert edges(along) == ("H", "F")
    assert body_mark(along, box()).angle == pytest.approx(-math.pi / 2, abs=1e-3)  # up


def test_letters_stand_outside_the_body() -> None:
    places = around(box())
    assert set(places) == set("RLAPHF")
    assert places["R"] == pytest.approx([104.0, 0.0, 0.0])
    assert places["F"] == pytest.approx([0.0, 0.0, -208.0])

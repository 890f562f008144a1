"""Standard views on bodies whose axes are known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from us_sim.viewer.placement import path
from us_sim.viewer.skin_mesh import SkinMesh
from us_sim.viewer.views import FAST, VIEWS, View, absent, long_axis, looking, missing, organ_points, parts, placements


def ellipsoid(middle: tuple[float, float, float], axes: tuple[float, float, float]) -> np.ndarray:
    """(F, 3, 3) triangles."""
    ball = trimesh.creation.icosphere(subdivisions=3)
    return np.asarray(ball.triangles * axes + middle)


SKIN = SkinMesh(ellipsoid((0, 0, 0), (150, 100, 250)))
RIGHT, LEFT = ((60.0, -20.0, 0.0), (20.0, 20.0, 50.0)), ((-60.0, -20.0, 10.0), (20.0, 20.0, 50.0))
KIDNEYS = SkinMesh(np.concatenate([ellipsoid(*RIGHT), ellipsoid(*LEFT), ellipsoid((0, 0, 0), (1, 1, 1))[:20]]))
MESHES = {"skin": SKIN, "kidney": KIDNEYS}


def test_the_parts_of_a_mesh_are_told_apart_and_crumbs_left_out() -> None:
    middles = sorted(part.mean(axis=0)[0] for part in parts(KIDNEYS))
    assert middles == pytest.approx([-60.0, 60.0], abs=1.0)


@pytest.mark.parametrize(("side", "x"), [("right", 60.0), ("left", -60.0)])
def test_the_right_kidney_is_on_the_patients_right(side: str, x: float) -> None:
    points = organ_points(View("kidney", side, True), MESHES)
    assert points is not None
    assert points[:, 0].mean() == pytest.approx(x, abs=1.0)
    assert long_axis(points) == pytest.approx([0.0, 0.0, 1.0], abs=1e-6)


def test_a_patient_without_the_organ_has_no_view() -> None:
    assert organ_points(View("spleen", "all", True), MESHES) is None
    assert organ_points(View("vessel", "aorta", True), {**MESHES, "vessel": SkinMesh(ellipsoid(*RIGHT))}) is None


def test_the_aorta_runs_on_the_left_behind_the_other_vessels() -> None:
    aorta, portal, cava = (
        ellipsoid((x, y, -40.0), (8.0, 8.0, 100.0)) for x, y in ((-15.0, -20.0), (-15.0, 30.0), (15.0, -20.0))
    )
    meshes = {**MESHES, "vessel": SkinMesh(np.concatenate([aorta, portal, cava]))}
    points = organ_points(View("vessel", "aorta", True), meshes)
    assert points is not None
    np.testing.assert_allclose(points.mean(axis=0)[:2], (-15.0, -20.0), atol=3.0)
    low = organ_points(View("vessel", "aorta", True), {**meshes, "liver": SkinMesh(ellipsoid((0, 0, 0), (5, 5, 5)))})
    assert low is not None
    assert low[:, 2].max() < 0.0


def test_gallbladder_and_portal_vein_are_what_lies_at_the_liver() -> None:
    """A sac at the liver's front edge and bowel below; portal vein at the hilum, hepatic vein above, cava behind."""
    liver = SkinMesh(ellipsoid((40.0, 0.0, 40.0), (60.0, 70.0, 60.0)))
    sac, bowel = ellipsoid((45.0, 45.0, -12.0), (10.0, 15.0, 12.0)), ellipsoid((45.0, 40.0, -90.0), (20.0, 20.0, 20.0))
    portal, hepatic, cava = (
        ellipsoid(place, (6.0, 6.0, 6.0)) for place in ((30.0, 10.0, -12.0), (40.0, 30.0, 90.0), (20.0, -75.0, 20.0))
    )
    meshes = {
        **MESHES, "liver": liver, "fluid": SkinMesh(np.concatenate([sac, bowel])),
        "vessel": SkinMesh(np.concatenate([portal, hepatic, cava])),
    }  # fmt: skip
    for organ, way, middle in (("Gallbladder", "long", (45.0, 45.0)), ("Portal vein", "bifurcation", (30.0, 10.0))):
        points = organ_points(VIEWS[organ][way], meshes)
        assert points is not None
        np.testing.assert_allclose(points.mean(axis=0)[:2], middle, atol=4.0)
        assert organ_points(VIEWS[organ][way], {"skin": SKIN, **{VIEWS[organ][way].mesh: liver}}) is None


def test_a_long_view_holds_the_axis_with_the_head_at_the_left() -> None:
    middle, axis = np.array(RIGHT[0]), np.array([0.0, 0.0, 1.0])
    point = SKIN.nearest((150.0, -20.0, 0.0))
    found = looking(point, middle, axis, True, SKIN)
    assert found is not None
    pose = found.pose(SKIN)
    beam = (middle - point) / np.linalg.norm(middle - point)
    np.testing.assert_allclose(pose[:3, 2], beam, atol=1e-6)
    assert pose[2, 0] < -0.99  # the image's right is caudal
    across = looking(point, middle, axis, False, SKIN)
    assert across is not None
    assert abs(across.pose(SKIN)[2, 0]) < 0.05


def test_an_oblique_beam_or_one_along_the_organ_is_left_out() -> None:
    point = SKIN.nearest((150.0, 0.0, 0.0))
    assert looking(point, np.array([149.0, 90.0, 0.0]), np.array([0.0, 0.0, 1.0]), True, SKIN) is None
    assert looking(point, np.zeros(3), np.array([1.0, 0.0, 0.0]), True, SKIN) is None


def test_every_placement_of_a_view_looks_at_its_organ() -> None:
    view = VIEWS["Right kidney"]["long"]
    points = organ_points(view, MESHES)
    assert points is not None
    tried = placements(view, points, SKIN)
    assert len(tried) >= 5
    for placement in tried:
        pose = placement.pose(SKIN)
        off = np.cross(np.array(RIGHT[0]) - placement.point, pose[:3, 2])
        assert np.linalg.norm(off) < 2.0


def test_a_path_leads_towards_the_feet() -> None:
    (start, *_) = placements(VIEWS["Right kidney"]["long"], parts(KIDNEYS)[0], SKIN)
    poses = path(start, SKIN, 50.0)
    assert len(poses) == 6
    z = [pose[2, 3] for pose in poses]
    assert z == sorted(z, reverse=True)
    assert len(path(start, SKIN, 1.0)) == 2


def test_morisons_pouch_is_where_the_right_kidney_meets_the_liver() -> None:
    """The liver's lower face is at z = 30 mm over a kidney from -50 to 50 mm: what lies within 20 mm counts."""
    liver = SkinMesh(ellipsoid((60.0, -20.0, 80.0), (40.0, 40.0, 50.0)))
    points = organ_points(FAST["RUQ"]["Morison's pouch"], {**MESHES, "liver": liver})
    assert points is not None
    assert points[:, 0].min() > 0.0
    assert points[:, 2].min() > 0.0
    view = FAST["LUQ"]["splenorenal"]
    assert missing(view, MESHES) == "no spleen in this patient"
    far = SkinMesh(ellipsoid((-60.0, -20.0, 200.0), (20.0, 20.0, 20.0)))
    assert missing(view, {**MESHES, "spleen": far}) == "no kidney on the left, or none beside the other organ"


def test_the_bladder_is_the_compact_fluid_between_the_hip_bones() -> None:
    sac, bowel = ellipsoid((0.0, 10.0, -150.0), (35.0, 30.0, 25.0)), ellipsoid((0.0, 30.0, -150.0), (60.0, 8.0, 8.0))
    hips = SkinMesh(np.concatenate([ellipsoid((x, -10.0, -150.0), (20.0, 30.0, 40.0)) for x in (-90.0, 90.0)]))
    fluid = SkinMesh(np.concatenate([sac, bowel]))
    view = FAST["Pelvis"]["suprapubic"]
    points = organ_points(view, {**MESHES, "fluid": fluid, "bone": hips})
    assert points is not None
    np.testing.assert_allclose(points.mean(axis=0), (0.0, 10.0, -150.0), atol=2.0)
    assert missing(view, {**MESHES, "fluid": fluid}).startswith("no fluid between hip bones")
    assert absent({**MESHES, "fluid": fluid, "bone": hips}).keys() == VIEWS.keys() - {
        "Right kidney", "Left kidney", "Pelvis",
    }  # fmt: skip


def test_the_heart_is_seen_from_below_the_ribs_upwards() -> None:
    liver = SkinMesh(ellipsoid((20.0, 0.0, 20.0), (90.0, 70.0, 60.0)))
    heart, aorta = ellipsoid((0.0, 40.0, 110.0), (40.0, 30.0, 30.0)), ellipsoid((-15.0, -40.0, 60.0), (8.0, 8.0, 120.0))
    view, meshes = FAST["Heart"]["subcostal, 4 chambers"], {**MESHES, "liver": liver}
    meshes["vessel"] = SkinMesh(np.concatenate([heart, aorta]))
    points = organ_points(view, meshes)
    assert points is not None
    tried = placements(view, points, SKIN)
    assert len(tried) >= 5
    for placement in tried:
        assert placement.point[1] > 0.0  # in front
        assert placement.point[2] < 60.0
        assert placement.pose(SKIN)[2, 2] > 0.3  # towards the head
        assert placement.pose(SKIN)[0, 0] < -0.7  # within 45°: the patient's right at the image's left
    assert "no blood above the liver" in missing(view, {**meshes, "vessel": SkinMesh(aorta)})

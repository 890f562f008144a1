"""Indentation and wrench: springs of layers, plate and sphere in closed form, no pulling, damping, friction, torque."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.core.patients import ANTERIOR, HALF_BOX, LEFT, box_patient, grid_points, on_the_box, patient_of

from us_sim.core.contact.elasticity import ELASTICITIES, STIFFNESS_FACTOR
from us_sim.core.contact.force import Wrench, wrench
from us_sim.core.contact.indentation import (  # fmt: skip
    DEEPEST,
    FACE_WIDTH,
    REACH,
    RIB_CAGE,
    Face,
    Indentation,
    face_of,
    indentation,
)
from us_sim.core.contact.mechanics import RIGID, MechanicsSettings
from us_sim.core.errors import ConfigError
from us_sim.core.geometry.probe import PRESETS, ProbeGeometry, ProbeKind
from us_sim.core.geometry.transforms import pose_on_skin, rigid
from us_sim.core.patient.patient import Patient, builtin_patient
from us_sim.core.patient.surface import Skin
from us_sim.core.tissue import TissueClass

FLAT = ProbeGeometry(ProbeKind.LINEAR, depth=50.0, aperture=40.0)
CURVED = PRESETS["c5_2"]
PLAIN = MechanicsSettings(friction=0.0, damping=0.0)


@pytest.fixture(scope="module")
def box() -> Patient:
    """A cube of liver of 128 mm, without bone."""
    tissue = np.where(np.abs(grid_points()).max(axis=-1) <= HALF_BOX, TissueClass.LIVER, TissueClass.BACKGROUND)
    return patient_of(np.where(tissue, 60, -1000), tissue)


@pytest.fixture(scope="module")
def plated() -> Patient:
    """The same over a plate of bone whose upper face lies 20 mm below the anterior side."""
    y = grid_points()[..., 1]
    tissue = np.where(np.abs(grid_points()).max(axis=-1) <= HALF_BOX, TissueClass.LIVER, TissueClass.BACKGROUND)
    tissue[(tissue > 0) & (y < HALF_BOX - 20)] = TissueClass.BONE
    return patient_of(np.where(tissue, 60, -1000), tissue)


def pressed(penetration: NDArray[np.float64], face: Face, stiffness: float = 0.5) -> Indentation:
    """An indentation of known stiffness, kPa/mm."""
    bone = np.full(len(penetration), REACH)
    return Indentation(face, np.eye(4), -penetration, penetration, bone, np.full(len(penetration), stiffness))


def tilt(angle: float) -> NDArray[np.float64]:
    """About the elevation; by a positive angle +x goes out of the body."""
    cos, sin = math.cos(angle), math.sin(angle)
    return rigid(np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]), [0, 0, 0])


# -- closed forms -----------------------------------------------------------------------------------------


def test_a_plate_is_pushed_back_by_k_times_area_times_penetration() -> None:
    face = face_of(FLAT)
    result = wrench(pressed(np.where(face.areas > 0, 3.0, 0.0), face), PLAIN)
    # 0.5 kPa/mm × 40 mm × 15 mm × 3 mm = 900 mN
    np.testing.assert_allclose(result.force, [0, 0, -0.9], atol=1e-9)
    np.testing.assert_allclose(result.torque, 0, atol=1e-9)


def test_a_sphere_is_pushed_back_by_pi_k_radius_penetration_squared() -> None:
    """A wide flat plate on a ball of 60 mm, or a ball of 60 mm on a plate: δ(r) = 2 − r²/2R."""
    face = face_of(FLAT, 40.0, 200, 201)
    penetration = np.clip(2.0 - (face.points[:, 0] ** 2 + face.points[:, 1] ** 2) / 120, 0, None) * (face.areas > 0)
    result = wrench(pressed(penetration, face), PLAIN)
    assert result.force[2] == pytest.approx(-math.pi * 0.5 * 60 * 2.0**2 * 1e-3, rel=1e-3)


def test_the_penetration_of_a_ball_is_read_from_its_skin(box: Patient) -> None:
    """The same ball by its skin's distance: Σ δ A = π R δ², but for what trilinear interpolation cuts off."""
    axis = np.arange(-80, 81, 2.0)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    ct_from_grid = np.diag([2.0, 2.0, 2.0, 1.0])
    ct_from_grid[:3, 3] = -80
    skin = Skin((np.linalg.norm(points, axis=-1) - 60).astype(np.float32), ct_from_grid)
    face = face_of(FLAT, 40.0, 60, 61)
    state = indentation(replace(box, skin=skin), face, pose_on_skin([0, 60 - 2.5, 0], ANTERIOR, LEFT))
    assert state.penetration.max() == pytest.approx(2.5, abs=0.03)
    assert (state.penetration * face.areas).sum() == pytest.approx(math.pi * 60 * 2.5**2, rel=0.03)


def test_deep_tissue_acts_as_springs_in_series_under_a_spreading_load(box: Patient) -> None:
    """128 mm of liver, L = 40, B = 15: ∫ LB/((L+z)(B+z)) dz = LB/(L−B) ln(L(B+H)/(B(L+H)))."""
    face = face_of(FLAT)
    state = indentation(box, face, on_the_box(pressed=4.0))
    on_face = face.areas > 0
    deep = 120 + 4.0  # as far as columns are followed
    elastic = STIFFNESS_FACTOR * ELASTICITIES[TissueClass.LIVER].modulus * (1 - 4 / deep) ** -0.36
    integral = 600 / 25 * math.log(40 * (15 + deep) / (15 * (40 + deep)))
    shape = 600 / (2 * deep * 55)
    np.testing.assert_allclose(state.penetration[on_face], 4.0, atol=0.05)
    np.testing.assert_allclose(state.stiffness[on_face], elastic / integral * (1 + 2 * shape**2), rtol=0.02)
    assert (state.penetration[~on_face] == 0).all()
    assert (state.bone == REACH).all()


def test_thin_tissue_on_bone_is_stiffer_and_bone_yields_a_little(plated: Patient) -> None:
    face = face_of(FLAT)
    state = indentation(plated, face, on_the_box(pressed=4.0))
    middle = int(np.argmin(np.linalg.norm(face.points, axis=1)))
    thick = state.bone[middle] + state.penetration[middle]
    assert thick == pytest.approx(20, abs=2.5)  # voxels of 4 mm, steps of 2 mm
    integral = 24 * math.log(40 * (15 + thick) / (15 * (40 + thick)))
    elastic = (
        STIFFNESS_FACTOR
        * 5.4
        * (1 - state.penetration[middle] / thick) ** -0.36
        * (1 + 2 * (600 / (2 * thick * 55)) ** 2)
    )
    assert state.stiffness[middle] == pytest.approx(1 / (integral / elastic + 1 / RIB_CAGE), rel=0.02)


def test_stiffness_stays_finite_on_bare_bone(plated: Patient) -> None:
    """Pressed in by 30 mm, 10 mm into bone: not stiffer than the chest as a whole."""
    state = indentation(plated, face_of(FLAT), on_the_box(pressed=30.0))
    assert 0 < state.stiffness[: 16 * 3].min() <= state.stiffness.max() <= RIB_CAGE


def test_the_built_in_phantom_is_as_stiff_as_people() -> None:
    """Pressed in by 10 mm: about 0.4 N/mm all over the belly, about 2 N/mm over ribs, as medians."""
    patient, face = builtin_patient(0), face_of(CURVED)
    low, high = patient.volume.bounds
    belly, ribs = [], []
    for along in range(-120, 121, 15):
        for around in np.arange(0, 1.5, 0.15):
            outward = np.array([math.sin(around), math.cos(around), 0])
            axis = 0.5 * (np.asarray(low) + high) + [0, 0, along]
            way = np.arange(0, 170, 0.25)
            point = axis + way[np.argmax(patient.skin.distance_at(axis + way[:, None] * outward) > 0)] * outward
            normal = patient.skin.normal_at(point)
            lateral = [-math.cos(around), math.sin(around), 0]
            state = indentation(patient, face, pose_on_skin(point - 10 * normal, normal, lateral))
            stiffness = -wrench(state, PLAIN).force[2] / 10
            over_bone = (state.bone[face.areas > 0] < 40).mean()
            if over_bone > 0.4:
                ribs.append(stiffness)
            elif over_bone == 0 and around < 0.5 and along < 60:
                belly.append(stiffness)
    assert np.median(belly) == pytest.approx(0.4, abs=0.05)
    assert min(belly) > 0.25
    assert np.median(ribs) == pytest.approx(2.2, abs=0.4)


# -- the wrench -------------------------------------------------------------------------------------------


def test_pressing_gives_minus_z_and_grows_more_than_linearly(box: Patient) -> None:
    face = face_of(CURVED)
    depths = np.array([0.0, 2.0, 5.0, 10.0, 15.0])
    states = [indentation(box, face, on_the_box(pressed=d)) for d in depths]
    forces = np.array([wrench(state, MechanicsSettings()).force for state in states])
    np.testing.assert_allclose(forces[:, :2], 0, atol=0.02)
    assert -0.02 < forces[0, 2] <= 0
    assert (np.diff(forces[:, 2]) < 0).all()
    assert forces[4, 2] < 1.5 * forces[3, 2]


@pytest.mark.parametrize("away", [0.5, 5.0, 1e3, 1e12])
def test_without_touch_there_is_no_force(box: Patient, away: float) -> None:
    state = indentation(box, face_of(CURVED), on_the_box(pressed=-away))
    result = wrench(state, MechanicsSettings(), state, 0.01)
    assert not state.pressed
    assert (result.force == 0).all()
    assert (result.torque == 0).all()


def test_a_face_that_looks_away_feels_nothing(box: Patient) -> None:
    for depth in (0.0, 10.0, 40.0):
        state = indentation(box, face_of(CURVED), pose_on_skin([0, HALF_BOX - depth, 0], [0, -1, 0], LEFT))
        assert not state.pressed


def test_deep_in_the_body_all_is_finite(box: Patient) -> None:
    for depth in (DEEPEST - 5, DEEPEST + 20, 2 * HALF_BOX):
        result = wrench(indentation(box, face_of(CURVED), on_the_box(pressed=depth)), MechanicsSettings())
        assert np.isfinite(result.force).all()
        assert np.isfinite(result.torque).all()


def test_a_tilted_face_is_turned_back(box: Patient) -> None:
    """+x is lifted out, −x pressed in: the force acts at −x, r × f = (−x, 0, 0) × (0, 0, −f) is about −y."""
    state = indentation(box, face_of(FLAT), on_the_box(pressed=2.0) @ tilt(math.radians(8)))
    result = wrench(state, PLAIN)
    assert result.force[2] < 0
    assert result.torque[1] < 0
    lever = result.torque[1] / -result.force[2]
    face = state.face
    expected = (state.pressure * face.areas * face.points[:, 0]).sum() / (state.pressure * face.areas).sum()
    assert lever == pytest.approx(expected, rel=1e-6)
    assert -20 < expected < -1
    np.testing.assert_allclose(result.torque[[0, 2]], 0, atol=0.5)


def test_ribs_to_one_side_are_felt_as_torque(box: Patient) -> None:
    tissue = box.volume.tissue.copy()
    x, depth = grid_points()[..., 0], HALF_BOX - grid_points()[..., 1]
    tissue[(x > 6) & (depth > 10) & (depth < 25)] = TissueClass.BONE
    half = patient_of(box.volume.hu, tissue)
    result = wrench(indentation(half, face_of(FLAT), on_the_box(pressed=4.0)), PLAIN)
    soft = wrench(indentation(box, face_of(FLAT), on_the_box(pressed=4.0)), PLAIN)
    assert result.force[2] < 1.5 * soft.force[2]
    assert result.torque[1] < -3 * -result.force[2]  # +x of ct is −x of the probe: more than 3 mm off the middle


def test_damping_acts_with_the_speed_of_pressing_and_never_pulls() -> None:
    face = face_of(FLAT)
    now, before = (pressed(np.where(face.areas > 0, depth, 0.0), face) for depth in (3.0, 2.0))
    settings = replace(PLAIN, damping=2.0)
    rest = wrench(now, settings).force[2]
    assert wrench(now, settings, before, 0.0).force[2] == rest
    # 1 mm in 0.01 s is 0.1 m/s: 1 + 2 × 0.1
    assert wrench(now, settings, before, 0.01).force[2] == pytest.approx(1.2 * rest)
    leaving = wrench(before, settings, now, 0.01).force[2]
    assert leaving == pytest.approx(0.8 * rest * 2 / 3)
    assert wrench(before, replace(settings, damping=20.0), now, 0.01).force[2] == 0.0


def test_friction_acts_against_sliding() -> None:
    face = face_of(FLAT)
    depth = np.where(face.areas > 0, 3.0, 0.0)
    now, before = pressed(depth, face), pressed(depth, face)
    moved = replace(now, ct_from_probe=rigid(np.eye(3), [1.0, 0, 0]))
    settings = replace(PLAIN, friction=0.1)
    force = wrench(moved, settings, before, 0.02).force  # 50 mm/s along +x
    np.testing.assert_allclose(force, [-0.09 * 50 / math.hypot(50, 2), 0, -0.9], atol=1e-9)
    assert wrench(now, settings, before, 0.02).force[0] == 0


def test_friction_resists_a_turn_about_the_beam() -> None:
    face = face_of(FLAT)
    depth = np.where(face.areas > 0, 3.0, 0.0)
    angle = 0.05
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    turned = replace(pressed(depth, face), ct_from_probe=rigid(turn, [0, 0, 0]))
    torque = wrench(turned, replace(PLAIN, friction=0.1), pressed(depth, face), 0.02).torque
    assert torque[2] < -0.5  # N mm; 0.09 N at about 10 mm


def test_a_probe_that_is_put_elsewhere_has_no_speed(box: Patient) -> None:
    face = face_of(FLAT)
    depth = np.where(face.areas > 0, 3.0, 0.0)
    far = replace(pressed(depth, face), ct_from_probe=rigid(np.eye(3), [100.0, 0, 0]))
    settings = MechanicsSettings(damping=20.0, friction=1.0)
    np.testing.assert_allclose(wrench(far, settings, pressed(0 * depth, face), 0.01).force, [0, 0, -0.9], atol=1e-9)


def test_stiffness_scales_the_force() -> None:
    face = face_of(FLAT)
    state = pressed(np.where(face.areas > 0, 3.0, 0.0), face)
    assert wrench(state, replace(PLAIN, stiffness=2.0)).force[2] == pytest.approx(-1.8)
    assert isinstance(wrench(state, PLAIN), Wrench)


@pytest.mark.parametrize("probe", [CURVED, FLAT, PRESETS["p4_2"]], ids=["convex", "linear", "phased"])
def test_the_patches_tile_the_face(probe: ProbeGeometry) -> None:
    face = face_of(probe)
    arc = probe.apex * probe.field_of_view if probe.kind is ProbeKind.CONVEX else probe.aperture
    assert face.areas.sum() == pytest.approx(arc * FACE_WIDTH)
    np.testing.assert_allclose(np.linalg.norm(face.normals, axis=1), 1)
    assert (np.diff(face.points[face.plane, 0]) > 0).all()
    assert (face.points[face.plane, 1] == 0).all()
    assert face.points.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("stiffness", 0.0, "0.1 to 10"), ("stiffness", math.nan, "0.1 to 10"), ("damping", -1.0, "0 to 20"),
     ("damping", math.nan, "0 to 20"), ("friction", 1.5, "0 to 1"), ("friction", math.inf, "0 to 1")],
)  # fmt: skip
def test_settings_outside_their_range_are_refused(name: str, value: float, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {value}; expected {expected}"):
        MechanicsSettings(**{name: value})  # type: ignore[arg-type]
    assert not RIGID.deformation


@pytest.mark.alone
def test_the_wrench_is_fast(box: Patient) -> None:
    face, pose = face_of(CURVED), on_the_box(pressed=8.0)
    spent = []
    for _ in range(100):
        start = time.perf_counter()
        wrench(indentation(box, face, pose), MechanicsSettings())
        spent.append(time.perf_counter() - start)
    assert min(spent) < 5e-4


def test_the_box_with_its_bone_is_deterministic() -> None:
    patient, face = box_patient(), face_of(CURVED)
    one, other = (wrench(indentation(patient, face, on_the_box(-8.0)), MechanicsSettings()) for _ in range(2))
    assert one.force.tobytes() == other.force.tobytes()
    assert one.torque.tobytes() == other.torque.tobytes()

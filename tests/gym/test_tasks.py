"""Targets, planes and coverage on a patient whose every organ is known."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from tests.gym.conftest import KIDNEY, NECK, PORTA

from us_sim.core.errors import ConfigError, PatientError
from us_sim.core.geometry.transforms import apply, inverse
from us_sim.core.patient.patient import Patient
from us_sim.gym.environment import ProbeEnv
from us_sim.gym.patients import mapped_patient, open_patient
from us_sim.gym.planes import standard_plane
from us_sim.gym.randomisation import Randomisation, simulator_of
from us_sim.gym.targets import breathed, organ_points, start_pose
from us_sim.gym.tasks import StandardPlane, correlation


def test_a_mapped_patient_is_the_patient(patient: Patient, folder: str) -> None:
    mapped = open_patient(folder)
    np.testing.assert_array_equal(mapped.volume.hu, patient.volume.hu)
    np.testing.assert_array_equal(mapped.skin.distance, patient.skin.distance)
    np.testing.assert_array_equal(mapped.volume.ct_from_voxel, patient.volume.ct_from_voxel)
    assert mapped.volume.echo is None
    assert open_patient(folder) is mapped


def test_a_folder_without_a_patient_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "patient.json").write_text("{}")
    with pytest.raises(PatientError, match="holds no patient of save_patient"):
        mapped_patient(tmp_path)


def test_organs_are_found_by_name(patient: Patient) -> None:
    np.testing.assert_allclose(organ_points(patient, "kidney").mean(axis=0), KIDNEY, atol=1.5)
    with pytest.raises(ConfigError, match="synthetic has no spleen"):
        organ_points(patient, "spleen")


def test_starts_lie_on_the_skin_near_the_organ(patient: Patient) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        pose = start_pose(patient, KIDNEY, rng)
        assert patient.skin.distance_at(pose[:3, 3]) == pytest.approx(-6.0, abs=2.0)
        assert abs(pose[2, 3] - KIDNEY[2]) <= 41.0
        assert pose[1, 3] > 0  # KIDNEY lies to the front and the right


def test_the_long_axis_of_the_kidney_lies_in_its_plane(patient: Patient) -> None:
    plane = standard_plane(patient, "kidney_long")
    in_probe = inverse(plane.ct_from_probe) @ [0.0, 0.0, 1.0, 0.0]
    assert abs(in_probe[0]) > 0.99  # the kidney is long along z
    x, y, z = apply(inverse(plane.ct_from_probe), plane.landmark)
    assert np.hypot(x, y) < 1.0
    assert z > 20


def test_the_neck_of_the_gallbladder_is_its_end_at_the_portal_vein(patient: Patient) -> None:
    plane = standard_plane(patient, "gallbladder_neck")
    np.testing.assert_allclose(plane.landmark, NECK, atol=8.0)
    assert plane.landmark[2] > 8  # the middle lies at -4


def test_the_portal_vein_is_seen_in_a_transverse_plane(patient: Patient) -> None:
    plane = standard_plane(patient, "portal_bifurcation")
    np.testing.assert_allclose(plane.landmark, PORTA, atol=9.0)
    assert abs(plane.ct_from_probe[2, 1]) > 0.9  # y of the probe runs along the body


def test_an_unknown_plane_is_refused(patient: Patient) -> None:
    with pytest.raises(ConfigError, match="plane is 'four_chamber'; expected one of kidney_long"):
        standard_plane(patient, "four_chamber")


def test_at_its_goal_a_standard_plane_is_found(folder: str) -> None:
    env = gymnasium.make("UsSim/StandardPlane-v0", patients=(folder,), size=32, depth=100.0).unwrapped
    assert isinstance(env, ProbeEnv)
    env.reset(seed=0)
    assert isinstance(env.task, StandardPlane)
    env.probe.pose = env.task._goal.ct_from_probe
    assert env.simulator is not None
    env.probe.touch = env.simulator.touch(env.probe.pose)
    _, info = env.shown(env.rendered())
    assert info["is_success"]
    assert info["correlation"] == pytest.approx(1.0, abs=0.05)
    assert info["score"] == pytest.approx(1.0, abs=0.05)


def test_a_landmark_breathes_with_the_patient(folder: str) -> None:
    """Straight ahead at the end of expiration, it lies to the side at the end of inspiration."""
    env = gymnasium.make("UsSim/StandardPlane-v0", patients=(folder,), size=32, depth=100.0,
                         breathing_amplitude=(15.0, 15.0), breathing_period=(4.0, 4.0)).unwrapped  # fmt: skip
    assert isinstance(env, ProbeEnv)
    env.reset(seed=0)
    assert env.simulator is not None
    assert isinstance(env.task, StandardPlane)
    goal = env.task._goal
    env.probe.pose, env.probe.seconds = goal.ct_from_probe, 2.0
    env.probe.touch = env.simulator.touch(env.probe.pose)
    _, info = env.shown(env.rendered())
    (moved,) = breathed(env.simulator.simulator.patient, goal.landmark[None], 15.0, 0.5)
    assert info["offset"] == pytest.approx(np.hypot(*apply(inverse(goal.ct_from_probe), moved)[:2]))
    assert info["offset"] > 2.0


def test_phantoms_are_named_by_numbers_of_numpy_too() -> None:
    assert open_patient(np.int64(3)).name == open_patient(3).name


def test_correlation_is_pearsons() -> None:
    a, b = np.random.default_rng(0).integers(0, 255, (2, 100)).astype(np.uint8)
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert correlation(a, np.full(100, 7, np.uint8)) == 0.0


def test_coverage_grows_as_the_plane_passes_the_organ(folder: str) -> None:
    env = gymnasium.make("UsSim/Scan-v0", patients=(folder,), size=32, depth=100.0, axes=("x", "y")).unwrapped
    assert isinstance(env, ProbeEnv)
    env.reset(seed=0)
    towards = 0.5 * np.sign(apply(inverse(env.probe.pose), KIDNEY)[1])
    shares = [env.step(np.array([0, towards], np.float32))[-1]["coverage"] for _ in range(6)]
    assert shares == sorted(shares)
    assert shares[-1] > shares[0] >= 0  # 29 mm off the organ's middle at first: not yet, or hardly, in the plane


def test_organs_breathe_towards_the_feet(patient: Patient) -> None:
    (moved,) = breathed(patient, KIDNEY[None], 15.0, 0.5)
    assert -15.0 <= moved[2] - KIDNEY[2] < -2.0
    np.testing.assert_array_equal(breathed(patient, KIDNEY[None], 15.0, 0.0), KIDNEY[None])


def test_a_draw_reaches_the_simulator(patient: Patient) -> None:
    from us_sim.core.simulator import Simulator

    spans = Randomisation(
        patients=(3, 4), seeds=(5,), stiffness=(2.0, 2.0), gain=(6.0, 6.0), attenuation=(1.5, 1.5),
        speckle_level=(-30.0, -30.0), fault_dead=(0.25, 0.25), flip=1.0,
    )  # fmt: skip
    drawn = spans.draw(np.random.default_rng(0))
    assert drawn["patient"] in (3, 4)
    made = simulator_of(Simulator(patient, device="cpu"), drawn)
    plain = made.simulator
    assert (plain.seed, plain.settings.gain, plain.mechanics.stiffness) == (5, 6.0, 2.0)
    assert plain.scanner is not None
    assert plain.scanner.constants.speckle_level == -30.0
    assert (made.faults.fault_dead, made.faults.fault_flip) == (0.25, True)
